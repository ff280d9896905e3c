namespace Notify.Tests.Dispatch.Routing;

using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Notify.Delivery.Monitoring;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Routing;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Domain.Routing;
using Notify.Tests.Projections.Analytics;

/// <summary>Provider states that several Dispatch hosts share.</summary>
public sealed class ProviderStateTests(AnalyticsDatabase database) : IClassFixture<AnalyticsDatabase>, IDisposable
{
    private static readonly AttemptOutcome Fine = new AttemptOutcome.Accepted("m"),
        Broken = new AttemptOutcome.Retry(Reasons.Retry, "503");
    private readonly FakeTimeProvider clock = new(new DateTimeOffset(2026, 5, 4, 12, 0, 0, TimeSpan.Zero));
    private readonly string provider = $"p{Guid.NewGuid():N}";
    private readonly List<IDisposable> hosts = [];

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => hosts.ForEach(h => h.Dispose());

    [Fact]
    public async Task One_outage_that_all_hosts_notice_at_once_is_written_once()
    {
        var all = Enumerable.Range(0, 8).Select(_ => Host()).ToList();
        await Task.WhenAll(all.Select(h => h.Keeper.SyncAsync(Cancellation)));
        foreach (var host in all)
            Call(host.Route, Broken, 5);
        await Task.WhenAll(all.Select(h => h.Keeper.SyncAsync(Cancellation)));
        Assert.Equal(["CircuitOpened"], await EventsAsync());

        clock.Advance(TimeSpan.FromSeconds(10));
        foreach (var host in all)
            host.Route.Tick();
        await Task.WhenAll(all.Select(h => h.Keeper.SyncAsync(Cancellation)));
        foreach (var host in all)
            await host.Keeper.SyncAsync(Cancellation);
        foreach (var host in all)
            Call(host.Route, Fine, 3);
        await Task.WhenAll(all.Select(h => h.Keeper.SyncAsync(Cancellation)));
        foreach (var host in all)
            await host.Keeper.SyncAsync(Cancellation);

        Assert.Equal(["CircuitOpened", "CircuitHalfOpened", "CircuitClosed"], await EventsAsync());
        Assert.All(all, h => Assert.Equal((CircuitState.Closed, 3L), (h.Route.States()[0].Circuit, h.Route.States()[0].Version)));
        Assert.All(all, h => Assert.Empty(h.Route.Untold()));
    }

    [Fact]
    public async Task Open_circuit_of_one_host_applies_to_all_hosts()
    {
        var (one, other) = (Host(), Host());
        await other.Keeper.SyncAsync(Cancellation);
        Call(one.Route, Broken, 5);
        Assert.Equal("other", one.Route.Choose([], 0).Name);
        Assert.Equal(provider, other.Route.Choose([], 0).Name);

        await one.Keeper.SyncAsync(Cancellation);
        await other.Keeper.SyncAsync(Cancellation);
        Assert.Equal("other", other.Route.Choose([], 0).Name);
        Assert.Equal("other", await NewHostAsync()); // and who starts later, too

        async Task<string> NewHostAsync()
        {
            var late = Host();
            await late.Keeper.SyncAsync(Cancellation);
            return late.Route.Choose([], 0).Name;
        }
    }

    [Fact]
    public async Task A_request_to_wait_is_passed_on_and_is_no_event()
    {
        var (one, other) = (Host(), Host());
        Call(one.Route, new AttemptOutcome.Retry(Reasons.Retry, "429", TimeSpan.FromSeconds(30)), 1);
        await one.Keeper.SyncAsync(Cancellation);
        await other.Keeper.SyncAsync(Cancellation);
        Assert.Equal("other", other.Route.Choose([], 0).Name);
        Assert.Empty(await EventsAsync());
        clock.Advance(TimeSpan.FromSeconds(30));
        Assert.Equal(provider, other.Route.Choose([], 0).Name);
    }

    [Fact]
    public async Task A_host_without_database_goes_by_what_it_sees_and_tells_all_of_it_later_in_order()
    {
        var host = Host();
        await host.Keeper.SyncAsync(Cancellation);
        Call(host.Route, Broken, 5);
        clock.Advance(TimeSpan.FromSeconds(10));
        Assert.Equal(provider, host.Route.Choose([], 0).Name);
        Call(host.Route, Fine, 3);
        await host.Keeper.SyncAsync(Cancellation);
        Assert.Equal(["CircuitOpened", "CircuitHalfOpened", "CircuitClosed"], await EventsAsync());

        var read = (await new ProviderHealthReader(database.Source, clock).ReadAsync(Cancellation)).Select(h => h.Provider);
        Assert.DoesNotContain(provider, read); // nobody carries it here
    }

    [Fact]
    public async Task A_change_whose_commit_s_answer_was_lost_is_not_told_twice()
    {
        var host = Host();
        await host.Keeper.SyncAsync(Cancellation);
        Call(host.Route, Broken, 5);
        var change = Assert.Single(host.Route.Untold());
        await using (var connection = await database.Source.OpenConnectionAsync(Cancellation))
            Assert.True(await ProviderStateTable.ChangeAsync(connection, change.State, Cancellation)); // committed, and the answer lost

        await host.Keeper.SyncAsync(Cancellation);
        Assert.Empty(await EventsAsync());
        Assert.Empty(host.Route.Untold());
        Assert.Equal((CircuitState.Open, 1L), (host.Route.States()[0].Circuit, host.Route.States()[0].Version));
    }

    private (ProviderRoute Route, ProviderStateKeeper Keeper) Host()
    {
        var providers = new ProviderRegistry();
        var route = new ProviderRoute(
            Lane.Sms,
            [new RouteMember(new StubProvider(provider)), new RouteMember(new StubProvider("other"))],
            clock
        );
        providers.Route(ClientMode.Live, route);
        var keeper = new ProviderStateKeeper(database.Store, database.Source, providers, clock, NullLogger<ProviderStateKeeper>.Instance);
        hosts.AddRange([keeper, providers]);
        return (route, keeper);
    }

    private void Call(ProviderRoute route, AttemptOutcome outcome, int times)
    {
        for (var i = 0; i < times; i++)
        {
            route.Begin(route.Members[0].Provider);
            route.End(route.Members[0].Provider, outcome, TimeSpan.FromMilliseconds(20), clock.GetUtcNow());
        }
    }

    private async Task<List<string>> EventsAsync()
    {
        await using var session = database.Store.LightweightSession();
        return
        [
            .. (await session.Events.FetchStreamAsync(ProviderKey.Of(provider), token: Cancellation)).Select(e => e.Data.GetType().Name),
        ];
    }
}
