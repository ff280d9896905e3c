namespace Notify.Dispatch.Routing;

using Notify.Delivery.Monitoring;
using Notify.Dispatch.Providers;
using Notify.Domain.Channels;
using Notify.Domain.Routing;

/// <summary>A provider's place in a route.</summary>
/// <param name="Weight">As configured; <c>null</c> where the route is ordered.</param>
public sealed record RouteMember(IDeliveryProvider Provider, double? Weight = null, Pace? Pace = null);

/// <summary>A change that is still to be written for the installation.</summary>
/// <param name="State">The state to write, with the version that it follows from.</param>
/// <param name="Events">Its events, in order.</param>
public sealed record ProviderChange(ProviderState State, IReadOnlyList<object> Events);

/// <summary>This host's state of one provider of a route. It is not thread-safe: the route locks.</summary>
public sealed class ProviderMonitor(RouteMember member, DateTimeOffset start)
{
    // The number of newest changes that are kept while the database is unavailable.
    private const int MostEvents = 100;

    private readonly OutcomeWindow window = new();
    private readonly List<object> untold = [];
    private Circuit circuit = new(CircuitState.Closed, start);
    private WeightFactor weight = new(1, start);
    private double? usualMs;
    private DateTimeOffset lookedAt = start;
    private DateTimeOffset? pausedUntil,
        probeUntil;
    private long version;

    /// <summary>The provider.</summary>
    public IDeliveryProvider Provider => member.Provider;

    /// <summary>Its configured weight.</summary>
    public double? Weight => member.Weight;

    /// <summary>The token bucket of its rate limit; <c>null</c>: no limit.</summary>
    public Pacer? Pacer { get; } =
        member.Pace?.RatePerSecond is { } rate ? new Pacer(rate, member.Pace.RampUp ?? TimeSpan.Zero, start) : null;

    /// <summary>Calls under way.</summary>
    public int Calls { get; private set; }

    /// <summary>Whether it is sent to as usual.</summary>
    public bool IsOpenForTraffic(DateTimeOffset now) => StateAt(now) == CircuitState.Closed && !(pausedUntil > now);

    /// <summary>As it is when a provider is chosen.</summary>
    public Candidate At(DateTimeOffset now) =>
        new(
            Provider.Name,
            !(pausedUntil > now)
                && StateAt(now) switch
                {
                    CircuitState.Closed => true,
                    CircuitState.HalfOpen => probeUntil is null || probeUntil <= now,
                    _ => false,
                },
            (member.Weight ?? 1) * weight.Factor,
            Pacer is null || Pacer.Tokens(now) >= 1
        );

    /// <summary>It was chosen for a delivery.</summary>
    public void Choose(DateTimeOffset now)
    {
        Pacer?.Take(now);
        // A claim whose commit failed never calls: the probe is given up when it must have ended.
        if (StateAt(now) == CircuitState.HalfOpen)
            probeUntil = now + Provider.TotalTimeout + TimeSpan.FromSeconds(5);
    }

    /// <summary>A call begins.</summary>
    public void Begin() => Calls++;

    /// <summary>A delivery's call has ended.</summary>
    /// <param name="counts">Whether it says something about the provider.</param>
    public void End(AttemptOutcome outcome, TimeSpan latency, DateTimeOffset began, DateTimeOffset now, bool counts = true)
    {
        Calls--;
        if (!counts)
            return;
        if (Provider.InFlight > Provider.Concurrency)
            latency = TimeSpan.Zero; // it holds the waiting for a call, too: no word about slowness
        var verdict = CircuitDecider.Judge(Provider, outcome);
        if (verdict == Verdict.Throttles)
        {
            var until =
                now
                + (
                    outcome is AttemptOutcome.Retry { After: { } after } && after < CircuitDecider.LongestPause
                        ? after
                        : CircuitDecider.LongestPause
                );
            if (!(pausedUntil >= until))
                pausedUntil = until;
            if (began >= circuit.Since)
                probeUntil = null;
            return;
        }

        StateAt(now);
        if (began < circuit.Since)
            return;
        window.Add(verdict != Verdict.Works, latency, now);
        probeUntil = null;
        var (_, reason, code) = CallOutcomes.Of(outcome);
        var sums = verdict == Verdict.Works ? default : window.Counts(now); // a success costs no count
        Become(CircuitDecider.After(circuit, sums, verdict, code is null || code == reason ? reason : $"{reason} {code}", began, now));
    }

