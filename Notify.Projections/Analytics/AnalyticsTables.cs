namespace Notify.Projections.Analytics;

using Notify.Delivery.Retention;
using Notify.Delivery.Tracking;
using Notify.Domain.Broadcasts;
using Npgsql;
using NpgsqlTypes;

/// <summary>
/// Set-based writing of the analytics tables, in the caller's transaction. Rows of deliveries are replaced by their current
/// state; the counts by day and by broadcast change by exactly the difference, so that they stay the sum over
/// the deliveries. Rows of weeks that retention has dropped are not written again, and the counts change all the same.
/// One writer at a time: the holder of the row of the projection's progress. Rows are found by key and time, so that the tables may be
/// partitioned by week or not.
/// </summary>
/// <param name="schema">Where the tables are: the live ones, or those of a rebuild.</param>
public sealed class AnalyticsTables(string schema = AnalyticsTables.Schema)
{
    /// <summary>The schema that analysts read.</summary>
    public const string Schema = "analytics";

    private const string DailyColumns = "day, client_id, channel, category, template, provider, mode";

    /// <summary>Writes what became of deliveries.</summary>
    /// <param name="facts">Each delivery once.</param>
    public async Task WriteAsync(NpgsqlConnection connection, IReadOnlyList<DeliveryFact> facts, CancellationToken cancellation)
    {
        if (facts.Count == 0)
            return;
        var limits = await RetentionLimits.LockAsync(connection, cancellation);
        var sorted = facts.OrderBy(f => f.DeliveryId).ToList();
        var kept = sorted.Where(f => f.RequestedAt >= limits.Deliveries).ToList();
        var changes = new Dictionary<DailyKey, DailyCounts>();
        var broadcasts = new Dictionary<BroadcastKey, DailyCounts>();
        foreach (var old in await ReadAsync(connection, kept, cancellation))
            Change(old, -1);
        foreach (var old in sorted.Where(f => f.RequestedAt < limits.Deliveries).Select(f => f.CountedBefore).OfType<CountedDelivery>())
            Change(old, -1);
        foreach (var fact in sorted)
            Change(fact.Counted, 1);

        await UpsertDeliveriesAsync(connection, kept, cancellation);
        await UpsertEngagementAsync(connection, sorted, limits.Engagement, cancellation);
        await AddDailyAsync(connection, changes, cancellation);
        await BroadcastCounts.AddAsync(connection, schema, broadcasts, cancellation);

        void Change(CountedDelivery delivery, int sign)
        {
            if (!changes.TryGetValue(delivery.Key, out var counts))
                changes[delivery.Key] = counts = new DailyCounts();
            counts.Add(delivery, sign);
            if (delivery.BroadcastId is not { } id)
                return;
            var key = new BroadcastKey(delivery.Key.ClientId, id, delivery.Key.Channel);
            if (!broadcasts.TryGetValue(key, out var own))
                broadcasts[key] = own = new DailyCounts();
            own.Add(delivery, sign);
        }
    }

