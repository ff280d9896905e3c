namespace Notify.Delivery.Digests;

using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>A notification that waits in a digest.</summary>
/// <param name="Member">Its stream.</param>
/// <param name="Digest">The digest's stream.</param>
/// <param name="Place">The key that the digest is open for, or was.</param>
public sealed record DigestEntry(string Member, string Digest, DigestPlace Place);

/// <summary>
/// Set-based statements over <c>notify.digests</c> and <c>notify.digest_items</c>, in the caller's transaction. Lock order:
/// the places of digests after open deliveries, the streams of those, suppressions and subjects' keys, and before the streams
/// of the digests' notifications, which come before caps; among themselves by client, category and person, all in one statement.
/// </summary>
public static class DigestTable
{
    /// <summary>
    /// Locks keys of digests until the transaction ends, and reads the open digest of each. Transactions with the same person's digest
    /// wait here.
    /// </summary>
    /// <returns>All of them; <c>null</c> where none is open.</returns>
    public static async Task<Dictionary<DigestPlace, OpenDigest?>> LockAsync(
        NpgsqlConnection connection,
        IEnumerable<DigestPlace> places,
        CancellationToken cancellation
    )
    {
        var sorted = places
            .Distinct()
            .OrderBy(p => p.ClientId, StringComparer.Ordinal)
            .ThenBy(p => p.Category, StringComparer.Ordinal)
            .ThenBy(p => p.Person, StringComparer.Ordinal)
            .ToList();
        var open = sorted.ToDictionary(p => p, _ => (OpenDigest?)null);
        if (sorted.Count == 0)
            return open;
        // An update that is never made locks the row all the same, in the order of the list, and writes nothing.
        await using (
            var insert = SqlCommands.Create(
                connection,
                """
                insert into notify.digests (client, category, person) select * from unnest($1, $2, $3)
                on conflict (client, category, person) do update set members = excluded.members where false
                """,
                ColumnsOf(sorted)
            )
        )
            await insert.ExecuteNonQueryAsync(cancellation);

        foreach (var (place, digest) in await PlacesAsync(connection, sorted, "", cancellation))
            open[place] = digest;
        return open;
    }

    /// <summary>The same, without waiting: places that another transaction holds are passed over.</summary>
    /// <returns>The places that the transaction holds.</returns>
    public static async Task<Dictionary<DigestPlace, OpenDigest?>> LockFreeAsync(
        NpgsqlConnection connection,
        IEnumerable<DigestPlace> places,
        CancellationToken cancellation
    )
    {
        var wanted = places.Distinct().ToList();
        var known = await PlacesAsync(connection, wanted, "", cancellation);
        var held = await PlacesAsync(connection, wanted, "order by 1, 2, 3 for update of d skip locked", cancellation);
        foreach (var (place, digest) in await LockAsync(connection, wanted.Where(p => !known.ContainsKey(p)), cancellation))
            held[place] = digest;
        return held;
    }

    private static async Task<Dictionary<DigestPlace, OpenDigest?>> PlacesAsync(
        NpgsqlConnection connection,
        IReadOnlyCollection<DigestPlace> places,
        string rest,
        CancellationToken cancellation
    )
    {
        await using var select = SqlCommands.Create(
            connection,
            $"""
            select d.client, d.category, d.person, d.digest, d.closes_at, d.members from notify.digests d
            join unnest($1, $2, $3) as t(l, g, p) on d.client = t.l and d.category = t.g and d.person = t.p {rest}
            """,
            ColumnsOf(places)
        );
        await using var reader = await select.ExecuteReaderAsync(cancellation);
        var found = new Dictionary<DigestPlace, OpenDigest?>();
        while (await reader.ReadAsync(cancellation))
        {
            found[new DigestPlace(reader.GetString(0), reader.GetString(1), reader.GetString(2))] = reader.IsDBNull(3)
                ? null
                : new OpenDigest(reader.GetString(3), reader.GetFieldValue<DateTimeOffset>(4), reader.GetInt32(5));
        }

        return found;
    }