    /// <summary>Looks at the weight again.</summary>
    public void Weigh(DateTimeOffset now)
    {
        StateAt(now);
        if (member.Weight is null || now - lookedAt < TimeSpan.FromSeconds(1))
            return;
        var sample = window.Sample(now);
        usualMs = WeightDecider.Usual(usualMs, sample, now - lookedAt);
        lookedAt = now;
        var next = WeightDecider.Decide(weight, sample, usualMs, Provider.TotalTimeout / 3, now);
        if (next != weight)
            Tell(new ProviderWeightChanged(Provider.Name, weight.Factor, next.Factor, next.Reason!, now));
        weight = next;
    }

    /// <summary>Returns the change to write for the installation; <c>null</c>: none.</summary>
    public ProviderChange? Untold(Lane lane) => untold.Count == 0 ? null : new ProviderChange(State(lane), [.. untold]);

    /// <summary>Returns the provider's current state.</summary>
    public ProviderState State(Lane lane) =>
        new(
            Provider.Name,
            lane,
            circuit.State,
            circuit.Since,
            circuit.Until,
            circuit.Reason,
            circuit.Openings,
            weight.Factor,
            weight.Since,
            weight.Reason,
            pausedUntil,
            version
        );

    /// <summary>A change was written.</summary>
    public void Told(ProviderChange change)
    {
        if (change.State.Version != version)
            return;
        untold.RemoveRange(0, Math.Min(change.Events.Count, untold.Count));
        version++;
    }

    /// <summary>
    /// Adopts the installation's state, where that is newer; this host's own pending changes were then written by another host.
    /// </summary>
    public void Adopt(ProviderState known, DateTimeOffset now)
    {
        // No pause is longer than this: a longer one was written before the clock was set back.
        var longest = now + CircuitDecider.LongestPause + TimeSpan.FromSeconds(30);
        if (known.PausedUntil is { } until && until <= longest && !(pausedUntil >= until))
            pausedUntil = until;
        if (known.Version <= version)
            return;
        untold.Clear();
        version = known.Version;
        weight = new WeightFactor(known.Factor, known.FactorSince, known.FactorReason);
        var successes = known.Circuit == circuit.State ? circuit.Successes : 0;
        if (known.Circuit != circuit.State)
            Changed();
        circuit = new Circuit(
            known.Circuit,
            known.Since > longest ? now : known.Since,
            known.Until > longest ? now : known.Until,
            known.Reason,
            known.Openings,
            successes
        );
    }

    /// <summary>The clock was set back by so much.</summary>
    public void SetBack(TimeSpan by)
    {
        circuit = circuit with { Since = circuit.Since - by, Until = circuit.Until - by };
        weight = weight with { Since = weight.Since - by };
        (lookedAt, pausedUntil, probeUntil) = (lookedAt - by, pausedUntil - by, probeUntil - by);
        window.Clear();
        Pacer?.SetBack(by);
    }

    private CircuitState StateAt(DateTimeOffset now)
    {
        Become(CircuitDecider.At(circuit, now));
        return circuit.State;
    }

    private void Become(Circuit next)
    {
        if (CircuitDecider.Told(Provider.Name, circuit, next) is { } told)
        {
            Tell(told);
            Changed();
        }

        circuit = next;
    }

    // Counts before the change do not apply after it.
    private void Changed()
    {
        window.Clear();
        probeUntil = null;
    }

    private void Tell(object @event)
    {
        if (untold.Count == MostEvents)
            untold.RemoveAt(0);
        untold.Add(@event);
    }
}
