namespace Notify.Delivery.Broadcasts;

using Notify.Domain.Broadcasts;
using Npgsql;
using NpgsqlTypes;

/// <summary>
/// Statements over <c>notify.broadcasts</c>, in the caller's transaction. Each change of a broadcast locks its row first,
/// then writes to its stream: one host at a time makes a chunk, and a pause waits for the chunk that is being made.
/// </summary>
public static class BroadcastTable
{
    private const string Columns = "key, state, send_at, expires_at, due_at, after_user, expanded, total, started_at, ended_at";

    /// <summary>Adds a broadcast.</summary>
    /// <returns>Whether its ID was free.</returns>
    public static async Task<bool> AddAsync(
        NpgsqlConnection connection,
        Broadcast broadcast,
        string client,
        string requestHash,
        DateTimeOffset requestedAt,
        CancellationToken cancellation
    )
    {
        await using var command = Command(
            connection,
            """
            insert into notify.broadcasts (key, client, request_hash, requested_at, state, send_at, expires_at, due_at, after_user, expanded)
            values ($1, $2, $3, $4, $5, $6, $7, $8, '', 0) on conflict do nothing
            """,
            broadcast.Key,
            client,
            requestHash,
            requestedAt,
            (short)broadcast.State,
            Time(broadcast.SendAt),
            Time(broadcast.ExpiresAt),
            Time(broadcast.DueAt)
        );
        return await command.ExecuteNonQueryAsync(cancellation) == 1;
    }

    /// <summary>The hash of the request that made a broadcast; <c>null</c>: there is none.</summary>
    public static async Task<string?> HashAsync(NpgsqlConnection connection, string key, CancellationToken cancellation)
    {
        await using var command = Command(connection, "select request_hash from notify.broadcasts where key = $1", key);
        return (string?)await command.ExecuteScalarAsync(cancellation);
    }

    /// <summary>A broadcast; <c>null</c>: there is none.</summary>
    public static async Task<Broadcast?> FindAsync(NpgsqlConnection connection, string key, CancellationToken cancellation) =>
        (
            await ReadAsync(Command(connection, $"select {Columns} from notify.broadcasts where key = $1", key), cancellation)
        ).FirstOrDefault();

    /// <summary>A broadcast, held until the transaction ends; <c>null</c>: there is none.</summary>
    public static async Task<Broadcast?> HoldAsync(NpgsqlConnection connection, string key, CancellationToken cancellation) =>
        (
            await ReadAsync(Command(connection, $"select {Columns} from notify.broadcasts where key = $1 for update", key), cancellation)
        ).FirstOrDefault();

    /// <summary>Locks the broadcast that has been due for longest, until the transaction ends; locked ones are skipped.</summary>
    public static async Task<Broadcast?> DueAsync(NpgsqlConnection connection, DateTimeOffset now, CancellationToken cancellation) =>
        (
            await ReadAsync(
                Command(
                    connection,
                    $"select {Columns} from notify.broadcasts where due_at <= $1 order by due_at limit 1 for update skip locked",
                    now
                ),
                cancellation
            )
        ).FirstOrDefault();

    /// <summary>A client's broadcasts, the newest first.</summary>
    /// <param name="after">Where the page begins: after this one.</param>
    public static Task<List<Broadcast>> ListAsync(
        NpgsqlConnection connection,
        string client,
        int limit,
        (DateTimeOffset At, string Key)? after,
        CancellationToken cancellation
    ) =>
        ReadAsync(
            Command(
                connection,
                $"""
                select {Columns} from notify.broadcasts
                where client = $1 and ($3 is null or (requested_at, key) < ($3, $4)) order by requested_at desc, key desc limit $2
                """,
                client,
                limit,
                Time(after?.At),
                after?.Key ?? ""
            ),
            cancellation
        );

    /// <summary>Stores what has become of a broadcast that is held.</summary>
    public static async Task PutAsync(NpgsqlConnection connection, Broadcast broadcast, CancellationToken cancellation)
    {
        await using var command = Command(
            connection,
            "update notify.broadcasts set state = $2, due_at = $3, after_user = $4, expanded = $5, total = $6, started_at = "
                + "$7, ended_at = $8 where key = $1",
            broadcast.Key,
            (short)broadcast.State,
            Time(broadcast.DueAt),
            broadcast.AfterUser,
            broadcast.Expanded,
            new NpgsqlParameter { Value = (object?)broadcast.Total ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Bigint },
            Time(broadcast.StartedAt),
            Time(broadcast.EndedAt)
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Makes due what waits for its next chunk much longer than it ever does: the clock has been set back since.</summary>
    public static async Task PullInAsync(NpgsqlConnection connection, DateTimeOffset now, CancellationToken cancellation)
    {
        await using var command = Command(
            connection,
            "update notify.broadcasts set due_at = $1 where due_at > greatest($1, coalesce(send_at, $1)) + interval '1 minute'",
            now
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Looks at a broadcast again later, if nobody has changed that meanwhile.</summary>
    public static async Task PostponeAsync(NpgsqlConnection connection, string key, DateTimeOffset until, CancellationToken cancellation)
    {
        await using var command = Command(
            connection,
            "update notify.broadcasts set due_at = $2 where key = $1 and due_at < $2",
            key,
            until
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    private static NpgsqlParameter Time(DateTimeOffset? time) =>
        new() { Value = (object?)time?.ToUniversalTime() ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.TimestampTz };

    private static NpgsqlCommand Command(NpgsqlConnection connection, string sql, params ReadOnlySpan<object> parameters)
    {
        var command = new NpgsqlCommand(sql, connection);
        foreach (var p in parameters)
            command.Parameters.Add(p as NpgsqlParameter ?? new NpgsqlParameter { Value = p });
        return command;
    }

    private static async Task<List<Broadcast>> ReadAsync(NpgsqlCommand command, CancellationToken cancellation)
    {
        await using (command)
        {
            await using var reader = await command.ExecuteReaderAsync(cancellation);
            var rows = new List<Broadcast>();
            while (await reader.ReadAsync(cancellation))
            {
                rows.Add(
                    new Broadcast(
                        reader.GetString(0),
                        (BroadcastState)reader.GetInt16(1),
                        TimeAt(2),
                        TimeAt(3),
                        TimeAt(4),
                        reader.GetString(5),
                        reader.GetInt64(6),
                        reader.IsDBNull(7) ? null : reader.GetInt64(7),
                        TimeAt(8),
                        TimeAt(9)
                    )
                );
            }

            return rows;

            DateTimeOffset? TimeAt(int column) => reader.IsDBNull(column) ? null : reader.GetFieldValue<DateTimeOffset>(column);
        }
    }
}
