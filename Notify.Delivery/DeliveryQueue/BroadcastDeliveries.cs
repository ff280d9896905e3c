namespace Notify.Delivery.DeliveryQueue;

using Notify.Domain.Broadcasts;
using Notify.Domain.Channels;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>Reads and locks the open deliveries of a broadcast, found by the prefix of their keys; in the caller's transaction.</summary>
public static class BroadcastDeliveries
{
    private const string Own = "notification ~>=~ $1 and notification ~<~ $2";
    private const string Waits = "state in (0, 2, 5)";

    /// <summary>Whether any of its deliveries waits: queued, deferred or in digests.</summary>
    public static async Task<bool> AreWaitingAsync(NpgsqlConnection connection, Broadcast broadcast, CancellationToken cancellation) =>
        (bool)
            (
                await ScalarAsync(
                    connection,
                    $"select exists (select 1 from notify.open_deliveries where {Own} and {Waits}) or exists (select 1 from "
                        + "notify.digest_items where member >= $1 and member < $2)",
                    broadcast,
                    cancellation
                )
            )!;

    /// <summary>Locks some of the waiting rows, by ID; rows that another transaction has locked are skipped.</summary>
    /// <param name="most">How many at most; fewer do not mean that no more wait.</param>
    public static async Task<List<OpenDelivery>> LockWaitingAsync(
        NpgsqlConnection connection,
        Broadcast broadcast,
        int most,
        CancellationToken cancellation
    )
    {
        var (from, to) = RangeOf(broadcast);
        return await OpenDeliveryTable.ReadAsync(
            SqlCommands.Create(
                connection,
                $"""
                select {OpenDeliveryTable.Columns} from notify.open_deliveries
                where delivery_id in (select delivery_id from notify.open_deliveries where {Own} and {Waits} order by notification using ~<~ limit $3) and {Waits}
                order by delivery_id for update skip locked
                """,
                from,
                to,
                most
            ),
            cancellation
        );
    }

    /// <summary>Whether deliveries may wait again later: in flight or with an unknown outcome. Dead letters do not count.</summary>
    /// <returns><c>null</c>: none; else whether one is in flight.</returns>
    public static async Task<bool?> MayWaitAsync(NpgsqlConnection connection, Broadcast broadcast, CancellationToken cancellation) =>
        await ScalarAsync(
            connection,
            $"select bool_or(state <> 3) from notify.open_deliveries where {Own} and state <> 4",
            broadcast,
            cancellation
        ) as bool?;

    /// <summary>
    /// Whether so many of a client's deliveries are in one of these queues, or with its provider. Deliveries of other clients do not
    /// count: clients take turns.
    /// </summary>
    public static async Task<bool> AreFullAsync(
        NpgsqlConnection connection,
        string client,
        IReadOnlyCollection<DeliveryQueue> queues,
        int most,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            """
            select exists (select 1 from unnest($1) as q(code) where
                (select count(*) from (select 1 from notify.open_deliveries d where d.queue = q.code and d.client = $3 limit $2) few) >= $2)
            """,
            queues.Select(q => q.Code).ToArray(),
            (long)most,
            client
        );
        return (bool)(await command.ExecuteScalarAsync(cancellation))!;
    }

    private static async Task<object?> ScalarAsync(
        NpgsqlConnection connection,
        string sql,
        Broadcast broadcast,
        CancellationToken cancellation
    )
    {
        var (from, to) = RangeOf(broadcast);
        await using var command = SqlCommands.Create(connection, sql, from, to);
        return await command.ExecuteScalarAsync(cancellation);
    }

    /// <summary>Between what the keys of its notifications lie, byte by byte.</summary>
    internal static (string From, string To) RangeOf(Broadcast broadcast) =>
        (broadcast.NotificationPrefix, $"{broadcast.NotificationPrefix[..^1]}A"); // it ends in @, after which A comes
}
