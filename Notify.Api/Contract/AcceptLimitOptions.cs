namespace Notify.Api.Contract;

using System.Collections.Concurrent;
using System.Globalization;
using System.Threading.RateLimiting;

/// <summary>The accept limit of clients that have none of their own: <c>Notify:AcceptLimit</c>.</summary>
public sealed record AcceptLimitOptions
{
    /// <summary>The highest limit that can be set.</summary>
    public const int Highest = 10_000_000;

    /// <summary>Notifications a second and client, on average; 0: any number.</summary>
    public int PerSecond { get; init; } = 5_000;

    /// <summary>Notifications that a client may bring at once after a pause.</summary>
    public int Burst { get; init; } = 10_000;

    /// <summary>Checks the settings; every fault is added to <paramref name="faults"/>.</summary>
    public void Check(string section, ICollection<string> faults)
    {
        if (PerSecond is < 0 or > Highest)
            faults.Add($"{section}:PerSecond is {PerSecond}; give 0 (no limit) to {Highest}");
        if (Burst is < 1 or > Highest)
            faults.Add($"{section}:Burst is {Burst}; give 1 to {Highest}");
    }
}
