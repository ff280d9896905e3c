namespace Notify.Tests.Dispatch.Routing;

using Microsoft.Extensions.Time.Testing;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.Monitoring;
using Notify.Dispatch.Dispatching;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Routing;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Domain.Routing;
using static Notify.Tests.Domain.Some;

/// <summary>An outage of ten minutes in simulated time, decided by the product's own code: route, outcomes, alerts.</summary>
public sealed class OutageTests
{
    private const int PerSecond = 5;
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan Silent = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan From = TimeSpan.FromMinutes(2),
        To = TimeSpan.FromMinutes(12),
        End = TimeSpan.FromMinutes(22);
    private readonly FakeTimeProvider clock = new(Noon);
    private readonly Random random = new(11);
    private readonly StubProvider twilio = new("twilio"),
        vonage = new("vonage");
    private readonly ProviderRoute route;
    private readonly Dictionary<Guid, (OpenDelivery Row, Notification State, List<object> Events)> deliveries = [];
    private readonly PriorityQueue<Guid, DateTimeOffset> due = new();
    private readonly List<(Guid Id, string Provider, DateTimeOffset At)> accepted = [];
    private readonly List<CallCounts> calls = [];
    private readonly List<object> told = [];
    private readonly List<string> alerts = [];
    private List<Trouble> open = [];
    private readonly Dictionary<string, DateTimeOffset> recovered = [];

    public OutageTests() => route = new ProviderRoute(Lane.Sms, [new RouteMember(twilio), new RouteMember(vonage)], clock);

    private TimeSpan Elapsed => clock.GetUtcNow() - Noon;

    [Fact]
    public void Ten_minutes_without_a_provider_lose_nothing_repeat_nothing_and_are_told_once()
    {
        while (Elapsed < End + TimeSpan.FromMinutes(20))
        {
            if (Elapsed < End && Elapsed.TotalMilliseconds % (1000 / PerSecond) == 0)
                Accept();
            while (due.TryPeek(out var id, out var at) && at <= clock.GetUtcNow())
            {
                due.Dequeue();
                Attempt(id);
            }

            if (Elapsed.TotalMilliseconds % 5000 == 0)
                Judge();
            route.Tick();
            foreach (var change in route.Untold())
            {
                told.AddRange(change.Events);
                route.Told(change);
            }

            clock.Advance(Tick);
        }

        // Nothing lost, nothing twice, nothing late but what had to be asked about.
        Assert.Equal((int)End.TotalSeconds * PerSecond, deliveries.Count);
        Assert.All(deliveries.Values, d => Assert.Equal(DeliveryStatus.Dispatched, d.State.Deliveries[d.Row.Id].Status));
        Assert.Equal(deliveries.Count, accepted.Count);
        Assert.Equal(deliveries.Count, accepted.Select(a => a.Id).Distinct().Count());
        var clear = deliveries.Values.Where(d => !d.Events.OfType<DispatchOutcomeUnknown>().Any()).ToList();
        Assert.True(clear.Count < deliveries.Count);
        Assert.All(
            clear,
            d => Assert.InRange((d.Events.OfType<NotificationDispatched>().Single().At - d.Row.EnqueuedAt).TotalSeconds, 0, 1)
        );
        Assert.All(deliveries.Values, d => InOrder(d.Events));

        // Over to the other within seconds, and back again within its last pause.
        Assert.All(accepted.Where(a => a.At > Noon + From + Silent && a.At < Noon + To), a => Assert.Equal("vonage", a.Provider));
        Assert.All(
            accepted.Where(a => a.At < Noon + From || a.At > Noon + To + TimeSpan.FromMinutes(6)),
            a => Assert.Equal("twilio", a.Provider)
        );
        Assert.InRange(told.OfType<CircuitOpened>().Count(), 2, 8); // tries ever rarer, not one a second

        var names = told.Select(t => t.GetType().Name).ToList();
        Assert.Equal("CircuitOpened", names[0]);
        Assert.Equal("CircuitClosed", names[^1]);
        Assert.Single(names, n => n == "CircuitClosed");
        Assert.All(names.Index().SkipLast(1), n => Assert.Equal(n.Index % 2 == 0 ? "CircuitOpened" : "CircuitHalfOpened", n.Item));
        Assert.Equal(["+provider:twilio", "-provider:twilio"], alerts);
    }

    private void Accept()
    {
        var (key, now) = ($"n/c:{deliveries.Count}", clock.GetUtcNow());
        var planned = new PlannedDelivery(DeterministicId.OfDelivery(key, "sms"), Lane.Sms, null, new Notify.Domain.Privacy.Sealed("1.x"));
        List<object> events = [Requested(), new DeliveriesPlanned([planned], [], 0, now)];
        deliveries[planned.Id] = (
            OpenDelivery.Planned(key, planned, Priority.Normal, now),
            Notify.Domain.Notifications.Notification.Fold(key, events)!,
            events
        );
        due.Enqueue(planned.Id, now);
    }

