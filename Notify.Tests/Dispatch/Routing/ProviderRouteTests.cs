namespace Notify.Tests.Dispatch.Routing;

using Microsoft.Extensions.Time.Testing;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Routing;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Routing;

public class ProviderRouteTests
{
    private static readonly AttemptOutcome Fine = new AttemptOutcome.Accepted("m"),
        Broken = new AttemptOutcome.Retry(Reasons.Retry, "503");
    private readonly FakeTimeProvider clock = new(new DateTimeOffset(2026, 5, 4, 12, 0, 0, TimeSpan.Zero));
    private readonly StubProvider first = new("first", concurrency: 100),
        second = new("second", concurrency: 30);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public void The_second_takes_over_at_once_and_the_first_is_tried_with_one_delivery_at_a_time()
    {
        var route = Ordered();
        Call(route, Broken, 5);
        Assert.Same(second, route.Choose([], 0));

        clock.Advance(TimeSpan.FromSeconds(10));
        Assert.Same(first, route.Choose([], 0)); // the try
        Assert.Same(second, route.Choose([], 0));
        Assert.Same(second, route.Choose([], 0));
        route.Begin(first);
        route.End(first, Fine, TimeSpan.Zero, clock.GetUtcNow());
        Call(route, Fine, 2);
        Assert.Equal((CircuitState.Closed, "first"), (route.States()[0].Circuit, route.Choose([], 0).Name));
        Assert.Equal(["CircuitOpened", "CircuitHalfOpened", "CircuitClosed"], route.Untold().Single().Events.Select(e => e.GetType().Name));
    }

    [Fact]
    public void A_try_that_was_never_made_is_made_by_another_delivery()
    {
        var route = Ordered();
        Call(route, Broken, 5);
        clock.Advance(TimeSpan.FromSeconds(10));
        Assert.Same(first, route.Choose([], 0)); // and its claim was rolled back
        Assert.Same(second, route.Choose([], 0));
        clock.Advance(TimeSpan.FromSeconds(40));
        Assert.Same(first, route.Choose([], 0));
    }

    [Fact]
    public void Provider_that_asks_for_a_pause_is_skipped_for_that_time_without_a_failure()
    {
        var route = Ordered();
        Call(route, new AttemptOutcome.Retry(Reasons.Retry, "429", TimeSpan.FromSeconds(20)), 8);
        Assert.Same(second, route.Choose([], 0));
        Assert.Equal((CircuitState.Closed, clock.GetUtcNow().AddSeconds(20)), (route.States()[0].Circuit, route.States()[0].PausedUntil));
        Assert.Empty(route.Untold());
        clock.Advance(TimeSpan.FromSeconds(20));
        Assert.Same(first, route.Choose([], 0));
    }

    [Fact]
    public void A_clock_that_is_set_back_by_an_hour_prolongs_no_pause_and_what_happens_then_counts()
    {
        var route = Ordered();
        Call(route, new AttemptOutcome.Retry(Reasons.Retry, "429", TimeSpan.FromSeconds(20)), 1);
        var paused = route.States()[0];
        clock.AdjustTime(clock.GetUtcNow().AddHours(-1));
        route.Tick();
        route.Adopt(paused); // as it still stands in the table
        Assert.Same(second, route.Choose([], 0));
        clock.Advance(TimeSpan.FromSeconds(20));
        Assert.Same(first, route.Choose([], 0));

        Call(route, Broken, 5);
        Assert.Equal(CircuitState.Open, route.States()[0].Circuit);
        clock.AdjustTime(clock.GetUtcNow().AddHours(-1));
        route.Tick();
        clock.Advance(CircuitDecider.FirstPause);
        Assert.Same(first, route.Choose([], 0));
    }

    [Fact]
    public void One_provider_alone_is_never_left_alone()
    {
        var route = new ProviderRoute(Lane.Sms, [new RouteMember(first)], clock);
        Call(route, Broken, 50);
        Assert.Equal(CircuitState.Open, route.States()[0].Circuit);
        Assert.Same(first, route.Choose([], 0));
        Assert.False(route.HasAnother(["first"]));
    }

