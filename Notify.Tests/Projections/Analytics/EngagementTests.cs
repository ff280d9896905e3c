namespace Notify.Tests.Projections.Analytics;

using System.Text.Json.Nodes;
using Notify.Delivery.Tracking;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;

/// <summary>Engagement counters that are kept outside the events, as analysts see them.</summary>
public sealed class EngagementTests(AnalyticsDatabase database) : IClassFixture<AnalyticsDatabase>
{
    private static readonly DateTimeOffset At = new(2026, 5, 4, 12, 0, 0, TimeSpan.Zero);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Unique_and_total_are_told_apart_and_a_rebuild_changes_neither()
    {
        await database.StartDaemonAsync();
        // Three emails: the first is opened three times and two of its links are followed, three times and once; the second is
        // hit by machines alone; the third was opened as its provider says, and again by its own picture.
        var (first, second, third) = (await SendAsync("e-1"), await SendAsync("e-2"), await SendAsync("e-3"));
        await database.AppendAsync(
            KeyOf("e-1"),
            new NotificationOpened(first.Id, "pixel", At),
            new LinkClicked(first.Id, 0, "link", At),
            new LinkClicked(first.Id, 1, "link", At)
        );
        await database.AppendAsync(KeyOf("e-3"), new NotificationOpened(third.Id, "sendgrid", At));
        await HitAsync(first, "e-1", TrackedHits.Opening, people: 3, machines: 1, hasFirst: true);
        await HitAsync(first, "e-1", 0, people: 3, machines: 0, hasFirst: true);
        await HitAsync(first, "e-1", 1, people: 1, machines: 2, hasFirst: true);
        await HitAsync(second, "e-2", TrackedHits.Opening, people: 0, machines: 2, hasFirst: false);
        await HitAsync(third, "e-3", TrackedHits.Opening, people: 1, machines: 0, hasFirst: false);
        await database.CaughtUpAsync();

        await IsToldAsync();
        var (exitCode, output) = await database.RebuildAsync("analytics");
        Assert.True(exitCode == 0 && output.Contains(" 0 differ; swapped", StringComparison.Ordinal), output);
        await IsToldAsync();

        var hits = await HitsAsync(first.Id);
        Assert.Equal([new TrackedHit(-1, 3, 1), new TrackedHit(0, 3, 0), new TrackedHit(1, 1, 2)], hits);
    }

    [Fact]
    public async Task Hits_that_race_are_all_counted()
    {
        var delivery = await SendAsync("e-race");
        await Task.WhenAll(
            Enumerable.Range(0, 40).Select(i => HitAsync(delivery, "e-race", i % 2, people: 5, machines: 0, hasFirst: false))
        );
        Assert.Equal([new TrackedHit(0, 100, 0), new TrackedHit(1, 100, 0)], await HitsAsync(delivery.Id));
        Assert.Equal(
            ["{\"n\": 200}"],
            await database.RowsAsync("select clicked_again as n from analytics.daily_hits where category = 'e-race'")
        );
    }

    [Fact]
    public async Task Repeated_hits_are_counted_without_their_stream()
    {
        var delivery = await SendAsync("e-again");
        Assert.False(await AgainAsync(delivery, isMachine: false)); // the first one is for the stream to decide
        await HitAsync(delivery, "e-again", TrackedHits.Opening, people: 0, machines: 1, hasFirst: false);
        Assert.True(await AgainAsync(delivery, isMachine: true));
        Assert.False(await AgainAsync(delivery, isMachine: false)); // machines alone: a person's first one is an event
        await HitAsync(delivery, "e-again", TrackedHits.Opening, people: 1, machines: 0, hasFirst: true);
        await database.ExecuteAsync($"delete from events.mt_events where stream_id = '{KeyOf("e-again")}'");
        Assert.True(await AgainAsync(delivery, isMachine: false));

        Assert.Equal([new TrackedHit(TrackedHits.Opening, 2, 2)], await HitsAsync(delivery.Id));
        Assert.Equal(
            ["{\"people\": 1, \"machines\": 2}"],
            await database.RowsAsync(
                "select sum(machine_opens) as machines, sum(opened_again) as people " + "from notify.tracked_daily where category = 'again'"
            )
        );
    }

    private async Task<bool> AgainAsync(Delivery delivery, bool isMachine)
    {
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        return await TrackedHits.CountAgainAsync(connection, delivery.Id, TrackedHits.Opening, isMachine, At, Cancellation);
    }

    private async Task IsToldAsync()
    {
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        await using (var role = new Npgsql.NpgsqlCommand("set role notify_analyst", connection))
            await role.ExecuteNonQueryAsync(Cancellation);
        await using var command = new Npgsql.NpgsqlCommand(
            """
            select to_jsonb(q)::text from (
                select sum(opened) as opened, sum(opened_total) as opened_total, sum(clicked) as clicked, sum(clicked_links) as clicked_links, sum(clicked_total) as clicked_total,
                       sum(machine_opens) as machine_opens, sum(machine_clicks) as machine_clicks from analytics.daily_engagement where category = 'news') q
            """,
            connection
        );
        var row = JsonNode.Parse((string)(await command.ExecuteScalarAsync(Cancellation))!)!;
        Assert.Equal(("2", "5"), ($"{row["opened"]}", $"{row["opened_total"]}"));
        Assert.Equal(("1", "2", "4"), ($"{row["clicked"]}", $"{row["clicked_links"]}", $"{row["clicked_total"]}"));
        Assert.Equal(("3", "2"), ($"{row["machine_opens"]}", $"{row["machine_clicks"]}"));
    }

    private async Task<List<TrackedHit>> HitsAsync(Guid delivery)
    {
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        return [.. (await TrackedHits.OfAsync(connection, [delivery], Cancellation))[delivery]];
    }

    private async Task HitAsync(Delivery delivery, string eventId, int number, int people, int machines, bool hasFirst)
    {
        var request = AnyHistory.Requested("c_mail", eventId, "u", At, CategoryOf(eventId));
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        for (var i = 0; i < people + machines; i++)
            await TrackedHits.CountAsync(
                connection,
                request,
                delivery,
                number,
                isMachine: i >= people,
                isFirst: hasFirst && i == 0,
                At.AddMinutes(i),
                Cancellation
            );
    }

    // The events of an email that is dispatched.
    private async Task<Delivery> SendAsync(string eventId)
    {
        var key = KeyOf(eventId);
        var id = DeterministicId.OfDelivery(key, "email");
        object[] events =
        [
            AnyHistory.Requested("c_mail", eventId, "u", At, CategoryOf(eventId)),
            new DeliveriesPlanned([new PlannedDelivery(id, Lane.Email, null, new Sealed("7.t"))], [], 1, At),
            new NotificationDispatched(id, 1, "sendgrid", $"m-{eventId}", 20, null, At.AddSeconds(1)),
        ];
        await database.AppendAsync(key, events);
        return events.Aggregate((Notification?)null, (n, e) => Notification.Evolve(n, key, e))!.Deliveries[id];
    }

    private static string CategoryOf(string eventId) =>
        eventId switch
        {
            "e-race" => eventId,
            "e-again" => "again",
            _ => "news",
        };

    private static string KeyOf(string eventId) => NotificationKey.Of("c_mail", eventId);
}
