namespace Notify.Delivery.Planning;

using System.Globalization;
using Notify.Domain.Categories;
using Notify.Domain.Channels;
using Notify.Domain.Planning;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>
/// Set-based statements over <c>notify.cap_counts</c>, in the caller's transaction. Lock order: these rows last, after open
/// deliveries, streams, suppressions, subjects' keys and digests; among themselves by person, category, channel and period. A
/// transaction that has locked one waits for no other lock, except for rows that no other transaction can have.
/// </summary>
public static class CapTable
{
    /// <summary>Locks counts until the transaction ends, and reads them. Plans for the same person wait here.</summary>
    /// <returns>All of them, without the windows that are over.</returns>
    public static async Task<Dictionary<CapKey, CapCount>> LockAsync(
        NpgsqlConnection connection,
        IReadOnlyCollection<CapKey> keys,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        var counts = new Dictionary<CapKey, CapCount>();
        if (keys.Count == 0)
            return counts;
        var sorted = keys.Distinct()
            .OrderBy(k => k.Person, StringComparer.Ordinal)
            .ThenBy(k => k.Category, StringComparer.Ordinal)
            .ThenBy(k => k.Channel)
            .ThenBy(k => k.Per)
            .ToList();
        var parameters = ColumnsOf(sorted);
        // An update that is never made locks the row all the same, in the order of the list, and writes nothing.
        await using (
            var insert = SqlCommands.Create(
                connection,
                """
                insert into notify.cap_counts (person, category, channel, per, first_window, taken, ends_at)
                select p, g, h, r, f, '{}', e from unnest($1, $2, $3, $4, $5, $6) as t(p, g, h, r, f, e)
                on conflict (person, category, channel, per) do update set taken = excluded.taken where false
                """,
                [
                    .. parameters,
                    sorted.Select(k => CapCount.None(k.Per, now).First).ToArray(),
                    sorted.Select(k => CapCount.None(k.Per, now).EndsAt).ToArray(),
                ]
            )
        )
            await insert.ExecuteNonQueryAsync(cancellation);

        await using var select = SqlCommands.Create(
            connection,
            """
            select c.person, c.category, c.channel, c.per, c.first_window, c.taken from notify.cap_counts c
            join unnest($1, $2, $3, $4) as t(p, g, h, r) on c.person = t.p and c.category = t.g and c.channel = t.h and c.per = t.r
            """,
            parameters
        );
        await using var reader = await select.ExecuteReaderAsync(cancellation);
        while (await reader.ReadAsync(cancellation))
        {
            var key = new CapKey(reader.GetString(0), reader.GetString(1), (Channel)reader.GetInt16(2), (CapPeriod)reader.GetInt16(3));
            counts[key] = new CapCount(key.Per, reader.GetInt64(4), [.. reader.GetFieldValue<int[]>(5)]).From(now);
        }

        return counts;
    }

    /// <summary>Writes counts that the transaction has locked.</summary>
    public static async Task WriteAsync(
        NpgsqlConnection connection,
        IReadOnlyCollection<KeyValuePair<CapKey, CapCount>> counts,
        CancellationToken cancellation
    )
    {
        if (counts.Count == 0)
            return;
        await using var command = SqlCommands.Create(
            connection,
            """
            update notify.cap_counts c set first_window = t.f, taken = t.n::integer[], ends_at = t.e
            from unnest($1, $2, $3, $4, $5, $6, $7) as t(p, g, h, r, f, e, n)
            where c.person = t.p and c.category = t.g and c.channel = t.h and c.per = t.r
            """,
            [
                .. ColumnsOf([.. counts.Select(c => c.Key)]),
                counts.Select(c => c.Value.First).ToArray(),
                counts.Select(c => c.Value.EndsAt).ToArray(),
                counts
                    .Select(c => $"{{{string.Join(',', c.Value.Taken.Select(n => n.ToString(CultureInfo.InvariantCulture)))}}}")
                    .ToArray(),
            ]
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Removes counts whose windows were over a day ago.</summary>
    /// <returns>How many; a full page means that there are more.</returns>
    public static async Task<int> SweepAsync(NpgsqlDataSource database, DateTimeOffset now, int page, CancellationToken cancellation)
    {
        await using var command = database.CreateCommand(
            "delete from notify.cap_counts where ctid = any(array(select ctid from notify.cap_counts where ends_at < $1 order "
                + "by ends_at limit $2 for update skip locked))"
        );
        command.Parameters.Add(new NpgsqlParameter { Value = now.AddDays(-1) });
        command.Parameters.Add(new NpgsqlParameter { Value = page });
        return await command.ExecuteNonQueryAsync(cancellation);
    }

    private static object[] ColumnsOf(IReadOnlyCollection<CapKey> keys) =>
        [
            keys.Select(k => k.Person).ToArray(),
            keys.Select(k => k.Category).ToArray(),
            keys.Select(k => (short)k.Channel).ToArray(),
            keys.Select(k => (short)k.Per).ToArray(),
        ];
}
