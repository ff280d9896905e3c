namespace Notify.Delivery.Privacy;

using Notify.Delivery.EventStore;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>Statements over <c>notify.master_keys</c> and <c>notify.host_keys</c>.</summary>
internal static class HostKeyTable
{
    // Any number that nothing else in the database locks by.
    private const long Lock = 0x6e6f74_6b6579;

    /// <summary>Lets one host at a time choose a key, or start.</summary>
    public static async Task LockAsync(NpgsqlConnection connection, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(connection, "select pg_advisory_xact_lock($1)", Lock);
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Reads every master key that was announced or is in use.</summary>
    public static async Task<List<KnownMasterKey>> KnownAsync(NpgsqlConnection connection, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(
            connection,
            "select id, check_value, in_use, retired_at is not null from notify.master_keys"
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var known = new List<KnownMasterKey>();
        while (await reader.ReadAsync(cancellation))
            known.Add(
                new KnownMasterKey(
                    reader.GetString(0),
                    reader.IsDBNull(1) ? null : reader.GetString(1),
                    reader.GetBoolean(2),
                    reader.GetBoolean(3)
                )
            );
        return known;
    }

    /// <summary>Reads the announcements of live hosts.</summary>
    public static async Task<List<AnnouncedHost>> LiveAsync(NpgsqlConnection connection, TimeSpan silence, CancellationToken cancellation)
    {
        // A host of a version before announcements has its sign of life alone; it has at least every key in use.
        await using var command = SqlCommands.Create(
            connection,
            """
            select name, keys, reader, peppers, peppers_in_use from notify.host_keys where seen_at > now() - $1
            union all
            select o.name, array(select id from notify.master_keys where in_use), 1, '{0}'::text[], '{0}'::text[]
            from (select 'notify-api' as name, count(*) as living from notify.acceptors where seen_at > now() - $1
                  union all select 'notify-dispatch', count(*) from notify.dispatchers where seen_at > now() - $1) o
            where o.living > (select count(*) from notify.host_keys h where h.name = o.name and h.seen_at > now() - $1)
            """,
            silence
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var hosts = new List<AnnouncedHost>();
        while (await reader.ReadAsync(cancellation))
        {
            hosts.Add(
                new AnnouncedHost(reader.GetString(0), reader.GetFieldValue<string[]>(1), reader.GetInt32(2))
                {
                    Peppers = reader.GetFieldValue<string[]>(3),
                    PeppersInUse = reader.GetFieldValue<string[]>(4),
                }
            );
        }

        return hosts;
    }

    /// <summary>Announces a host: the keys that it has, the one that it wraps with, and those in use that it lacks.</summary>
    public static async Task AnnounceAsync(
        NpgsqlConnection connection,
        Guid host,
        string name,
        MasterKeyRing ring,
        IEnumerable<string> lacks,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            """
            insert into notify.host_keys (host, name, keys, wraps, lacks, reader, peppers, peppers_in_use, seen_at, writes_weeks)
            values ($1, $2, $3, $4, $5, $6, $7, $8, now(), true)
            on conflict (host) do update
            set keys = excluded.keys, wraps = excluded.wraps, lacks = excluded.lacks, reader = excluded.reader, peppers = excluded.peppers,
                peppers_in_use = excluded.peppers_in_use, seen_at = excluded.seen_at
            """,
            host,
            name,
            ring.Ids.ToArray(),
            ring.CurrentId,
            lacks.ToArray(),
            StoreFormat.Reader,
            ring.Peppers.Ids.ToArray(),
            ring.Peppers.InUse.ToArray()
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Reads whether every live Projections host can write read models that are partitioned by week.</summary>
    public static async Task<bool> AllWriteWeeksAsync(NpgsqlConnection connection, TimeSpan silence, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(
            connection,
            """
            select not exists (select from notify.host_keys
                where name = 'notify-projections' and not writes_weeks and seen_at > now() - $1)
            """,
            silence
        );
        return await command.ExecuteScalarAsync(cancellation) is true;
    }

    /// <summary>Reads the lowest reader that the store allows, and whether it may have users who are known by their IDs.</summary>
    public static async Task<(int MinReader, bool PlainUsers)> FormatAsync(NpgsqlConnection connection, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(connection, "select min_reader, plain_users from notify.store_format");
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        return await reader.ReadAsync(cancellation) ? (reader.GetInt32(0), reader.GetBoolean(1)) : (1, false);
    }

    /// <summary>
    /// Raises the lowest reader that the store allows. Where users are known by references from then on, finds whether there are any from
    /// before.
    /// </summary>
    /// <param name="isAlone">Whether no other host lives, which might still write the form of before for a moment.</param>
    public static async Task RaiseMinReaderAsync(NpgsqlConnection connection, int reader, bool isAlone, CancellationToken cancellation)
    {
        // No user is known by a reference yet: the first row that is found answers the question.
        await using var command = SqlCommands.Create(
            connection,
            """
            update notify.store_format set min_reader = $1, plain_users = plain_users or (min_reader < $2 and $1 >= $2 and (
                not $3 or exists (select 1 from events.mt_doc_recipient)
                or exists (select 1 from notify.subject_keys where left(subject, 2) = 'u/')))
            where min_reader < $1
            """,
            reader,
            StoreFormat.UserRefs,
            isAlone
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Withdraws a host's announcement, and forgets those of hosts that ended long ago.</summary>
    public static async Task LeaveAsync(NpgsqlConnection connection, Guid host, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(
            connection,
            "delete from notify.host_keys where host = $1 or seen_at < now() - interval '1 day'",
            host
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Records the check values of a host's keys; the caller has found that none differs.</summary>
    public static async Task RecordAsync(
        NpgsqlConnection connection,
        IReadOnlyList<(string Id, string CheckValue)> keys,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            """
            insert into notify.master_keys as m (id, check_value) select k, c from unnest($1, $2) as n (k, c) order by k
            on conflict (id) do update set check_value = excluded.check_value where m.check_value is distinct from excluded.check_value
            """,
            keys.Select(k => k.Id).ToArray(),
            keys.Select(k => k.CheckValue).ToArray()
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Marks a key as in use, and keeps it from being retired until the transaction ends.</summary>
    /// <exception cref="KeyNotHeldException">It was retired: nothing may be wrapped by it any more.</exception>
    public static async Task UseAsync(NpgsqlConnection connection, string id, CancellationToken cancellation)
    {
        // Statements of one round trip: each sees what was committed before the lock was given.
        await using var batch = new NpgsqlBatch(connection);
        batch.BatchCommands.Add(KeyRotationTable.Shared(id));
        batch.BatchCommands.Add(
            new NpgsqlBatchCommand(
                """
                insert into notify.master_keys as m (id, in_use)
                select $1, true where not exists (select 1 from notify.master_keys where id = $1 and in_use)
                on conflict (id) do update set in_use = true where m.retired_at is null
                """
            )
            {
                Parameters = { new NpgsqlParameter { Value = id } },
            }
        );
        batch.BatchCommands.Add(
            new NpgsqlBatchCommand("select in_use from notify.master_keys where id = $1")
            {
                Parameters = { new NpgsqlParameter { Value = id } },
            }
        );
        await using var reader = await batch.ExecuteReaderAsync(cancellation);
        var isUsable = false;
        do
        {
            while (await reader.ReadAsync(cancellation))
                isUsable = reader.GetFieldType(0) == typeof(bool) && reader.GetBoolean(0);
        } while (await reader.NextResultAsync(cancellation));
        if (!isUsable)
            throw new KeyNotHeldException(id);
    }

    /// <summary>Whether a key unwraps the keys that its ID wraps; true where there are none.</summary>
    public static async Task<bool> UnwrapsAsync(NpgsqlConnection connection, MasterKeyRing ring, string id, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(
            connection,
            "select wrapped, subject from notify.subject_keys where master_key = $1 and wrapped is not null limit 1",
            id
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        return !await reader.ReadAsync(cancellation) || ring.Unwrap(reader.GetFieldValue<byte[]>(0), id, reader.GetString(1)) is not null;
    }

    /// <summary>Marks keys as no longer in use that wrap nothing any more and that no live host wraps with.</summary>
    /// <returns>The keys beside the current one that stay in use.</returns>
    public static async Task<List<string>> RetireAsync(
        NpgsqlConnection connection,
        string current,
        TimeSpan silence,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            """
            update notify.master_keys m set in_use = false
            where m.id <> $1 and m.in_use
              and not exists (select 1 from notify.subject_keys k where k.master_key = m.id and k.wrapped is not null)
              and not exists (select 1 from notify.host_keys h where h.wraps = m.id and h.seen_at > now() - $2)
            """,
            current,
            silence
        );
        command.CommandTimeout = 600; // however many keys there are
        await command.ExecuteNonQueryAsync(cancellation);
        return
        [
            .. (await KnownAsync(connection, cancellation))
                .Where(k => k.IsInUse && k.Id != current)
                .Select(k => k.Id)
                .Order(StringComparer.Ordinal),
        ];
    }

    /// <summary>Live hosts that lack a key in use, for the alert.</summary>
    public static async Task<(long Count, string? First, DateTimeOffset Since)> LackingAsync(
        NpgsqlConnection connection,
        TimeSpan silence,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            """
            select count(*), min(name || ' lacks ' || array_to_string(lacks, ', ')), min(seen_at) from notify.host_keys
            where lacks <> '{}' and seen_at > now() - $1
            """,
            silence
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        await reader.ReadAsync(cancellation);
        return (
            reader.GetInt64(0),
            reader.IsDBNull(1) ? null : reader.GetString(1),
            reader.IsDBNull(2) ? now : reader.GetFieldValue<DateTimeOffset>(2)
        );
    }
}
