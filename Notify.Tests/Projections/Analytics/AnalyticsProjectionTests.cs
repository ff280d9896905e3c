namespace Notify.Tests.Projections.Analytics;

using System.Globalization;
using Marten;
using Notify.Delivery.EventStore;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Projections.Analytics;

public sealed class AnalyticsProjectionTests(AnalyticsDatabase database) : IClassFixture<AnalyticsDatabase>
{
    private const int Notifications = 400;

    [Fact]
    public async Task The_tables_are_what_folding_every_stream_gives_whatever_happened_in_whatever_order()
    {
        var start = new DateTimeOffset(2026, 5, 4, 23, 59, 0, TimeSpan.Zero); // two days meet here
        var any = new AnyHistory(20260504);
        var waiting = Enumerable.Range(0, Notifications).Select(i => any.Notification(i, start.AddMilliseconds(333 * i))).ToList();
        var told = waiting.ToDictionary(n => n.Key, _ => 0);
        var random = new Random(1);
        await database.StartDaemonAsync();
        while (waiting.Count > 0)
        {
            // A few events of some streams at a time, so that the daemon's pages cut the streams anywhere.
            await using var session = database.Store.LightweightSession();
            foreach (var (key, events) in waiting.OrderBy(_ => random.Next()).Take(60).ToList())
            {
                var next = events.Skip(told[key]).Take(random.Next(1, 4)).ToArray();
                session.Events.Append(key, next);
                told[key] += next.Length;
            }

            await session.SaveChangesAsync(TestContext.Current.CancellationToken);
            waiting.RemoveAll(n => told[n.Key] >= n.Events.Count);
        }

        await database.CaughtUpAsync();

        await using var query = database.Store.QuerySession();
        var folded = (await NotificationStreams.LoadAsync(query, [.. told.Keys], TestContext.Current.CancellationToken)).States;
        Assert.Equal(Notifications, folded.Count);
        var expected = folded
            .SelectMany(n =>
                n.Value.Deliveries.Values.Select(d =>
                    Line(
                        d.Id,
                        n.Value.Request.ClientId,
                        n.Value.Request.EventId,
                        d.Channel,
                        d.Provider,
                        d.Status,
                        d.Reason,
                        d.Attempts,
                        d.DispatchedAt,
                        d.DeliveredAt,
                        d.OpenedAt
                    )
                )
            )
            .Order(StringComparer.Ordinal)
            .ToList();
        Assert.InRange(expected.Count, Notifications, 4 * Notifications);
        Assert.Equal(expected, await ReadLinesAsync());

        // The roll-up is the sum over the deliveries, in both directions, also of their latencies.
        Assert.Empty(await database.RowsAsync($"({OverDeliveries}) except all ({OverDaily})"));
        Assert.Empty(await database.RowsAsync($"({OverDaily}) except all ({OverDeliveries})"));
        Assert.NotEmpty(await database.RowsAsync(OverDaily));

        // Built anew in one go, with other pages: the same, to the last row and column.
        foreach (var name in new[] { "analytics", "notification-views" })
        {
            var (exitCode, output) = await database.RebuildAsync(name);
            Assert.Equal(0, exitCode);
            Assert.Contains(", 0 differ; swapped", output, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Percentiles_read_from_histograms_are_as_exact_as_is_said()
    {
        var random = new Random(7);
        for (var round = 0; round < 20; round++)
        {
            var values = Enumerable
                .Range(0, random.Next(1, 400))
                .Select(_ => (long)Math.Pow(2, random.NextDouble() * 29))
                .Order()
                .ToArray();
            var counts = new long[500];
            foreach (var v in values)
                counts[LatencyHistogram.BucketOf(v)]++;
            foreach (var fraction in new[] { 0.0, 0.5, 0.95, 0.99, 1.0 })
            {
                await using var command = database.Source.CreateCommand(
                    "select analytics.percentile(analytics.histogram_add($1::text::bigint[], '{0}'), $2)"
                );
                command.Parameters.Add(new() { Value = LatencyHistogram.Write(counts) });
                command.Parameters.Add(new() { Value = fraction });
                var read = (double)(await command.ExecuteScalarAsync(TestContext.Current.CancellationToken))!;
                var exact = values[Math.Max(0, (int)Math.Ceiling(fraction * values.Length) - 1)];
                Assert.InRange(read, exact * (1 - 0.032), exact * (1 + 0.032));
            }
        }
    }

    [Fact]
    public async Task An_empty_histogram_has_no_percentile() =>
        Assert.Equal(["{\"p\": null}"], await database.RowsAsync("select analytics.percentile('{}', 0.5) as p"));

    private const string OverDaily = """
        select day, client_id, channel, category, template, provider, mode, requested, suppressed, cancelled, expired, in_flight, unknown, dispatched, delivered, failed, dead_lettered,
               opened, opened_total, clicked, clicked_total, unsubscribed, (select coalesce(sum(h), 0) from unnest(latency_histogram) h) as latencies,
               analytics.percentile(latency_histogram, 1) as longest
        from analytics.daily
        """;

    private const string OverDeliveries = """
        select (requested_at at time zone 'UTC')::date, client_id, channel, category, coalesce(template_key, ''), coalesce(provider, ''), mode,
               count(*), count(*) filter (where status = 'suppressed'), count(*) filter (where status = 'cancelled'), count(*) filter (where status = 'expired'),
               count(*) filter (where status in ('queued', 'deferred', 'attempting')), count(*) filter (where status = 'unknown'),
               count(*) filter (where dispatched_at is not null or delivered_at is not null), count(*) filter (where delivered_at is not null),
               count(*) filter (where status = 'failed'), count(*) filter (where status = 'deadLettered'),
               count(opened_at), sum(opens), count(clicked_at), sum(clicks), count(unsubscribed_at), count(latency_ms)::numeric,
               analytics.percentile(case when max(latency_ms) is null then '{}' else array_fill(0::bigint, array[(case when max(latency_ms) < 32 then max(latency_ms)
                   else 32 + (floor(log(2.0, max(latency_ms)))::int - 5) * 16 + (max(latency_ms) / (2 ^ (floor(log(2.0, max(latency_ms)))::int - 4))::bigint) % 16 end)::int]) || 1::bigint end, 1)
        from analytics.deliveries group by 1, 2, 3, 4, 5, 6, 7
        """;

    private async Task<List<string>> ReadLinesAsync()
    {
        await using var command = database.Source.CreateCommand(
            "select delivery_id, client_id, event_id, channel, provider, status, reason, attempts, dispatched_at, "
                + "delivered_at, opened_at from analytics.deliveries"
        );
        await using var reader = await command.ExecuteReaderAsync();
        var lines = new List<string>();
        while (await reader.ReadAsync())
        {
            lines.Add(
                Line(
                    reader.GetGuid(0),
                    reader.GetString(1),
                    reader.GetString(2),
                    Parse<Channel>(reader.GetString(3)),
                    Text(4),
                    Parse<DeliveryStatus>(reader.GetString(5)),
                    Text(6),
                    reader.GetInt32(7),
                    Time(8),
                    Time(9),
                    Time(10)
                )
            );
        }

        lines.Sort(StringComparer.Ordinal);
        return lines;

        string? Text(int column) => reader.IsDBNull(column) ? null : reader.GetString(column);
        DateTimeOffset? Time(int column) => reader.IsDBNull(column) ? null : reader.GetFieldValue<DateTimeOffset>(column);
        static T Parse<T>(string text)
            where T : struct, Enum => Enum.Parse<T>(text, ignoreCase: true);
    }

    private static string Line(
        Guid id,
        string client,
        string eventId,
        Channel channel,
        string? provider,
        DeliveryStatus status,
        string? reason,
        int attempts,
        params DateTimeOffset?[] times
    ) =>
        string.Create(
            CultureInfo.InvariantCulture,
            $"{id} {client} {eventId} {channel} {provider} {EnumNames.Of(status)} {reason} {attempts} {string.Join(' ', times.Select(t => t?.UtcDateTime.ToString("O", CultureInfo.InvariantCulture) ?? "-"))}"
        );
}