    [Fact]
    public void A_provider_that_half_works_for_an_hour_is_told_of_seldom()
    {
        var route = new ProviderRoute(Lane.Sms, [new RouteMember(first)], clock);
        var (random, told) = (new Random(5), 0);
        for (var i = 0; i < 36_000; i++)
        {
            clock.Advance(TimeSpan.FromMilliseconds(100));
            route.Choose([], 0);
            Call(route, random.NextDouble() < 0.6 ? Broken : Fine, 1);
            foreach (var change in route.Untold())
            {
                told += change.Events.Count;
                route.Told(change);
            }
        }

        Assert.InRange(told, 3, 120);
        TestContext.Current.TestOutputHelper!.WriteLine($"{told} changes");
    }

    [Fact]
    public async Task No_provider_gets_more_than_its_concurrency_and_calls_of_one_that_fell_silent_hold_up_nobody()
    {
        var route = Ordered();
        var gate = route.OpenGate();
        Assert.Equal(100, await Take(gate, 200));
        for (var i = 0; i < 100; i++)
            route.Begin(first);
        Assert.False(Take(gate, 1).IsCompleted);

        var began = clock.GetUtcNow();
        for (var i = 0; i < 5; i++)
        {
            route.End(first, new AttemptOutcome.Unknown(Reasons.TimedOut), TimeSpan.Zero, began);
            gate.Release(1);
        }

        // 95 calls still hang at the first; the second has all its 30, one of which went to who waited.
        Assert.Equal(29, await Take(gate, 200));
        Assert.False(Take(gate, 1).IsCompleted);
    }

    [Fact]
    public async Task Waiter_for_many_permits_is_served_when_the_limit_shrinks()
    {
        var route = Ordered();
        var gate = route.OpenGate();
        await Take(gate, 100);
        for (var i = 0; i < 100; i++)
            route.Begin(first);
        var waiting = gate.TakeAsync(Priority.Critical, 90, 100, Cancellation);
        var began = clock.GetUtcNow();
        for (var i = 0; i < 100; i++)
        {
            route.End(first, Broken, TimeSpan.Zero, began);
            gate.Release(1);
        }

        Assert.Equal(30, await waiting.WaitAsync(TimeSpan.FromSeconds(5), Cancellation));
    }

    [Fact]
    public void Weights_fall_with_errors_and_come_back()
    {
        var route = new ProviderRoute(Lane.Sms, [new RouteMember(first, 50), new RouteMember(second, 50)], clock);
        var random = new Random(3);
        clock.Advance(TimeSpan.FromSeconds(10));
        var counts = Run(60, failing: 0.3);
        Assert.InRange(counts["first"] / 6000.0, 0.2, 0.4);
        counts = Run(180, failing: 0);
        Assert.Equal(1, route.States()[0].Factor);
        var changes = route.Untold().Single().Events.Cast<ProviderWeightChanged>().ToList();
        Assert.Equal(1, changes[^1].To);
        Assert.InRange(changes.Count, 2, 12);
        Assert.InRange(Run(30, failing: 0)["first"] / 3000.0, 0.45, 0.55);

        Dictionary<string, int> Run(int seconds, double failing)
        {
            var chosen = new Dictionary<string, int> { ["first"] = 0, ["second"] = 0 };
            for (var i = 0; i < seconds * 100; i++)
            {
                if (i % 100 == 0)
                {
                    clock.Advance(TimeSpan.FromSeconds(1));
                    route.Tick();
                }

                var provider = route.Choose([], random.NextDouble());
                chosen[provider.Name]++;
                route.Begin(provider);
                route.End(
                    provider,
                    provider == first && random.NextDouble() < failing ? Broken : Fine,
                    TimeSpan.FromMilliseconds(50),
                    clock.GetUtcNow()
                );
            }

            return chosen;
        }
    }

    private ProviderRoute Ordered() => new(Lane.Sms, [new RouteMember(first), new RouteMember(second)], clock);

    private void Call(ProviderRoute route, AttemptOutcome outcome, int times)
    {
        for (var i = 0; i < times; i++)
        {
            route.Begin(first);
            route.End(first, outcome, TimeSpan.FromMilliseconds(20), clock.GetUtcNow());
        }
    }

    private static Task<int> Take(DispatchGate gate, int atMost) => gate.TakeAsync(Priority.Critical, 1, atMost, Cancellation);
}
