namespace Notify.Tests.Simulation;

using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.Hosting;
using Notify.Dispatch.Dispatching;
using Notify.Dispatch.Due;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Routing;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Infrastructure.Hosting;

/// <summary>
/// A Dispatch host: its lease, heartbeats, takeover and due work. The decisions are the product's own; only loops and statements are
/// modelled. A paused host does nothing until it continues; a killed one nothing any more; statements already sent are still executed.
/// </summary>
internal sealed partial class SimulatedHost
{
    /// <summary>How long a host may be silent, and how often it gives a sign of life.</summary>
    public static readonly TimeSpan HostTimeout = TimeSpan.FromSeconds(15),
        Beat = TimeSpan.FromSeconds(3);

    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1),
        Noticeable = TimeSpan.FromSeconds(2);

    private readonly Simulation simulation;
    private readonly SimulatedStore store;
    private readonly SeededRandom random;
    private readonly SimulatedClock own;
    private readonly InstallationClock clock;
    private readonly HostLease lease;
    private readonly SignsOfLife signs;
    private readonly AbandonedLooks looks;
    private readonly Dictionary<Lane, ProviderRoute> routes;
    private SignOfLife[] gone = [];
    private bool isLooking,
        hasLooked,
        isPumping,
        isPullingIn,
        isJudging;
    private DateTimeOffset latest = DateTimeOffset.MinValue;
    private int ticks;

    public SimulatedHost(Simulation simulation, string name)
    {
        (this.simulation, store, random, Name) = (simulation, simulation.Store, simulation.Random, name);
        own = new SimulatedClock(simulation.Time) { Ahead = random.Chance(0.2) ? random.Seconds(-300, 300) : TimeSpan.Zero };
        clock = new InstallationClock(own);
        lease = new HostLease(HostTimeout, clock);
        signs = new SignsOfLife(HostTimeout, Beat, clock);
        looks = new AbandonedLooks(Beat * 20, clock);
        Id = random.Id();
        routes = simulation
            .Providers.GroupBy(p => p.Lane)
            .ToDictionary(g => g.Key, g => new ProviderRoute(g.Key, [.. g.Select(p => new RouteMember(p))], clock));
        Start();
    }

    public Guid Id { get; }

    public string Name { get; }

    public bool IsAlive { get; private set; } = true;

    public bool IsStopping { get; private set; }

    public TimeSpan PausedUntil { get; private set; }

    public bool IsPaused => PausedUntil > simulation.Time.Now;

    public ClaimsAtWork Claims { get; } = new();

    /// <summary>kill -9.</summary>
    public void Kill()
    {
        IsAlive = false;
        simulation.Log($"{Name} is killed");
    }

    /// <summary>SIGSTOP, and SIGCONT later.</summary>
    public void Pause(TimeSpan length)
    {
        PausedUntil = simulation.Time.Now + length;
        simulation.Log($"{Name} is paused for {length.TotalSeconds} s");
    }

    /// <summary>SIGTERM: it claims nothing more, finishes its work and signs off.</summary>
    public void Stop()
    {
        IsStopping = true;
        simulation.Log($"{Name} is stopped");
        Drain();
    }

    private void Drain() =>
        At(
            Second,
            () =>
            {
                if (Claims.Active.Length > 0)
                    Drain();
                else
                    Transact("sign off", () => store.Dispatchers.Remove(Id), _ => Kill());
            }
        );

    // A step of this host: later where it is paused, never where it was killed.
    private void At(TimeSpan delay, Action step) =>
        simulation.Time.In(
            delay,
            () =>
            {
                if (!IsAlive)
                    return;
                if (IsPaused)
                    At(PausedUntil - simulation.Time.Now, step);
                else
                    step();
            }
        );

    // A transaction: one step in the database, whose answer comes in another step.
    private void Transact(string what, Action body, Action<bool> answered) =>
        At(
            simulation.Latency(),
            () =>
            {
                var fate = simulation.Database.Fate();
                if (fate != CommitFate.Failed)
                    simulation.Commit($"{Name} {what}", body);
                if (fate != CommitFate.Committed)
                    simulation.Log($"{Name} {what}: {fate}");
                var more = fate == CommitFate.AnswerLost ? random.Seconds(0, 5) : default;
                At(simulation.Latency() + more, () => answered(fate == CommitFate.Committed));
            }
        );

    // One statement: the database carries it out also while this host is paused.
    private void Execute(Action<bool> statement) => simulation.Time.In(simulation.Latency(), () => statement(!simulation.Database.IsAway));

    private void Start()
    {
        var asked = clock.GetTimestamp();
        if (simulation.Database.Fate() == CommitFate.Committed)
            clock.Heard(asked, store.Now, clock.GetTimestamp());
        Heartbeat(isAnswered =>
        {
            if (!isAnswered)
                simulation.Restart(this); // the process ends, and is started again
            else
                At(random.Seconds(0, 1), Tick);
        });
    }

    private void Tick()
    {
        At(Second, Tick);
        LookAtClock();
        if (++ticks % 3 == 0)
            Heartbeat(isAnswered =>
            {
                if (isAnswered)
                    LookAtSigns();
            });
        if (!IsStopping)
            Poll();
    }

    // ClockWatch.LookAsync.
    private void LookAtClock()
    {
        var asked = clock.GetTimestamp();
        Execute(isThere =>
        {
            if (!isThere)
                return;
            var said = store.Now;
            At(simulation.Latency(), () => clock.Heard(asked, said, clock.GetTimestamp()));
        });
    }

    // Takeover.BeatAsync.
    private void Heartbeat(Action<bool> answered)
    {
        var sentAt = clock.GetTimestamp();
        Execute(isThere =>
        {
            if (isThere)
                store.Dispatchers[Id] = store.Now;
            At(
                simulation.Latency(),
                () =>
                {
                    if (isThere)
                        lease.Renew(sentAt);
                    answered(isThere);
                }
            );
        });
    }

    // The loop of Takeover.ExecuteAsync, after its heartbeat.
    private void LookAtSigns()
    {
        if (simulation.Database.IsAway)
            return;
        var now = store.Now;
        SignOfLife[] given = [.. store.Dispatchers.Select(d => new SignOfLife(d.Key, d.Value, now - d.Value))];
        var silent = signs.Gone(given);
        gone = [.. given.Where(s => s.Host != Id && silent.Contains(s.Host))];
        if (hasLooked)
            looks.Looked();
        hasLooked = false;
        if (isLooking || !looks.IsDue(given.Except(gone).Select(s => s.Host), Claims.GivenUp))
            return;
        isLooking = true;
        var seen = gone;
        var started = clock.GetUtcNow();
        Transact("take over", () => TakeOver(seen, started), done => (isLooking, hasLooked) = (false, done));
    }

    // Takeover.TakeOverAsync.
    private void TakeOver(SignOfLife[] seen, DateTimeOffset now)
    {
        if (simulation.Mutation == Mutation.NothingIsTakenOver)
            return;
        var givenUp = store.ClaimsOf(Id).Except(Claims.Active).ToList();
        foreach (var row in store.Abandoned(givenUp, [.. seen.Select(s => (s.Host, s.At))]))
        {
            var delivery = store.Load(row.Notification)?.Deliveries.GetValueOrDefault(row.Id);
            var (@event, next) = TakeoverDecider.Decide(row, delivery, simulation.Schedule, now);
            simulation.Log($"{Name} takes over {simulation.Short(row.Id)}");
            simulation.Excuse(row.Id);
            if (@event is not null)
                store.Append(row.Notification, @event);
            if (next is null)
                store.Remove(row.Id);
            else
                store.Put(next);
        }
    }

    // DuePump, ReadyDeliveryProcessor and WaitingReceipts, each as often as once a second.
    private void Poll()
    {
        var now = clock.GetUtcNow();
        if (latest - now > Noticeable || latest == DateTimeOffset.MinValue)
            PullIn();
        latest = now;
        if (!isPumping && store.Due(now, 1).Count > 0)
        {
            isPumping = true;
            List<OpenDelivery> queued = [];
            Transact("due", () => simulation.Send(queued = TakeUp(now)), _ => isPumping = false);
        }

        if (!isJudging && store.Receipts.Values.Any(r => r.DueAt <= now))
        {
            isJudging = true;
            Transact("judge receipts", () => simulation.Receipts.JudgeWaiting(now), _ => isJudging = false);
        }

        foreach (var queue in DeliveryQueue.All)
        {
            if (store.CountReady(queue, now - Second, now) is > 0 and var count)
                Claim(queue, new Guid[Math.Min(count, 4)]);
        }
    }

    // DuePump.PullInAsync with CountedWaits.
    private void PullIn()
    {
        if (isPullingIn)
            return;
        isPullingIn = true;
        var now = clock.GetUtcNow();
        Transact(
            "pull in",
            () => store.PullIn(now, CountedWaits.Of(simulation.Schedule)),
            done =>
            {
                isPullingIn = false;
                if (!done)
                    At(TimeSpan.FromSeconds(5), PullIn);
            }
        );
    }

    // DuePump.TakeUpAsync and PlanAsync.
    private List<OpenDelivery> TakeUp(DateTimeOffset now)
    {
        var due = store.Due(now, 5);
        var queued = due.Select(DueDecider.Queue).OfType<OpenDelivery>().ToList();
        store.Put(queued);
        store.Postpone(due.Where(r => r.State == OpenState.InFlight).Select(r => r.Id), null);
        foreach (var row in due.Where(r => r.State == OpenState.Scheduled))
        {
            var n = store.Load(row.Notification);
            switch (DueDecider.Decide(n, mustWait: false, now))
            {
                case PlanningStep.Wait:
                    store.Put(row with { DueAt = n!.SendAt });
                    continue;
                case PlanningStep.Expire:
                    store.Append(row.Notification, new NotificationExpired([], now));
                    break;
                case PlanningStep.Plan:
                    queued.AddRange(simulation.Planning.Plan(n!.Key, n.Request, now));
                    break;
            }

            store.Remove(row.Id);
        }

        return queued;
    }
}
