namespace Notify.Dispatch.Providers.Apns;

using Notify.Dispatch.Routing;
using Notify.Domain.Routing;

/// <summary>
/// Pauses one of several apps while the servers do not answer for it: its pushes would occupy calls that those of the others
/// wait for.
/// </summary>
/// <remarks>Only for calls that fail. A rejection comes at once and delays no other call.</remarks>
public sealed class AppCircuit(IDeliveryProvider provider, TimeProvider clock)
{
    // The others of a half-open circuit come back soon: the first success is seen by them.
    private static readonly TimeSpan MaxProbeWait = TimeSpan.FromSeconds(5);

    private readonly Lock gate = new();
    private readonly OutcomeWindow window = new();
    private Circuit circuit = new(CircuitState.Closed, clock.GetUtcNow());
    private DateTimeOffset? probeUntil;

    /// <summary>Asks for a call.</summary>
    /// <returns>The time to wait; <c>null</c>: the call may be made, and its result must be reported to <see cref="End"/>.</returns>
    public TimeSpan? Begin()
    {
        lock (gate)
        {
            var now = clock.GetUtcNow();
            circuit = CircuitDecider.At(circuit, now);
            if (circuit.State == CircuitState.Closed)
                return null;
            if (circuit.State == CircuitState.Open)
                return circuit.Until - now;
            if (probeUntil is { } until && until > now)
                return until - now < MaxProbeWait ? until - now : MaxProbeWait;
            probeUntil = now + provider.TotalTimeout;
            return null;
        }
    }

    /// <summary>Takes note of what came of a call.</summary>
    /// <param name="began">When it began.</param>
    public void End(AttemptOutcome outcome, DateTimeOffset began)
    {
        lock (gate)
        {
            var now = clock.GetUtcNow();
            if (began < circuit.Since)
                return;
            probeUntil = null;
            if (outcome is AttemptOutcome.NotSent)
                return;
            var verdict = CircuitDecider.Judge(provider, outcome) == Verdict.Fails ? Verdict.Fails : Verdict.Works;
            window.Add(verdict == Verdict.Fails, TimeSpan.Zero, now);
            var next = CircuitDecider.After(circuit, window.Counts(now), verdict, CallOutcomes.Of(outcome).Reason, began, now);
            if (next.State != circuit.State)
                window.Clear();
            circuit = next;
        }
    }
}
