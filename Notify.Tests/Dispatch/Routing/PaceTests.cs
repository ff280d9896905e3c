namespace Notify.Tests.Dispatch.Routing;

using Microsoft.Extensions.Time.Testing;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Routing;
using Notify.Domain.Channels;

public class PaceTests
{
    private readonly FakeTimeProvider clock = new(new DateTimeOffset(2026, 5, 4, 12, 0, 0, TimeSpan.Zero));

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(1, 60)]
    [InlineData(50, 3000)]
    public void So_many_go_in_a_minute_and_hardly_more_in_any_second(double rate, int perMinute)
    {
        var pacer = new Pacer(rate, TimeSpan.Zero, clock.GetUtcNow());
        var bySecond = new int[60];
        for (var ms = 0; ms < 60_000; ms += 10)
        {
            for (; pacer.Tokens(clock.GetUtcNow()) >= 1; bySecond[ms / 1000]++)
                pacer.Take(clock.GetUtcNow());
            clock.Advance(TimeSpan.FromMilliseconds(10));
        }

        Assert.InRange(bySecond.Sum(), perMinute - 1, perMinute + Math.Max(1, rate / 5));
        Assert.All(bySecond, n => Assert.InRange(n, 0, Math.Ceiling(rate * 1.2) + 1));
    }

    [Fact]
    public void A_cold_provider_is_reached_over_a_minute_and_anew_after_a_pause()
    {
        var pacer = new Pacer(10_000, TimeSpan.FromMinutes(1), clock.GetUtcNow());
        pacer.Take(clock.GetUtcNow());
        Assert.Equal(1000, pacer.Rate(clock.GetUtcNow()));
        for (var i = 0; i < 30; i++)
            Second();
        Assert.Equal(5500, pacer.Rate(clock.GetUtcNow()));
        for (var i = 0; i < 40; i++)
            Second();
        Assert.Equal(10_000, pacer.Rate(clock.GetUtcNow()));
        clock.Advance(TimeSpan.FromMinutes(2));
        pacer.Take(clock.GetUtcNow());
        Assert.Equal(1000, pacer.Rate(clock.GetUtcNow()));

        void Second()
        {
            clock.Advance(TimeSpan.FromSeconds(1));
            pacer.Take(clock.GetUtcNow());
        }
    }

    [Fact]
    public async Task Critical_never_waits_behind_bulk_for_a_rate()
    {
        var (route, gate) = Route(10);
        var bulk = Enumerable.Range(0, 50).Select(_ => gate.TakeAsync(Priority.Bulk, 25, 200, Cancellation)).ToList();
        Spend(route, gate, bulk);
        var critical = gate.TakeAsync(Priority.Critical, 1, 1, Cancellation);
        for (var ms = 0; !critical.IsCompleted && ms < 1000; ms += 10)
            await AdvanceAsync(10);
        Assert.Equal(1, await critical);
        Assert.InRange((clock.GetUtcNow() - clock.Start).TotalMilliseconds, 0, 120); // a token of ten a second
    }

    [Fact]
    public async Task Reserve_for_critical_is_available_at_once()
    {
        var (route, gate) = Route(100);
        await AdvanceAsync(1000);
        Assert.Equal(16, await gate.TakeAsync(Priority.Bulk, 25, 200, Cancellation)); // of twenty
        Assert.Equal(4, await gate.TakeAsync(Priority.Critical, 1, 200, Cancellation));
        Assert.False(gate.TakeAsync(Priority.Critical, 1, 1, Cancellation).IsCompleted);
        Assert.NotNull(route);
    }

    [Fact]
    public async Task Claim_of_fewer_deliveries_returns_its_unused_permits()
    {
        var (route, gate) = Route(100);
        await AdvanceAsync(1000);
        var granted = await gate.TakeAsync(Priority.Normal, 1, 100, Cancellation);
        Assert.Equal(19, granted);
        for (var i = 0; i < 5; i++)
            route.Choose([], 0); // the others were cancelled meanwhile
        gate.Chosen(granted);
        gate.Release(granted);
        Assert.Equal(14, await gate.TakeAsync(Priority.Normal, 1, 100, Cancellation));
    }

    [Fact]
    public async Task A_rate_is_kept_over_time()
    {
        var (route, gate) = Route(100);
        var sent = 0;
        var waiting = new List<Task<int>>();
        for (var ms = 0; ms < 10_000; ms += 20)
        {
            if (waiting.Count == 0)
                waiting.Add(gate.TakeAsync(Priority.Normal, 25, 200, Cancellation));
            sent += Spend(route, gate, waiting);
            await AdvanceAsync(20);
        }

        Assert.InRange(sent, 900, 1030);
    }

    [Fact]
    public async Task A_clock_that_is_set_back_holds_up_nobody()
    {
        var (route, gate) = Route(100);
        await AdvanceAsync(1000);
        Assert.Equal(20, await gate.TakeAsync(Priority.Critical, 1, 200, Cancellation));
        for (var i = 0; i < 20; i++)
            route.Choose([], 0);
        gate.Chosen(20);
        gate.Release(20);

        clock.AdjustTime(clock.GetUtcNow().AddHours(-1));
        route.Tick();
        await AdvanceAsync(100);

        Assert.InRange(await gate.TakeAsync(Priority.Critical, 1, 200, Cancellation), 9, 10);
    }

    [Fact]
    public async Task Another_provider_s_limit_is_no_limit_where_it_is_not_in_use()
    {
        var route = new ProviderRoute(
            Lane.Sms,
            [new RouteMember(new StubProvider("a")), new RouteMember(new StubProvider("b"), Pace: new Pace { RatePerSecond = 1 })],
            clock
        );
        Assert.Equal(10, await route.OpenGate().TakeAsync(Priority.Critical, 1, 200, Cancellation));
    }

    private (ProviderRoute, DispatchGate) Route(double rate)
    {
        var route = new ProviderRoute(
            Lane.Sms,
            [new RouteMember(new StubProvider("p", concurrency: 1000), Pace: new Pace { RatePerSecond = rate })],
            clock
        );
        return (route, route.OpenGate());
    }

    // Claims and sends all granted deliveries at once.
    private static int Spend(ProviderRoute route, DispatchGate gate, List<Task<int>> waiting)
    {
        var sent = 0;
        foreach (var taken in waiting.Where(w => w.IsCompleted).ToList())
        {
            waiting.Remove(taken);
            for (var i = 0; i < taken.Result; i++)
                route.Choose([], 0);
            gate.Chosen(taken.Result);
            gate.Release(taken.Result);
            sent += taken.Result;
        }

        return sent;
    }

    // Timers that became due run on other threads.
    private async Task AdvanceAsync(int milliseconds)
    {
        clock.Advance(TimeSpan.FromMilliseconds(milliseconds));
        for (var i = 0; i < 5; i++)
            await Task.Yield();
        await Task.Delay(1, Cancellation);
    }
}
