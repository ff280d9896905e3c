namespace Notify.Tests.Reliability;

using System.Globalization;

/// <summary>How often, how long and under which load faults are tried: the full numbers, or fewer by the environment.</summary>
/// <remarks>
/// <c>NOTIFY_FAULT_ROUNDS</c>: rounds at most. <c>NOTIFY_FAULT_SECONDS</c>: seconds of a fault or of a load at most; longer pauses of hosts
/// are skipped, other durations are cut. <c>NOTIFY_FAULT_RATE</c>: notifications a second. <c>NOTIFY_FAULT_CASES</c>: only cases whose name
/// contains one of these texts, separated by commas.
/// </remarks>
internal static class FaultPlan
{
    /// <summary>Rounds of a host's kill or pause.</summary>
    public static int HostRounds => Rounds(50);

    /// <summary>Rounds in which PostgreSQL, the broker or the sandbox is killed or frozen.</summary>
    public static int StoreRounds => Rounds(20);

    /// <summary>Rounds of a rolling change, a full disk or a wrong clock.</summary>
    public static int ChangeRounds => Rounds(5);

    /// <summary>Notifications a second, the design load.</summary>
    public static int Rate { get; } = Number("NOTIFY_FAULT_RATE") ?? 185;

    /// <summary>How long PostgreSQL or the broker is frozen, and an Api's clock is wrong.</summary>
    public static TimeSpan Freeze => Seconds(20);

    /// <summary>How long each table is locked.</summary>
    public static TimeSpan Lock => Seconds(60);

    /// <summary>How long a provider is a black hole.</summary>
    public static TimeSpan BlackHole => Seconds(600);

    /// <summary>How long a storm or the tenfold load lasts.</summary>
    public static TimeSpan Flood => Seconds(60);

    /// <summary>How long the soak lasts.</summary>
    public static TimeSpan Soak => Seconds(1800);

    /// <summary>Requests a second of the duplicate storm.</summary>
    public static int StormRate => 2000;

    /// <summary>How often the load is taken in the tenfold load.</summary>
    public static int FloodFactor => 10;

    /// <summary>Whether a pause of so many seconds is within the limit.</summary>
    public static bool Allows(int seconds) => Number("NOTIFY_FAULT_SECONDS") is not { } limit || seconds <= limit;

    /// <summary>Whether a case is chosen.</summary>
    public static bool IsChosen(string name) =>
        Environment.GetEnvironmentVariable("NOTIFY_FAULT_CASES") is not { Length: > 0 } chosen
        || chosen.Split(',', StringSplitOptions.TrimEntries).Any(text => name.Contains(text, StringComparison.OrdinalIgnoreCase));

    private static int Rounds(int full) => Math.Min(full, Number("NOTIFY_FAULT_ROUNDS") ?? full);

    private static TimeSpan Seconds(int full) => TimeSpan.FromSeconds(Math.Min(full, Number("NOTIFY_FAULT_SECONDS") ?? full));

    private static int? Number(string name) =>
        Environment.GetEnvironmentVariable(name) is { Length: > 0 } text
            ? int.Parse(text, NumberStyles.None, CultureInfo.InvariantCulture)
            : null;
}
