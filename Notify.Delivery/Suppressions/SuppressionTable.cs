namespace Notify.Delivery.Suppressions;

using Marten;
using Notify.Delivery.Privacy;
using Notify.Domain.Channels;
using Notify.Domain.Privacy;
using Notify.Domain.Suppressions;
using Notify.Infrastructure.Postgres;
using Npgsql;
using NpgsqlTypes;

/// <summary>
/// Set-based statements over <c>notify.suppressions</c>, all in the caller's transaction. A change of an address's
/// suppression locks its row, and so its stream. Lock order: open deliveries and the streams of others first, then these rows.
/// </summary>
public static class SuppressionTable
{
    private const string Columns = "channel, fingerprint, reason, source, suppressed_by, since, expires_at, address, lifted_at";

    /// <summary>Records suppressions in the session's transaction, committed with its next save. Duplicates change nothing.</summary>
    /// <returns>The current suppressions by ID, and whether each was inactive before.</returns>
    public static async Task<IReadOnlyDictionary<string, (Suppression State, bool IsNew)>> SuppressAsync(
        IDocumentSession session,
        IReadOnlyCollection<AddressToSuppress> learned,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        var result = new Dictionary<string, (Suppression State, bool IsNew)>(StringComparer.Ordinal);
        if (learned.Count == 0)
            return result;
        await session.BeginTransactionAsync(cancellation);
        var firsts = learned.DistinctBy(l => l.Id).OrderBy(l => l.Id, StringComparer.Ordinal).ToList();
        // A row for each, which suppresses nothing yet: a concurrent transaction waits here until this one ends.
        await using (
            var insert = SqlCommands.Create(
                session.Connection!,
                """
                insert into notify.suppressions (id, channel, fingerprint, reason, source, suppressed_by, since, lifted_at)
                select i, c, f, '', '', '', $4, $4 from unnest($1, $2, $3) as t(i, c, f) on conflict do nothing
                """,
                firsts.Select(f => f.Id).ToArray(),
                firsts.Select(f => (short)f.Channel).ToArray(),
                firsts.Select(f => f.Fingerprint).ToArray(),
                now
            )
        )
            await insert.ExecuteNonQueryAsync(cancellation);

        var known = await LockAsync(session.Connection!, [.. firsts.Select(f => f.Id)], cancellation);
        var changed = new Dictionary<string, Suppression>(StringComparer.Ordinal);
        foreach (var one in learned)
        {
            var current = changed.GetValueOrDefault(one.Id) ?? known[one.Id];
            if (Suppression.Suppress(current, one, now) is { } news)
            {
                session.Events.Append(Suppression.KeyOf(one.Channel, one.Fingerprint), news);
                current = changed[one.Id] = Suppression.Evolve(current, news)!;
            }

            result[one.Id] = (current, !known[one.Id].StandsAt(now));
        }

        await WriteAsync(session.Connection!, [.. changed.Values], cancellation);
        return result;
    }

    /// <summary>Lifts a suppression in the session's transaction; committed with its next save. The address that a client gave is
    /// erased.</summary>
    /// <param name="reason">One of <see cref="LiftReasons"/>.</param>
    /// <param name="only">The reasons for which alone it may be lifted, as START lifts what STOP did; <c>null</c>: any.</param>
    /// <returns>Whether one stood.</returns>
    public static async Task<bool> LiftAsync(
        IDocumentSession session,
        SubjectKeys keys,
        string id,
        string reason,
        string by,
        DateTimeOffset now,
        CancellationToken cancellation,
        IReadOnlyCollection<string>? only = null
    )
    {
        await session.BeginTransactionAsync(cancellation);
        var known = await LockAsync(session.Connection!, [id], cancellation);
        if (!known.TryGetValue(id, out var current) || Suppression.Lift(current, reason, by, now, only) is not { } lifted)
            return false;
        var key = Suppression.KeyOf(current.Channel, current.Fingerprint);
        session.Events.Append(key, lifted);
        await WriteAsync(session.Connection!, [Suppression.Evolve(current, lifted)!], cancellation);
        await keys.EraseAsync(session.Connection!, key, cancellation);
        return true;
    }

