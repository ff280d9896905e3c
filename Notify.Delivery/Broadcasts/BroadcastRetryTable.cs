namespace Notify.Delivery.Broadcasts;

using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>
/// Statements over <c>notify.broadcast_retries</c>, in the caller's transaction, which holds the broadcast's row: the users of a
/// broadcast whose notification could not be made with their chunk.
/// </summary>
public static class BroadcastRetryTable
{
    /// <summary>Users of one broadcast that may be set aside at once; where more fail, the cause is not theirs.</summary>
    public const int MaxUsers = 1000;

    /// <summary>Sets a user aside, or sets the time of the next try of one that is.</summary>
    /// <param name="waitOf">The wait, by the time since which the user is set aside.</param>
    /// <returns>Whether there was room.</returns>
    public static async Task<bool> SetAsideAsync(
        NpgsqlConnection connection,
        string key,
        string user,
        DateTimeOffset now,
        Func<DateTimeOffset, TimeSpan> waitOf,
        CancellationToken cancellation
    )
    {
        DateTimeOffset? since = null;
        await using (
            var find = SqlCommands.Create(
                connection,
                "select since from notify.broadcast_retries where key = $1 and user_id = $2",
                key,
                user
            )
        )
        await using (var reader = await find.ExecuteReaderAsync(cancellation))
            if (await reader.ReadAsync(cancellation))
                since = reader.GetFieldValue<DateTimeOffset>(0);
        await using var put = SqlCommands.Create(
            connection,
            """
            insert into notify.broadcast_retries (key, user_id, since, due_at) select $1, $2, $3, $4
            where $5 or (select count(*) from notify.broadcast_retries where key = $1) < $6
            on conflict (key, user_id) do update set due_at = excluded.due_at
            """,
            key,
            user,
            since ?? now,
            now + waitOf(since ?? now),
            since is not null,
            (long)MaxUsers
        );
        return await put.ExecuteNonQueryAsync(cancellation) == 1;
    }

    /// <summary>The users whose next try is due, the longest due first.</summary>
    public static async Task<List<string>> DueAsync(
        NpgsqlConnection connection,
        string key,
        DateTimeOffset now,
        int limit,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            "select user_id from notify.broadcast_retries where key = $1 and due_at <= $2 order by due_at limit $3",
            key,
            now,
            limit
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var users = new List<string>();
        while (await reader.ReadAsync(cancellation))
            users.Add(reader.GetString(0));
        return users;
    }

    /// <summary>When the next try of a broadcast's users is due; <c>null</c>: none is set aside.</summary>
    public static async Task<DateTimeOffset?> NextAsync(NpgsqlConnection connection, string key, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(
            connection,
            "select min(due_at) from notify.broadcast_retries where key = $1 having count(*) > 0",
            key
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        return await reader.ReadAsync(cancellation) ? reader.GetFieldValue<DateTimeOffset>(0) : null;
    }

    /// <summary>Removes users whose notification is made.</summary>
    public static async Task RemoveAsync(
        NpgsqlConnection connection,
        string key,
        IReadOnlyCollection<string> users,
        CancellationToken cancellation
    )
    {
        if (users.Count == 0)
            return;
        await using var command = SqlCommands.Create(
            connection,
            "delete from notify.broadcast_retries where key = $1 and user_id = any($2)",
            key,
            users.ToArray()
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Removes all users of a broadcast that makes no more notifications.</summary>
    public static async Task RemoveAllAsync(NpgsqlConnection connection, string key, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(connection, "delete from notify.broadcast_retries where key = $1", key);
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Carries on complete broadcasts that have users set aside: a host of the former version completed them.</summary>
    public static async Task ReviveAsync(NpgsqlConnection connection, DateTimeOffset now, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(
            connection,
            """
            update notify.broadcasts set due_at = $1
            where due_at is null and state = 3 and key in (select key from notify.broadcast_retries where due_at <= $1)
            """,
            now
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }
}
