namespace Notify.Projections.Verification;

using Notify.Delivery.EventStore;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>A stream key of a page.</summary>
/// <param name="HasStream">Whether there is a stream of the key.</param>
/// <param name="HasEventId">Whether the key is among the accepted event IDs.</param>
internal readonly record struct PageKey(string Key, bool HasStream, bool HasEventId);

/// <summary>Reads the keys of streams a page at a time: all, or those with events since a position.</summary>
internal static class StreamPages
{
    /// <summary>Reads the keys that follow a key, in the database's order.</summary>
    /// <param name="after">The last key of the page before; empty for the first.</param>
    /// <returns>The keys, and where the next page begins; <c>null</c>: this is the last.</returns>
    public static async Task<(List<PageKey> Keys, string? Next)> AllAsync(
        NpgsqlConnection connection,
        string after,
        int limit,
        CancellationToken cancellation
    )
    {
        // Two sorted lists are merged; the page ends where the shorter one of them was cut off.
        await using var command = SqlCommands.Create(
            connection,
            $"""
            with s as materialized (select id from {EventSchema.Name}.mt_streams where id > $1 order by id limit $2),
            k as materialized (select key from notify.event_ids where key > $1 order by key limit $2),
            bound as materialized (
                select least((select max(id) from s having count(*) = $2), (select max(key) from k having count(*) = $2)) as at)
            select coalesce(s.id, k.key), s.id is not null, k.key is not null, (select at from bound)
            from s full join k on s.id = k.key
            where (select at from bound) is null or coalesce(s.id, k.key) <= (select at from bound) order by 1
            """,
            after,
            (long)limit
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var (keys, next) = (new List<PageKey>(), (string?)null);
        while (await reader.ReadAsync(cancellation))
        {
            keys.Add(new PageKey(reader.GetString(0), reader.GetBoolean(1), reader.GetBoolean(2)));
            next = reader.IsDBNull(3) ? null : reader.GetString(3);
        }

        return (keys, next);
    }

    /// <summary>Reads the keys of streams whose last event up to a position comes after a sequence, in the order of these events.</summary>
    /// <param name="after">The sequence of the page before.</param>
    /// <param name="position">The last sequence of the verification.</param>
    /// <returns>The keys, and where the next page begins; <c>null</c>: this is the last.</returns>
    public static async Task<(List<PageKey> Keys, long? Next)> SinceAsync(
        NpgsqlConnection connection,
        long after,
        long position,
        int limit,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            $"""
            with page as materialized (
                select seq_id, stream_id, version from {EventSchema.Name}.mt_events
                where seq_id > $1 and seq_id <= $2 order by seq_id limit $3)
            select p.seq_id, p.stream_id, k.key is not null, not exists (
                select from {EventSchema.Name}.mt_events l where l.stream_id = p.stream_id and l.version > p.version and l.seq_id <= $2)
            from page p left join notify.event_ids k on k.key = p.stream_id order by p.seq_id
            """,
            after,
            position,
            limit
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var (keys, last, rows) = (new List<PageKey>(), after, 0);
        while (await reader.ReadAsync(cancellation))
        {
            rows++;
            last = reader.GetInt64(0);
            if (reader.GetBoolean(3))
                keys.Add(new PageKey(reader.GetString(1), true, reader.GetBoolean(2)));
        }

        return (keys, rows < limit ? null : last);
    }

    /// <summary>Reads keys that are known by name; those that are no longer there are absent.</summary>
    public static async Task<List<PageKey>> NamedAsync(NpgsqlConnection connection, string[] names, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(
            connection,
            $"""
            select n.key, s.id is not null, k.key is not null from unnest($1) as n(key)
            left join {EventSchema.Name}.mt_streams s on s.id = n.key left join notify.event_ids k on k.key = n.key
            where s.id is not null or k.key is not null
            """,
            (object)names
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var keys = new List<PageKey>();
        while (await reader.ReadAsync(cancellation))
            keys.Add(new PageKey(reader.GetString(0), reader.GetBoolean(1), reader.GetBoolean(2)));
        return keys;
    }

    /// <summary>Finds the last sequence of events that are older than a time; 0: there are none.</summary>
    /// <remarks>Halves the range of sequences: events have no index by time, and their times grow with their sequences.</remarks>
    public static async Task<long> BeforeAsync(NpgsqlConnection connection, DateTimeOffset time, CancellationToken cancellation)
    {
        var (low, high) = (0L, await LastAsync(connection, cancellation));
        while (low < high)
        {
            var middle = low + ((high - low + 1) / 2);
            await using var command = SqlCommands.Create(
                connection,
                $"select timestamp < $2 from {EventSchema.Name}.mt_events where seq_id <= $1 order by seq_id desc limit 1",
                middle,
                time
            );
            if (await command.ExecuteScalarAsync(cancellation) is not false)
                low = middle;
            else
                high = middle - 1;
        }

        return low;
    }

    /// <summary>Reads the last sequence.</summary>
    public static async Task<long> LastAsync(NpgsqlConnection connection, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(connection, $"select coalesce(max(seq_id), 0) from {EventSchema.Name}.mt_events");
        return (long)(await command.ExecuteScalarAsync(cancellation))!;
    }

    /// <summary>Reads the time of the first event after a sequence; <c>null</c>: there is none.</summary>
    public static async Task<DateTimeOffset?> TimeAsync(NpgsqlConnection connection, long sequence, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(
            connection,
            $"select timestamp from {EventSchema.Name}.mt_events where seq_id > $1 order by seq_id limit 1",
            sequence
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        return await reader.ReadAsync(cancellation) ? reader.GetFieldValue<DateTimeOffset>(0) : null;
    }
}