    /// <summary>Reads those of these suppressions that are active, by ID.</summary>
    public static async Task<IReadOnlyDictionary<string, Suppression>> StandingAsync(
        NpgsqlConnection connection,
        IReadOnlyCollection<string> ids,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        if (ids.Count == 0)
            return new Dictionary<string, Suppression>();
        await using var command = SqlCommands.Create(
            connection,
            $"select {Columns} from notify.suppressions where id = any($1) and lifted_at is null and (expires_at is null or "
                + "expires_at > $2)",
            ids.ToArray(),
            now
        );
        return (await ReadAsync(command, cancellation)).ToDictionary(s => s.Id, StringComparer.Ordinal);
    }

    /// <summary>Reads a page of active suppressions, the newest first.</summary>
    /// <param name="after">The last one of the page before.</param>
    public static async Task<List<Suppression>> ListAsync(
        NpgsqlConnection connection,
        Channel? channel,
        string? reason,
        string? id,
        DateTimeOffset now,
        int limit,
        (DateTimeOffset Since, string Id)? after,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            $"""
            select {Columns} from notify.suppressions
            where lifted_at is null and (expires_at is null or expires_at > $1)
              and ($2 is null or channel = $2) and ($3 is null or reason = $3) and ($4 is null or id = $4)
              and ($5 is null or since < $5 or (since = $5 and id > $6))
            order by since desc, id limit $7
            """,
            now,
            Maybe((short?)channel, NpgsqlDbType.Smallint),
            Maybe(reason, NpgsqlDbType.Text),
            Maybe(id, NpgsqlDbType.Text),
            Maybe(after?.Since, NpgsqlDbType.TimestampTz),
            Maybe(after?.Id, NpgsqlDbType.Text),
            limit
        );
        return await ReadAsync(command, cancellation);
    }

    /// <summary>Reads suppressions, active and lifted, by ID.</summary>
    public static async Task<Dictionary<string, Suppression>> FindAsync(
        NpgsqlConnection connection,
        string[] ids,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            $"select {Columns} from notify.suppressions where id = any($1)",
            (object)ids
        );
        return (await ReadAsync(command, cancellation)).ToDictionary(s => s.Id, StringComparer.Ordinal);
    }

    /// <summary>Locks rows until the transaction ends.</summary>
    public static async Task<Dictionary<string, Suppression>> LockAsync(
        NpgsqlConnection connection,
        string[] ids,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            $"select {Columns} from notify.suppressions where id = any($1) order by id for update",
            (object)ids
        );
        return (await ReadAsync(command, cancellation)).ToDictionary(s => s.Id, StringComparer.Ordinal);
    }

    private static async Task WriteAsync(NpgsqlConnection connection, IReadOnlyList<Suppression> rows, CancellationToken cancellation)
    {
        if (rows.Count == 0)
            return;
        await using var command = SqlCommands.Create(
            connection,
            """
            update notify.suppressions s set reason = r, source = o, suppressed_by = b, since = t.s, expires_at = e, address = a, lifted_at = l
            from unnest($1, $2, $3, $4, $5, $6, $7, $8) as t(i, r, o, b, s, e, a, l) where s.id = i
            """,
            rows.Select(r => r.Id).ToArray(),
            rows.Select(r => r.Reason).ToArray(),
            rows.Select(r => r.Source).ToArray(),
            rows.Select(r => r.By).ToArray(),
            rows.Select(r => r.Since).ToArray(),
            rows.Select(r => r.ExpiresAt).ToArray(),
            rows.Select(r => r.Address?.Text).ToArray(),
            rows.Select(r => r.LiftedAt).ToArray()
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    private static NpgsqlParameter Maybe(object? value, NpgsqlDbType type) => new() { Value = value ?? DBNull.Value, NpgsqlDbType = type };

    private static async Task<List<Suppression>> ReadAsync(NpgsqlCommand command, CancellationToken cancellation)
    {
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var rows = new List<Suppression>();
        while (await reader.ReadAsync(cancellation))
        {
            rows.Add(
                new Suppression(
                    (Channel)reader.GetInt16(0),
                    reader.GetString(1),
                    reader.GetString(2),
                    reader.GetString(3),
                    reader.GetString(4),
                    reader.GetFieldValue<DateTimeOffset>(5),
                    Time(reader, 6),
                    reader.IsDBNull(7) ? null : new Sealed(reader.GetString(7)),
                    Time(reader, 8)
                )
            );
        }

        return rows;

        static DateTimeOffset? Time(NpgsqlDataReader reader, int column) =>
            reader.IsDBNull(column) ? null : reader.GetFieldValue<DateTimeOffset>(column);
    }
}
