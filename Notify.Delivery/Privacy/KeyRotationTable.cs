namespace Notify.Delivery.Privacy;

using System.Security.Cryptography;
using System.Text;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>Statements of a rotation over <c>notify.master_keys</c>, <c>notify.host_keys</c> and what master keys wrap.</summary>
/// <remarks>
/// A transaction that wraps by a key holds the key's advisory lock shared until it ends; one that retires the key takes the lock alone.
/// A key is so never retired while something is being wrapped by it, however long the wrapping host stands still.
/// </remarks>
public static class KeyRotationTable
{
    // Any number that nothing else in the database locks by: one rotation at a time.
    private const long Rotation = 0x6e6f74_726f74;

    /// <summary>Takes a key's lock, shared.</summary>
    public static NpgsqlBatchCommand Shared(string id) =>
        new("select 1 from pg_advisory_xact_lock_shared($1)") { Parameters = { new NpgsqlParameter { Value = LockOf(id) } } };

    /// <summary>Lets one rotation run at a time, for as long as the connection is open.</summary>
    /// <returns>Whether none is running.</returns>
    public static async Task<bool> TryLockAsync(NpgsqlConnection connection, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(connection, "select pg_try_advisory_lock($1)", Rotation);
        return await command.ExecuteScalarAsync(cancellation) is true;
    }

    /// <summary>Ends <see cref="TryLockAsync"/>: a connection goes back to its pool.</summary>
    public static async Task UnlockAsync(NpgsqlConnection connection, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(connection, "select pg_advisory_unlock($1)", Rotation);
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Reads the names of live hosts that lack a key or wrap by another one.</summary>
    public static async Task<List<string>> NotFollowingAsync(
        NpgsqlConnection connection,
        string id,
        TimeSpan silence,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            """
            select name || case when $1 = any(keys) then ' wraps by ' || wraps else ' lacks it' end from notify.host_keys
            where seen_at > now() - $2 and (wraps <> $1 or not $1 = any(keys)) order by 1
            """,
            id,
            silence
        );
        return await TextsAsync(command, cancellation);
    }

    /// <summary>Retires a key, if nothing is wrapped by it and no live host wraps by it.</summary>
    /// <returns>Whether it is retired.</returns>
    public static async Task<bool> RetireAsync(
        NpgsqlConnection connection,
        string id,
        TimeSpan silence,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        await using (var alone = SqlCommands.Create(connection, "select 1 from pg_advisory_xact_lock($1)", LockOf(id)))
            await alone.ExecuteNonQueryAsync(cancellation);
        await using var command = SqlCommands.Create(
            connection,
            """
            update notify.master_keys m set in_use = false, retired_at = $3
            where m.id = $1 and m.retired_at is null
              and not exists (select 1 from notify.subject_keys k where k.master_key = m.id and k.wrapped is not null)
              and not exists (select 1 from notify.idempotency_keys a where a.master_key = m.id and a.answer is not null)
              and not exists (select 1 from notify.host_keys h where h.wraps = m.id and h.seen_at > now() - $2)
            """,
            id,
            silence,
            now
        );
        command.CommandTimeout = 600; // however many keys there are
        return await command.ExecuteNonQueryAsync(cancellation) == 1;
    }

    /// <summary>Reads the keys that are not retired, without one of them.</summary>
    public static async Task<List<string>> UnretiredAsync(NpgsqlConnection connection, string except, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(
            connection,
            "select id from notify.master_keys where retired_at is null and id <> $1 order by id",
            except
        );
        return await TextsAsync(command, cancellation);
    }

    /// <summary>Reads the keys that were retired until a time and are not destroyed, and those that are.</summary>
    /// <returns>The IDs, and whether a live host still has the key.</returns>
    public static async Task<List<(string Id, bool IsDestroyed, bool IsHad)>> RetiredAsync(
        NpgsqlConnection connection,
        DateTimeOffset until,
        TimeSpan silence,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            """
            select id, destroyed_at is not null,
                   exists (select 1 from notify.host_keys h where m.id = any(h.keys) and h.seen_at > now() - $2)
            from notify.master_keys m where retired_at <= $1 order by id
            """,
            until,
            silence
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var found = new List<(string, bool, bool)>();
        while (await reader.ReadAsync(cancellation))
            found.Add((reader.GetString(0), reader.GetBoolean(1), reader.GetBoolean(2)));
        return found;
    }

    /// <summary>Notes that a retired key is destroyed.</summary>
    /// <returns>Whether it was not noted before.</returns>
    public static async Task<bool> DestroyAsync(NpgsqlConnection connection, string id, DateTimeOffset now, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(
            connection,
            "update notify.master_keys set destroyed_at = $2 where id = $1 and retired_at is not null and destroyed_at is null",
            id,
            now
        );
        return await command.ExecuteNonQueryAsync(cancellation) == 1;
    }

    /// <summary>Reads since when a key is known; <c>null</c>: it is not.</summary>
    public static async Task<DateTimeOffset?> KnownSinceAsync(NpgsqlConnection connection, string id, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(connection, "select known_since from notify.master_keys where id = $1", id);
        return await command.ExecuteScalarAsync(cancellation) is DateTime at ? new DateTimeOffset(at, TimeSpan.Zero) : null;
    }

    /// <summary>Counts keys of people erased until a time that a key which is not destroyed may still unwrap, for the alert.</summary>
    public static async Task<(long Count, string? Key, DateTimeOffset Since)> OverdueAsync(
        NpgsqlConnection connection,
        DateTimeOffset until,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            """
            select count(*), min(m.id), min(k.erased_at) from notify.master_keys m
            join notify.subject_keys k on k.master_key = m.id and k.erased_at <= $1
            where m.destroyed_at is null
            """,
            until
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        await reader.ReadAsync(cancellation);
        return (
            reader.GetInt64(0),
            reader.IsDBNull(1) ? null : reader.GetString(1),
            reader.IsDBNull(2) ? until : reader.GetFieldValue<DateTimeOffset>(2)
        );
    }

    private static long LockOf(string id) =>
        BitConverter.ToInt64(SHA256.HashData(Encoding.UTF8.GetBytes($"master-key\0{id}")).AsSpan(0, 8));

    private static async Task<List<string>> TextsAsync(NpgsqlCommand command, CancellationToken cancellation)
    {
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var texts = new List<string>();
        while (await reader.ReadAsync(cancellation))
            texts.Add(reader.GetString(0));
        return texts;
    }
}
