namespace Notify.Tests.Projections.Retention;

using Marten;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.Retention;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Notify.Projections.Analytics;
using Notify.Projections.NotificationViews;
using Notify.Tests.Projections.Analytics;
using Notify.Tests.Support;
using Npgsql;

/// <summary>Views and analytics rows with a retention, projected by the daemon and dropped by the role of a host.</summary>
public sealed class ReadModelRetentionTests : IAsyncLifetime
{
    private const string Client = "c_kept";
    private static readonly DateTimeOffset Then = new(2026, 6, 1, 12, 0, 0, TimeSpan.Zero),
        Later = new(2026, 7, 8, 12, 0, 0, TimeSpan.Zero), // in the week after the first partition
        Over = new(2026, 8, 10, 12, 0, 0, TimeSpan.Zero);
    private static readonly RetentionSettings Month = new() { Views = TimeSpan.FromDays(30), Analytics = TimeSpan.FromDays(30) };
    private static readonly string[] First =
    [
        "events.mt_doc_notificationview_20260629",
        "analytics.deliveries_20260629",
        "analytics.engagement_20260629",
    ];
    private readonly AnalyticsDatabase database = new();
    private readonly FakeTimeProvider clock = new(Then);
    private NpgsqlDataSource host = null!;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        await database.InitializeAsync();
        host = NpgsqlDataSource.Create(HostRoles.Connection(database.ConnectionString, "Projections") + ";Maximum Pool Size=3");
    }

    public async ValueTask DisposeAsync()
    {
        await host.DisposeAsync();
        await database.DisposeAsync();
    }

    [Fact]
    public async Task Weeks_of_read_models_are_dropped_and_neither_late_events_nor_rebuilds_bring_them_back()
    {
        await database.StartDaemonAsync();
        var (old, open) = (await SendAsync("old", Then.AddDays(-90)), await SendAsync("open", Then));
        await database.AppendAsync(KeyOf("old"), new NotificationOpened(old, "app", Then.AddDays(-89)));
        await database.CaughtUpAsync();
        Assert.Empty(await RunAsync(Month)); // the tables become the first partitions
        var late = await SendAsync("late", Later);
        await database.AppendAsync(KeyOf("open"), new NotificationDelivered(open, "fcm", Then.AddHours(1)));
        await database.CaughtUpAsync();
        Assert.Equal(["late", "old", "open"], await DeliveriesAsync());
        Assert.Equal(["late dispatched", "old dispatched", "open delivered"], await ViewsAsync());
        Assert.Equal(
            ["""{"late": "analytics.deliveries_20260706", "open": "analytics.deliveries_20260629"}"""],
            await database.RowsAsync(
                $"select (select tableoid::regclass from analytics.deliveries where delivery_id = '{open}') as open, "
                    + $"(select tableoid::regclass from analytics.deliveries where delivery_id = '{late}') as late"
            )
        );

        clock.SetUtcNow(Over);
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        await OpenDeliveryTable.AddAsync(connection, [OpenDelivery.Planning(KeyOf("open"), Priority.Normal, Then, Over)], Cancellation);
        Assert.Equal(First[1..], await RunAsync(Month)); // the views of a delivery that is not finished are kept
        await OpenDeliveryTable.RemoveAsync(connection, [DeterministicId.OfPlanning(KeyOf("open"))], Cancellation);
        Assert.Equal(First[..1], await RunAsync(Month));
        Assert.Equal(["late"], await DeliveriesAsync());
        Assert.Equal(["late dispatched"], await ViewsAsync());

        // The counts stay, and go on with what happens late; the rows do not come back.
        await database.AppendAsync(KeyOf("old"), new LinkClicked(old, 0, "track", Over));
        await database.AppendAsync(KeyOf("late"), new NotificationDelivered(late, "fcm", Over));
        await database.CaughtUpAsync();
        Assert.Equal(["late"], await DeliveriesAsync());
        Assert.Equal(["late delivered"], await ViewsAsync());
        const string Counts =
            "select sum(requested) as all, sum(delivered) as delivered, sum(opened) as opened, sum(clicked) as clicked from";
        string[] counted = ["""{"all": 3, "opened": 1, "clicked": 1, "delivered": 2}"""];
        Assert.Equal(counted, await database.RowsAsync($"{Counts} analytics.daily"));
        Assert.Equal(["""{"kind": "clicked"}"""], await database.RowsAsync("select kind from analytics.engagement"));

        foreach (var name in new[] { "analytics", "notification-views" })
        {
            var (exitCode, output) = await database.RebuildAsync(name);
            Assert.True(exitCode == 0 && output.Contains(", 0 differ; swapped", StringComparison.Ordinal), output);
        }

        Assert.Equal(["late"], await DeliveriesAsync());
        Assert.Equal(["late delivered"], await ViewsAsync());
        Assert.Equal(counted, await database.RowsAsync($"{Counts} analytics.daily"));
        // The rebuilt tables have partitions, and new rows go into them.
        Assert.Equal("ppp", await KindsAsync());
        await SendAsync("after", Over);
        await database.CaughtUpAsync();
        Assert.Equal(["after", "late"], await DeliveriesAsync());
        clock.SetUtcNow(Over.AddDays(60));
        Assert.Contains("analytics.deliveries_20260706", await RunAsync(Month));
        Assert.Empty(await DeliveriesAsync());
        Assert.Empty(await ViewsAsync());
        await database.ExecuteAsync("set role notify_analyst; select count(*) from analytics.deliveries, analytics.engagement; reset role");
    }

    [Fact]
    public async Task Tables_are_partitioned_only_for_a_retention_and_when_no_earlier_host_or_view_would_suffer()
    {
        Assert.Empty(await RunAsync(new RetentionSettings { Payloads = TimeSpan.FromDays(30) }));
        Assert.Equal("rrr", await KindsAsync());
        await database.ExecuteAsync(
            "insert into notify.host_keys (host, name, keys, wraps, lacks, seen_at) "
                + "values (gen_random_uuid(), 'notify-projections', '{1}', '1', '{}', now())"
        );
        await RunAsync(Month);
        Assert.Equal("rrr", await KindsAsync());

        await database.ExecuteAsync("delete from notify.host_keys; create view public.own as select * from analytics.deliveries");
        await RunAsync(Month);
        Assert.Equal("prp", await KindsAsync());
        await database.ExecuteAsync("drop view public.own");
        await RunAsync(Month);
        Assert.Equal("ppp", await KindsAsync());
        Assert.Equal(
            ["""{"n": 9}"""], // of each table the first one, the week after it and the default one
            await database.RowsAsync(
                "select count(*) as n from pg_inherits where inhparent in ('analytics.deliveries'::regclass, "
                    + "'analytics.engagement'::regclass, 'events.mt_doc_notificationview'::regclass)"
            )
        );
        await RunAsync(new RetentionSettings()); // partitioned tables stay so
        Assert.Equal("ppp", await KindsAsync());
    }

    [Fact]
    public async Task A_change_of_a_delivery_knows_what_was_counted_before_it_also_when_its_stream_is_not_in_memory()
    {
        var id = await SendAsync("known", Then);
        await database.AppendAsync(KeyOf("known"), new NotificationOpened(id, "app", Then.AddDays(1)));
        await using var session = database.Store.QuerySession();
        var events = await session.Events.FetchStreamAsync(KeyOf("known"), token: Cancellation);
        var fact = Assert.Single(
            await AnalyticsProjection.FactsAsync(AnalyticsProjection.Streams(), database.Ring, session, [events[^1]], Cancellation)
        );
        Assert.Equal((1, fact.Counted with { Opens = 0 }), (fact.Counted.Opens, fact.CountedBefore!));
        fact = Assert.Single(
            await AnalyticsProjection.FactsAsync(AnalyticsProjection.Streams(), database.Ring, session, events, Cancellation)
        );
        Assert.Null(fact.CountedBefore);
    }

    private static string KeyOf(string eventId) => NotificationKey.Of(Client, eventId);

    // A push that a provider has accepted.
    private async Task<Guid> SendAsync(string eventId, DateTimeOffset at)
    {
        var id = DeterministicId.OfDelivery(KeyOf(eventId), "d");
        await database.AppendAsync(
            KeyOf(eventId),
            AnyHistory.Requested(Client, eventId, "u", at),
            new DeliveriesPlanned([new PlannedDelivery(id, Lane.Fcm, "d", new Sealed("7.t"))], [], 1, at),
            new NotificationDispatched(id, 1, "fcm", eventId, 20, null, at.AddSeconds(1))
        );
        return id;
    }

    private Task<IReadOnlyList<string>> RunAsync(RetentionSettings settings) =>
        new RetentionService(host, settings, clock, NullLogger<RetentionService>.Instance).RunAsync(Cancellation);

    private async Task<List<string>> DeliveriesAsync() =>
        [
            .. (await database.RowsAsync("select event_id from analytics.deliveries order by 1")).Select(r =>
                r.Split('"', StringSplitOptions.None)[3]
            ),
        ];

    private async Task<List<string>> ViewsAsync()
    {
        await using var session = database.Store.QuerySession();
        var views = await session.Query<NotificationView>().Where(v => v.ClientId == Client).OrderBy(v => v.Id).ToListAsync(Cancellation);
        return [.. views.Select(v => $"{v.State.Request.EventId} {v.Status}")];
    }

    // r: a plain table; p: a partitioned one. Views, deliveries, engagement.
    private async Task<string> KindsAsync() =>
        string.Concat(
            (
                await database.RowsAsync(
                    "select relkind from unnest(array['events.mt_doc_notificationview', 'analytics.deliveries', 'analytics.engagement']) "
                        + "with ordinality t(name, n) join pg_class c on c.oid = name::regclass order by n"
                )
            ).Select(r => r.Split('"')[3])
        );
}
