namespace Notify.Dispatch.Routing;

using Notify.Delivery.Monitoring;
using Notify.Dispatch.Providers;
using Notify.Domain.Channels;

/// <summary>The providers that carry a lane, in order or by weight, as this host knows them. Reacts to every outcome at once.</summary>
public sealed class ProviderRoute
{
    private static readonly TimeSpan SetBack = TimeSpan.FromSeconds(1);
    private readonly Lock gate = new();
    private readonly TimeProvider clock;
    private readonly ProviderMonitor[] members;
    private readonly bool isPaced;
    private DispatchGate? bounds;
    private int capacity;
    private DateTimeOffset latest;

    /// <summary>Makes a route of at least one provider.</summary>
    public ProviderRoute(Lane lane, IReadOnlyList<RouteMember> members, TimeProvider clock)
    {
        (Lane, Members, this.clock) = (lane, members, clock);
        this.members = [.. members.Select(m => new ProviderMonitor(m, clock.GetUtcNow()))];
        isPaced = Array.Exists(this.members, m => m.Pacer is not null);
        capacity = Capacity(clock.GetUtcNow());
    }

    /// <summary>The lane that it carries.</summary>
    public Lane Lane { get; }

    /// <summary>Its providers, in order.</summary>
    public IReadOnlyList<RouteMember> Members { get; }

    /// <summary>Whether it distributes by weight.</summary>
    public bool IsWeighted => Members[0].Weight is not null;

    /// <summary>A gate that lets through what the providers in use can have in flight, and what their rates leave room for.</summary>
    public DispatchGate OpenGate() => bounds = new DispatchGate(capacity, clock, isPaced ? RoomLeft : null);

    /// <summary>Chooses a delivery's provider, which is then expected to be called.</summary>
    /// <param name="tried">The providers that the delivery has tried in this round.</param>
    /// <param name="random">Uniform in [0, 1).</param>
    public IDeliveryProvider Choose(IReadOnlyCollection<string> tried, double random)
    {
        lock (gate)
        {
            var now = Now();
            var chosen = members[members.Length == 1 ? 0 : RouteDecider.Choose(Candidates(now), IsWeighted, tried, random)];
            chosen.Choose(now);
            return chosen.Provider;
        }
    }

    /// <summary>Whether another provider is usable that the delivery has not tried in this round.</summary>
    public bool HasAnother(IReadOnlyCollection<string> tried)
    {
        if (members.Length == 1)
            return false;
        lock (gate)
            return RouteDecider.HasAnother(Candidates(Now()), tried);
    }

    /// <summary>A call begins.</summary>
    public void Begin(IDeliveryProvider provider)
    {
        lock (gate)
            Find(provider.Name)?.Begin();
        Fit();
    }

    /// <summary>A delivery's call has ended.</summary>
    /// <param name="counts">Whether it says something about the provider; a call that was for many says it once.</param>
    public void End(IDeliveryProvider provider, AttemptOutcome outcome, TimeSpan latency, DateTimeOffset began, bool counts = true)
    {
        lock (gate)
            Find(provider.Name)?.End(outcome, latency, began, Now(), counts);
        Fit();
    }

    /// <summary>Applies changes that depend on time alone: circuits that are due, weights.</summary>
    public void Tick()
    {
        lock (gate)
        {
            foreach (var member in members)
                member.Weigh(Now());
        }

        Fit();
    }

    /// <summary>Returns the changes to write for the installation.</summary>
    public List<ProviderChange> Untold()
    {
        lock (gate)
            return [.. members.Select(m => m.Untold(Lane)).OfType<ProviderChange>()];
    }

    /// <summary>Returns the states of its providers.</summary>
    public List<ProviderState> States()
    {
        lock (gate)
            return [.. members.Select(m => m.State(Lane))];
    }

    /// <summary>A change was written.</summary>
    public void Told(ProviderChange change)
    {
        lock (gate)
            Find(change.State.Provider)?.Told(change);
    }

    /// <summary>Takes over what the installation knows.</summary>
    public void Adopt(ProviderState known)
    {
        lock (gate)
            Find(known.Provider)?.Adopt(known, Now());
        Fit();
    }

    // Under the lock. Where the clock was set back, remembered times move with it, so that no delivery waits for the repeated hour.
    private DateTimeOffset Now()
    {
        var now = clock.GetUtcNow();
        if (latest - now is var back && back > SetBack)
        {
            foreach (var member in members)
                member.SetBack(back);
        }

        return latest = now;
    }

    private ProviderMonitor? Find(string name) => Array.Find(members, m => m.Provider.Name == name);

    private Candidate[] Candidates(DateTimeOffset now) => Array.ConvertAll(members, m => m.At(now));

    // Where deliveries go as long as nothing fails: all that are open in a weighted route, else the first of them.
    private List<ProviderMonitor> InUse(DateTimeOffset now)
    {
        var open = members.Where(m => m.IsOpenForTraffic(now));
        List<ProviderMonitor> use = [.. IsWeighted ? open : open.Take(1)];
        return use.Count > 0 ? use : [members[0]];
    }

    // The sum of what the providers in use can have in flight, and of what is still under way at the others: a provider that
    // takes over is not held up by the calls of the one that fell silent, and none gets more than it may have in flight.
    private int Capacity(DateTimeOffset now)
    {
        var use = InUse(now);
        return use.Sum(m => m.Provider.InFlight) + members.Except(use).Sum(m => Math.Min(m.Calls, m.Provider.InFlight));
    }

    private void Fit()
    {
        if (members.Length == 1)
            return;
        lock (gate)
        {
            var fits = Capacity(Now());
            if (fits == capacity)
                return;
            capacity = fits;
        }

        bounds?.Resize(() => capacity);
    }

    private Room RoomLeft()
    {
        lock (gate)
        {
            var now = Now();
            var (tokens, burst, rate) = (0d, 0d, 0d);
            foreach (var member in InUse(now))
            {
                if (member.Pacer is not { } pacer)
                    return Room.Unlimited;
                (tokens, burst, rate) = (tokens + pacer.Tokens(now), burst + pacer.Burst(now), rate + pacer.Rate(now));
            }

            return new Room(tokens, burst, rate);
        }
    }
}
