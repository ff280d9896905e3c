namespace Notify.Dispatch.Routing;

using Notify.Delivery.Monitoring;
using Notify.Dispatch.Providers;
using Notify.Domain.Routing;

/// <summary>A provider's circuit.</summary>
/// <param name="Since">Since when it has its state.</param>
/// <param name="Until">While open: when the provider is tried again.</param>
/// <param name="Reason">Why it changed last.</param>
/// <param name="Openings">How often it opened in a row; the pauses grow with it.</param>
/// <param name="Successes">While half-open: calls that succeeded; while open: those in a row.</param>
public sealed record Circuit(
    CircuitState State,
    DateTimeOffset Since,
    DateTimeOffset? Until = null,
    string? Reason = null,
    int Openings = 0,
    int Successes = 0
);

/// <summary>The result of one call as a measure of its provider.</summary>
public enum Verdict
{
    /// <summary>It works, also where it rejects a message or reports an invalid token.</summary>
    Works,

    /// <summary>It failed, or did not answer.</summary>
    Fails,

    /// <summary>It refuses our credentials or configuration.</summary>
    Refuses,

    /// <summary>It asked us to go slower: no error.</summary>
    Throttles,
}

/// <summary>Decides when a provider is left alone, and when it is tried again. Pure.</summary>
public static class CircuitDecider
{
    /// <summary>Calls within the window from which on their share of failures decides.</summary>
    public const int MinCalls = 10;

    /// <summary>The share of failures that opens the circuit.</summary>
    public const double OpenRatio = 0.5;

    /// <summary>Failures in a row that open it at low volume; a tenth of the window's calls where that is more, up to
    /// <see cref="MostInARow"/>: of many calls some will fail in a row by chance.</summary>
    public const int InARow = 5;

    /// <summary>Failures in a row that always open it.</summary>
    public const int MostInARow = 20;

    /// <summary>Successes of a half-open circuit that close it.</summary>
    public const int ToClose = 3;

    /// <summary>Successes in a row that end the pause of an open circuit early, where deliveries are sent all the same.</summary>
    public const int SignsOfLife = 5;

    /// <summary>How long it stays open the first time; doubled with each opening.</summary>
    public static readonly TimeSpan FirstPause = TimeSpan.FromSeconds(10);

    /// <summary>The longest that it stays open.</summary>
    public static readonly TimeSpan LongestPause = TimeSpan.FromMinutes(5);

    // A circuit that opens again so soon after it closed had not recovered.
    private static readonly TimeSpan Relapse = TimeSpan.FromMinutes(1);

    /// <summary>Classifies an outcome as a measure of the provider.</summary>
    public static Verdict Judge(IDeliveryProvider provider, AttemptOutcome outcome) =>
        CallOutcomes.Of(outcome).Outcome switch
        {
            CallOutcome.Halted => Verdict.Refuses,
            CallOutcome.Failed when outcome is AttemptOutcome.Retry { After: not null } wait && provider.IsThrottle(wait) =>
                Verdict.Throttles,
            CallOutcome.Failed => Verdict.Fails,
            _ => Verdict.Works,
        };

    /// <summary>The circuit after a call.</summary>
    /// <param name="counts">The provider's calls, this one among them.</param>
    /// <param name="word">The failure's reason and code.</param>
    /// <param name="began">When the call began: one that began before the circuit's last change says nothing about now.</param>
    public static Circuit After(
        Circuit circuit,
        WindowCounts counts,
        Verdict verdict,
        string word,
        DateTimeOffset began,
        DateTimeOffset now
    )
    {
        if (verdict == Verdict.Throttles || began < circuit.Since)
            return circuit;
        switch (circuit.State, verdict)
        {
            case (CircuitState.Closed, Verdict.Refuses):
                return Open($"it refuses our configuration: {word}");
            case (CircuitState.Closed, Verdict.Fails) when counts.FailuresInARow >= Math.Clamp(counts.Calls / 10, InARow, MostInARow):
                return Open($"{counts.FailuresInARow} failures in a row: {word}");
            case (CircuitState.Closed, Verdict.Fails) when counts.Calls >= MinCalls && counts.FailureRate >= OpenRatio:
                return Open($"{counts.Failures} of {counts.Calls} calls failed within {OutcomeWindow.Length.TotalSeconds:0} s: {word}");
            // Sent to all the same, because nobody else was there.
            case (CircuitState.Open, Verdict.Works) when circuit.Successes + 1 >= SignsOfLife && now - circuit.Since >= Least(circuit):
                return new Circuit(CircuitState.HalfOpen, now, null, $"{circuit.Successes + 1} calls in a row succeeded", circuit.Openings);
            case (CircuitState.Open, Verdict.Works):
                return circuit with { Successes = circuit.Successes + 1 };
            case (CircuitState.Open, _):
                return circuit with { Successes = 0 };
            case (CircuitState.HalfOpen, Verdict.Works) when circuit.Successes + 1 >= ToClose:
                return new Circuit(CircuitState.Closed, now, null, $"{ToClose} calls succeeded", circuit.Openings);
            case (CircuitState.HalfOpen, Verdict.Works):
                return circuit with { Successes = circuit.Successes + 1 };
            case (CircuitState.HalfOpen, _):
                return Open($"it still fails: {word}");
            default:
                return circuit;
        }

        Circuit Open(string reason)
        {
            var openings = circuit.State == CircuitState.HalfOpen || now - circuit.Since < Relapse ? circuit.Openings + 1 : 1;
            return new Circuit(CircuitState.Open, now, now + Pause(openings), reason, openings);
        }
    }

    /// <summary>The circuit as time passes.</summary>
    public static Circuit At(Circuit circuit, DateTimeOffset now) =>
        circuit is { State: CircuitState.Open, Until: { } until } && now >= until
            ? new Circuit(CircuitState.HalfOpen, now, null, $"tried again after {(now - circuit.Since).TotalSeconds:0} s", circuit.Openings)
            : circuit;

    /// <summary>Returns the event of a change; <c>null</c>: no change.</summary>
    public static object? Told(string provider, Circuit before, Circuit after) =>
        before.State == after.State
            ? null
            : after.State switch
            {
                CircuitState.Open => new CircuitOpened(provider, after.Reason!, after.Until!.Value, after.Since),
                CircuitState.HalfOpen => new CircuitHalfOpened(provider, after.Reason!, after.Since),
                _ => new CircuitClosed(provider, after.Reason!, after.Since),
            };

    // Half of the calls may succeed for hours: the circuit does not follow each of them.
    private static TimeSpan Least(Circuit circuit) =>
        Pause(circuit.Openings) / 4 is var quarter && quarter > FirstPause ? quarter : FirstPause;

    private static TimeSpan Pause(int openings)
    {
        var pause = FirstPause * Math.Pow(2, Math.Min(openings - 1, 10));
        return pause < LongestPause ? pause : LongestPause;
    }
}