    private async Task<List<CountedDelivery>> ReadAsync(
        NpgsqlConnection connection,
        List<DeliveryFact> facts,
        CancellationToken cancellation
    )
    {
        if (facts.Count == 0)
            return [];
        await using var command = Command(
            connection,
            $"""
            select (requested_at at time zone 'UTC')::date, client_id, channel, category, coalesce(template_key, ''), coalesce(provider, ''), mode,
                   status, dispatched_at is not null or delivered_at is not null, delivered_at is not null, latency_ms, opens, clicks, unsubscribed_at is not null, event_id
            from {schema}.deliveries where delivery_id = any($1) and requested_at between $2 and $3
            """,
            facts.Select(f => f.DeliveryId).ToArray(),
            facts.Min(f => f.RequestedAt).UtcDateTime,
            facts.Max(f => f.RequestedAt).UtcDateTime
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var rows = new List<CountedDelivery>(facts.Count);
        while (await reader.ReadAsync(cancellation))
        {
            rows.Add(
                new CountedDelivery(
                    KeyOf(reader),
                    Broadcast.IdOf(reader.GetString(14)),
                    reader.GetString(7),
                    reader.GetBoolean(8),
                    reader.GetBoolean(9),
                    reader.IsDBNull(10) ? null : reader.GetInt64(10),
                    reader.GetInt32(11),
                    reader.GetInt32(12),
                    reader.GetBoolean(13)
                )
            );
        }

        return rows;
    }

    private async Task UpsertDeliveriesAsync(NpgsqlConnection connection, List<DeliveryFact> f, CancellationToken cancellation)
    {
        if (f.Count == 0)
            return;
        (string Column, object Values)[] columns =
        [
            ("delivery_id", f.Select(d => d.DeliveryId).ToArray()),
            ("client_id", f.Select(d => d.ClientId).ToArray()),
            ("event_id", f.Select(d => d.EventId).ToArray()),
            ("recipient", f.Select(d => d.Recipient).ToArray()),
            ("registered", f.Select(d => d.Registered).ToArray()),
            ("channel", f.Select(d => d.Channel).ToArray()),
            ("lane", f.Select(d => d.Lane).ToArray()),
            ("provider", f.Select(d => d.Provider).ToArray()),
            ("category", f.Select(d => d.Category).ToArray()),
            ("priority", f.Select(d => d.Priority).ToArray()),
            ("mode", f.Select(d => d.Mode).ToArray()),
            ("template_key", f.Select(d => d.TemplateKey).ToArray()),
            ("template_version", f.Select(d => d.TemplateVersion).ToArray()),
            ("status", f.Select(d => d.Status).ToArray()),
            ("reason", f.Select(d => d.Reason).ToArray()),
            ("attempts", f.Select(d => d.Attempts).ToArray()),
            ("requested_at", Times(d => d.RequestedAt)),
            ("planned_at", Times(d => d.Times.PlannedAt)),
            ("first_attempt_at", Times(d => d.Times.FirstAttemptAt)),
            ("dispatched_at", Times(d => d.DispatchedAt)),
            ("delivered_at", Times(d => d.DeliveredAt)),
            ("failed_at", Times(d => d.Times.FailedAt)),
            ("status_at", Times(d => d.Times.StatusAt)),
            ("latency_ms", f.Select(d => d.LatencyMs).ToArray()),
            ("provider_latency_ms", f.Select(d => d.Times.ProviderLatencyMs).ToArray()),
            ("delivery_latency_ms", f.Select(d => d.DeliveryLatencyMs).ToArray()),
            ("opened_at", Times(d => d.First("opened"))),
            ("opens", f.Select(d => d.Count("opened")).ToArray()),
            ("clicked_at", Times(d => d.First("clicked"))),
            ("clicks", f.Select(d => d.Count("clicked")).ToArray()),
            ("unsubscribed_at", Times(d => d.First("unsubscribed"))),
        ];
        await using var command = Command(
            connection,
            Upsert($"{schema}.deliveries", [.. columns.Select(c => c.Column)], ["delivery_id", "requested_at"]),
            [.. columns.Select(c => c.Values)]
        );
        await command.ExecuteNonQueryAsync(cancellation);

        DateTime?[] Times(Func<DeliveryFact, DateTimeOffset?> time) => [.. f.Select(d => time(d)?.UtcDateTime)];
    }

    private async Task UpsertEngagementAsync(
        NpgsqlConnection connection,
        List<DeliveryFact> facts,
        DateTimeOffset keptSince,
        CancellationToken cancellation
    )
    {
        var rows = facts.SelectMany(f => f.Times.Engagements.Where(e => e.At >= keptSince).Select(e => (Fact: f, Engagement: e))).ToList();
        if (rows.Count == 0)
            return;
        await using var command = Command(
            connection,
            Upsert(
                $"{schema}.engagement",
                ["delivery_id", "kind", "link", "client_id", "channel", "category", "first_at", "source"],
                ["delivery_id", "kind", "link", "first_at"]
            ),
            rows.Select(r => r.Fact.DeliveryId).ToArray(),
            rows.Select(r => r.Engagement.Kind).ToArray(),
            rows.Select(r => r.Engagement.Link).ToArray(),
            rows.Select(r => r.Fact.ClientId).ToArray(),
            rows.Select(r => r.Fact.Channel).ToArray(),
            rows.Select(r => r.Fact.Category).ToArray(),
            rows.Select(r => r.Engagement.At.UtcDateTime).ToArray(),
            rows.Select(r => r.Engagement.Source).ToArray()
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    private async Task AddDailyAsync(NpgsqlConnection connection, Dictionary<DailyKey, DailyCounts> changes, CancellationToken cancellation)
    {
        var keys = changes.Keys.OrderBy(k => k.Day).ThenBy(k => k.ToString(), StringComparer.Ordinal).ToList();
        await using (
            var command = Command(
                connection,
                $"""
                select {DailyColumns}, array[{string.Join(", ", DailyCounts.Columns)}], latency_histogram
                from {schema}.daily join unnest($1, $2, $3, $4, $5, $6, $7) as k({DailyColumns}) using ({DailyColumns})
                """,
                KeyColumns(keys)
            )
        )
        await using (var reader = await command.ExecuteReaderAsync(cancellation))
        {
            while (await reader.ReadAsync(cancellation))
                changes[KeyOf(reader)].Add(reader.GetFieldValue<long[]>(7), reader.GetFieldValue<long[]>(8));
        }

        // A delivery that moves on to its first provider may leave a row that counts nothing.
        var empty = keys.Where(k => changes[k].Requested == 0).ToList();
        if (empty.Count > 0)
        {
            await using var delete = Command(
                connection,
                $"delete from {schema}.daily using unnest($1, $2, $3, $4, $5, $6, $7) as k({DailyColumns}) where ({Qualified("daily")}) = ({Qualified("k")})",
                KeyColumns(empty)
            );
            await delete.ExecuteNonQueryAsync(cancellation);
            keys = [.. keys.Where(k => changes[k].Requested != 0)];
        }

        if (keys.Count == 0)
            return;
        object[] counts =
        [
            .. Enumerable.Range(0, DailyCounts.Columns.Count).Select(i => (object)keys.Select(k => changes[k][i]).ToArray()),
        ];
        object[] values = [.. KeyColumns(keys), .. counts, keys.Select(k => LatencyHistogram.Write(changes[k].Histogram)).ToArray()];
        await using var upsert = Command(
            connection,
            $"""
            insert into {schema}.daily ({DailyColumns}, {string.Join(", ", DailyCounts.Columns)}, latency_histogram)
            select {DailyColumns}, {string.Join(", ", DailyCounts.Columns)}, histogram::bigint[]
            from unnest({string.Join(", ", values.Select((_, i) => $"${i + 1}"))}) as t({DailyColumns}, {string.Join(
                ", ",
                DailyCounts.Columns
            )}, histogram)
            on conflict ({DailyColumns}) do update
            set {string.Join(", ", DailyCounts.Columns.Select(c => $"{c} = excluded.{c}"))}, latency_histogram = excluded.latency_histogram
            """,
            values
        );
        await upsert.ExecuteNonQueryAsync(cancellation);
    }

    // A partitioned table has its key in each partition alone, which "on conflict (key)" does not find: the one writer updates, and
    // inserts the rest.
    private static string Upsert(string table, string[] columns, string[] key) =>
        $"""
            with given as (
                select * from unnest({string.Join(", ", columns.Select((_, i) => $"${i + 1}"))}) as g({string.Join(", ", columns)})),
            changed as (
                update {table} t set {string.Join(", ", columns.Except(key).Select(c => $"{c} = g.{c}"))} from given g
                where {string.Join(" and ", key.Select(c => $"t.{c} = g.{c}"))} returning {string.Join(", ", key.Select(c => $"t.{c}"))})
            insert into {table} ({string.Join(", ", columns)}) select * from given g
            where ({string.Join(", ", key)}) not in (select {string.Join(", ", key)} from changed)
            on conflict do nothing
            """;

    private static string Qualified(string alias) => string.Join(", ", DailyColumns.Split(", ").Select(c => $"{alias}.{c}"));

    private static object[] KeyColumns(List<DailyKey> keys) =>
        [
            keys.Select(k => k.Day).ToArray(),
            keys.Select(k => k.ClientId).ToArray(),
            keys.Select(k => k.Channel).ToArray(),
            keys.Select(k => k.Category).ToArray(),
            keys.Select(k => k.Template).ToArray(),
            keys.Select(k => k.Provider).ToArray(),
            keys.Select(k => k.Mode).ToArray(),
        ];

    private static DailyKey KeyOf(NpgsqlDataReader reader) =>
        new(
            reader.GetFieldValue<DateOnly>(0),
            reader.GetString(1),
            reader.GetString(2),
            reader.GetString(3),
            reader.GetString(4),
            reader.GetString(5),
            reader.GetString(6)
        );

    private static NpgsqlCommand Command(NpgsqlConnection connection, string sql, params ReadOnlySpan<object> parameters)
    {
        var command = new NpgsqlCommand(sql, connection);
        foreach (var value in parameters)
        {
            var parameter = new NpgsqlParameter { Value = value };
            if (value is DateTime[] or DateTime?[])
                parameter.NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.TimestampTz;
            else if (value is DateTime)
                parameter.NpgsqlDbType = NpgsqlDbType.TimestampTz;
            command.Parameters.Add(parameter);
        }

        return command;
    }
}