    /// <summary>Writes the open digests of keys that the transaction has locked; rows of keys without one are deleted.</summary>
    public static async Task WriteAsync(
        NpgsqlConnection connection,
        IReadOnlyDictionary<DigestPlace, OpenDigest?> places,
        CancellationToken cancellation
    )
    {
        var open = places.Where(p => p.Value is not null).ToList();
        if (open.Count > 0)
        {
            await using var update = SqlCommands.Create(
                connection,
                """
                update notify.digests d set digest = t.k, closes_at = t.c, members = t.m from unnest($1, $2, $3, $4, $5, $6) as t(l, g, p, k, c, m)
                where d.client = t.l and d.category = t.g and d.person = t.p
                """,
                [
                    .. ColumnsOf([.. open.Select(p => p.Key)]),
                    open.Select(p => p.Value!.Key).ToArray(),
                    open.Select(p => p.Value!.ClosesAt).ToArray(),
                    open.Select(p => p.Value!.Members).ToArray(),
                ]
            );
            await update.ExecuteNonQueryAsync(cancellation);
        }

        if (open.Count == places.Count)
            return;
        await using var delete = SqlCommands.Create(
            connection,
            "delete from notify.digests d using unnest($1, $2, $3) as t(l, g, p) where d.client = t.l and d.category = t.g and "
                + "d.person = t.p",
            ColumnsOf([.. places.Where(p => p.Value is null).Select(p => p.Key)])
        );
        await delete.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Adds notifications to digests whose keys the transaction has locked.</summary>
    public static async Task AddAsync(NpgsqlConnection connection, IReadOnlyCollection<DigestEntry> entries, CancellationToken cancellation)
    {
        if (entries.Count == 0)
            return;
        await using var command = SqlCommands.Create(
            connection,
            "insert into notify.digest_items (member, digest, category, person) select * from unnest($1, $2, $3, $4)",
            entries.Select(e => e.Member).ToArray(),
            entries.Select(e => e.Digest).ToArray(),
            entries.Select(e => e.Place.Category).ToArray(),
            entries.Select(e => e.Place.Person).ToArray()
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Moves notifications that wait in a digest to another one.</summary>
    public static async Task MoveAsync(
        NpgsqlConnection connection,
        IReadOnlyCollection<string> members,
        string digest,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            "update notify.digest_items set digest = $2 where member = any($1)",
            members.ToArray(),
            digest
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>How many wait in digests; those in which none waits are not among the result.</summary>
    public static async Task<Dictionary<string, long>> CountAsync(
        NpgsqlConnection connection,
        IEnumerable<string> digests,
        CancellationToken cancellation
    )
    {
        var counts = new Dictionary<string, long>(StringComparer.Ordinal);
        await using var command = SqlCommands.Create(
            connection,
            "select digest, count(*) from notify.digest_items where digest = any($1) group by digest",
            (object)digests.ToArray()
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        while (await reader.ReadAsync(cancellation))
            counts[reader.GetString(0)] = reader.GetInt64(1);
        return counts;
    }

    /// <summary>Reads the notifications that wait in digests, in order of arrival.</summary>
    public static async Task<ILookup<string, DigestEntry>> InAsync(
        NpgsqlConnection connection,
        IEnumerable<string> digests,
        CancellationToken cancellation
    ) =>
        (
            await ReadAsync(
                SqlCommands.Create(
                    connection,
                    "select member, digest, category, person from notify.digest_items where digest = any($1) order by number",
                    (object)digests.ToArray()
                ),
                cancellation
            )
        ).ToLookup(e => e.Digest, StringComparer.Ordinal);

    /// <summary>The digest that a notification waits in; <c>null</c>: in none.</summary>
    public static async Task<DigestEntry?> OfAsync(NpgsqlConnection connection, string member, CancellationToken cancellation) =>
        (
            await ReadAsync(
                SqlCommands.Create(
                    connection,
                    "select member, digest, category, person from notify.digest_items where member = $1",
                    member
                ),
                cancellation
            )
        ).SingleOrDefault();

    /// <summary>Everything that waits in digests.</summary>
    public static Task<List<DigestEntry>> AllAsync(NpgsqlConnection connection, CancellationToken cancellation) =>
        ReadAsync(SqlCommands.Create(connection, "select member, digest, category, person from notify.digest_items"), cancellation);

    /// <summary>Some of what waits in digests and whose stream keys lie between two texts.</summary>
    public static Task<List<DigestEntry>> BetweenAsync(
        NpgsqlConnection connection,
        string from,
        string to,
        int most,
        CancellationToken cancellation
    ) =>
        ReadAsync(
            SqlCommands.Create(
                connection,
                "select member, digest, category, person from notify.digest_items where member >= $1 and member < $2 order by "
                    + "member limit $3",
                from,
                to,
                most
            ),
            cancellation
        );

    /// <summary>Removes notifications from digests whose keys the transaction has locked.</summary>
    /// <returns>Those that were in them.</returns>
    public static async Task<List<string>> RemoveAsync(
        NpgsqlConnection connection,
        IReadOnlyCollection<string> members,
        CancellationToken cancellation
    )
    {
        var removed = new List<string>(members.Count);
        if (members.Count == 0)
            return removed;
        await using var command = SqlCommands.Create(
            connection,
            "delete from notify.digest_items where member = any($1) returning member",
            (object)members.ToArray()
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        while (await reader.ReadAsync(cancellation))
            removed.Add(reader.GetString(0));
        return removed;
    }

    private static object[] ColumnsOf(IReadOnlyCollection<DigestPlace> places) =>
        [places.Select(p => p.ClientId).ToArray(), places.Select(p => p.Category).ToArray(), places.Select(p => p.Person).ToArray()];

    private static async Task<List<DigestEntry>> ReadAsync(NpgsqlCommand command, CancellationToken cancellation)
    {
        await using (command)
        {
            await using var reader = await command.ExecuteReaderAsync(cancellation);
            var entries = new List<DigestEntry>();
            while (await reader.ReadAsync(cancellation))
                entries.Add(
                    new DigestEntry(
                        reader.GetString(0),
                        reader.GetString(1),
                        new DigestPlace(
                            NotificationKey.Parse(reader.GetString(0))!.Value.ClientId,
                            reader.GetString(2),
                            reader.GetString(3)
                        )
                    )
                );
            return entries;
        }
    }
}
