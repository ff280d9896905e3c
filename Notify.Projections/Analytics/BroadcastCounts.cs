namespace Notify.Projections.Analytics;

using Npgsql;

/// <summary>The key of a row of <c>analytics.broadcasts</c>.</summary>
public readonly record struct BroadcastKey(string ClientId, string BroadcastId, string Channel);

/// <summary>The current outcomes of a broadcast's deliveries.</summary>
/// <param name="Planned">All: planned or skipped. A user with two devices has two.</param>
/// <param name="Suppressed">Skipped: opted out, no contact, suppressed address, and so on.</param>
/// <param name="InFlight">Queued, deferred or being attempted.</param>
/// <param name="Dispatched">Accepted by a provider, also where they failed afterwards.</param>
/// <param name="Delivered">Reported to have reached the device or mailbox.</param>
/// <param name="Failed">Failed permanently.</param>
/// <param name="DeadLettered">Used up their attempts and wait for a person.</param>
/// <param name="Unknown">Attempted, and it is not known whether the provider accepted.</param>
/// <param name="Cancelled">Withdrawn before they were made.</param>
/// <param name="Expired">Not made before expiresAt.</param>
/// <param name="Opened">Opened: each counts once.</param>
/// <param name="Clicked">With a clicked link: each counts once.</param>
/// <param name="Unsubscribed">Through which the person unsubscribed.</param>
public sealed record BroadcastOutcome(
    long Planned,
    long Suppressed,
    long InFlight,
    long Dispatched,
    long Delivered,
    long Failed,
    long DeadLettered,
    long Unknown,
    long Cancelled,
    long Expired,
    long Opened,
    long Clicked,
    long Unsubscribed
);

/// <summary>The counts of broadcasts: a few rows each, however many people it goes to.</summary>
public static class BroadcastCounts
{
    private const string Key = "client_id, broadcast_id, channel";

    /// <summary>Adds changes, in the caller's transaction.</summary>
    /// <param name="schema">Where the table is.</param>
    internal static async Task AddAsync(
        NpgsqlConnection connection,
        string schema,
        Dictionary<BroadcastKey, DailyCounts> changes,
        CancellationToken cancellation
    )
    {
        if (changes.Count == 0)
            return;
        var keys = changes.Keys.OrderBy(k => k.ToString(), StringComparer.Ordinal).ToList();
        object[] values =
        [
            keys.Select(k => k.ClientId).ToArray(),
            keys.Select(k => k.BroadcastId).ToArray(),
            keys.Select(k => k.Channel).ToArray(),
            .. Enumerable.Range(0, DailyCounts.Columns.Count).Select(i => keys.Select(k => changes[k][i]).ToArray()),
        ];
        await using var command = new NpgsqlCommand(
            $"""
            insert into {schema}.broadcasts as b ({Key}, {string.Join(", ", DailyCounts.Columns)})
            select * from unnest({string.Join(", ", values.Select((_, i) => $"${i + 1}"))})
            on conflict ({Key}) do update set {string.Join(", ", DailyCounts.Columns.Select(c => $"{c} = b.{c} + excluded.{c}"))}
            """,
            connection
        );
        foreach (var value in values)
            command.Parameters.Add(new NpgsqlParameter { Value = value });
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Reads the outcomes of a client's broadcasts, by their IDs; broadcasts without counts are absent.</summary>
    public static async Task<Dictionary<string, BroadcastOutcome>> ReadAsync(
        NpgsqlConnection connection,
        string client,
        string[] ids,
        CancellationToken cancellation
    )
    {
        var counted = new Dictionary<string, BroadcastOutcome>(StringComparer.Ordinal);
        if (ids.Length == 0)
            return counted;
        string[] columns =
        [
            "requested",
            "suppressed",
            "in_flight",
            "dispatched",
            "delivered",
            "failed",
            "dead_lettered",
            "unknown",
            "cancelled",
            "expired",
            "opened",
            "clicked",
            "unsubscribed",
        ];
        await using var command = new NpgsqlCommand(
            $"""
            select broadcast_id, array[{string.Join(", ", columns.Select(c => $"sum({c})::bigint"))}]
            from {AnalyticsTables.Schema}.broadcasts where client_id = $1 and broadcast_id = any($2) group by broadcast_id
            """,
            connection
        );
        command.Parameters.Add(new NpgsqlParameter { Value = client });
        command.Parameters.Add(new NpgsqlParameter { Value = ids });
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        while (await reader.ReadAsync(cancellation))
        {
            var c = reader.GetFieldValue<long[]>(1);
            counted[reader.GetString(0)] = new BroadcastOutcome(
                c[0],
                c[1],
                c[2],
                c[3],
                c[4],
                c[5],
                c[6],
                c[7],
                c[8],
                c[9],
                c[10],
                c[11],
                c[12]
            );
        }

        return counted;
    }
}