    private void Attempt(Guid id)
    {
        var (row, state, _) = deliveries[id];
        var (d, now) = (state.Deliveries[id], clock.GetUtcNow());
        if (d.Status == DeliveryStatus.Unknown)
        {
            // Asked: the provider that has it answers so.
            AttemptOutcome answer = accepted.Exists(a => a.Id == id)
                ? new AttemptOutcome.Accepted($"m-{id}")
                : new AttemptOutcome.NotFound();
            Settle(
                new AttemptMade(
                    row,
                    Guid.Empty,
                    d.Attempts,
                    d.Provider!,
                    answer,
                    TimeSpan.Zero,
                    null,
                    now,
                    WasAsked: true,
                    UnknownDeadline: d.DeferredUntil
                )
            );
            return;
        }

        var provider = route.Choose(d.Tried ?? [], random.NextDouble());
        var attempt = d.Attempts + 1;
        Append(id, new DispatchAttempted(id, attempt, provider.Name, now));
        route.Begin(provider);
        var outcome = Answer(provider, id);
        route.End(provider, outcome, TimeSpan.FromMilliseconds(40), now);
        var (kind, reason, code) = CallOutcomes.Of(outcome);
        calls.Add(new CallCounts(now, provider.Name, row.Queue, kind, reason, code, 1));
        Settle(
            new AttemptMade(
                row,
                Guid.Empty,
                attempt,
                provider.Name,
                outcome,
                TimeSpan.FromMilliseconds(40),
                null,
                now,
                Moves: d.Moves,
                MayMove: route.HasAnother([.. d.Tried ?? [], provider.Name])
            )
        );
    }

    // First Twilio swallows what it gets, and has half of it; then it says no. Vonage loses an answer now and then.
    private AttemptOutcome Answer(IDeliveryProvider provider, Guid id)
    {
        var isOut = provider == twilio && Elapsed >= From && Elapsed < To;
        if (isOut && Elapsed >= From + Silent)
            return new AttemptOutcome.Retry(Reasons.Retry, "503");
        var isLost = isOut || (provider == vonage && random.Next(100) == 0);
        if (!isLost || random.Next(2) == 0)
            accepted.Add((id, provider.Name, clock.GetUtcNow()));
        return isLost ? new AttemptOutcome.Unknown(Reasons.TimedOut) : new AttemptOutcome.Accepted($"m-{id}");
    }

    private void Settle(AttemptMade made)
    {
        var (e, next) = OutcomeDecider.Decide(made, new RetrySchedule(), clock.GetUtcNow(), random.NextDouble());
        if (e is not null)
            Append(made.Row.Id, e);
        if (next is null)
            return;
        deliveries[made.Row.Id] = deliveries[made.Row.Id] with { Row = next };
        if (next.DueAt is { } at)
            due.Enqueue(next.Id, at);
    }

    private void Append(Guid id, object e)
    {
        var d = deliveries[id];
        d.Events.Add(e);
        deliveries[id] = d with { State = Notify.Domain.Notifications.Notification.Evolve(d.State, d.Row.Notification, e)! };
    }

    private void Judge()
    {
        var now = clock.GetUtcNow();
        calls.RemoveAll(c => c.Bucket < now.AddHours(-1));
        var diverted = route.States().Where(s => s.Circuit != CircuitState.Closed).Select(s => s.Provider).ToHashSet();
        var judgement = TroubleDecider.Decide(new AlertRules(), new Evidence(calls, [], open, recovered, diverted), now);
        open = [.. judgement.Opened.Concat(judgement.Going)];
        foreach (var t in judgement.Recovered)
            recovered[t.Subject] = now;
        alerts.AddRange(judgement.Opened.Select(t => $"+{t.Subject}").Concat(judgement.Recovered.Select(t => $"-{t.Subject}")));
    }

    // Each call is announced, and its outcome follows, before the next one; nobody is called about what is unknown.
    private static void InOrder(List<object> events)
    {
        var (attempt, provider) = (0, "");
        foreach (var e in events.Skip(2))
        {
            switch (e)
            {
                case DispatchAttempted a:
                    Assert.Equal(("", attempt + 1), (provider, a.Attempt));
                    (attempt, provider) = (a.Attempt, a.Provider);
                    break;
                case DispatchOutcomeUnknown u:
                    Assert.Equal((provider, attempt), (u.Provider, u.Attempt));
                    break;
                case DeliveryDeferred w:
                    Assert.Equal((provider, attempt), (w.Provider!, w.Attempt));
                    provider = "";
                    break;
                case NotificationDispatched done:
                    Assert.Equal((provider, attempt), (done.Provider, done.Attempt));
                    provider = "";
                    break;
            }
        }
    }
}
