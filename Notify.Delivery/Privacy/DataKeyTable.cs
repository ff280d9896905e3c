namespace Notify.Delivery.Privacy;

using Notify.Infrastructure.Postgres;
using Npgsql;
using NpgsqlTypes;

/// <summary>The data keys that a rotation replaces.</summary>
/// <param name="MadeBefore">Only those that are older.</param>
/// <param name="Subjects">Only those of these subjects; <c>null</c>: of all.</param>
public sealed record DataKeySelection(DateTimeOffset MadeBefore, IReadOnlyCollection<string>? Subjects = null);

/// <summary>
/// Statements that replace current keys in <c>notify.subject_keys</c>. A replaced key keeps its row and its ID, so that it opens what it
/// encrypted; its <c>erased_at</c> is <c>infinity</c>.
/// </summary>
/// <remarks>
/// Not a column alone that says so: hosts of the former version insert keys by the unique index over rows without <c>erased_at</c>, and
/// the index must have one row for each subject.
/// </remarks>
internal static class DataKeyTable
{
    private const string Selected = """
        erased_at is null and wrapped is not null and created_at < $1 and ($2::text[] is null or subject = any($2))
        """;

    /// <summary>Locks current keys until the transaction ends, in the order of their IDs. Those that others hold are passed over.</summary>
    public static async Task<List<(long Id, string Subject)>> LockAsync(
        NpgsqlConnection connection,
        DataKeySelection selection,
        long after,
        int page,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            $"select id, subject from notify.subject_keys where {Selected} and id > $3 order by id limit $4 for update skip locked",
            selection.MadeBefore,
            Texts(selection.Subjects),
            after,
            page
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var rows = new List<(long Id, string Subject)>();
        while (await reader.ReadAsync(cancellation))
            rows.Add((reader.GetInt64(0), reader.GetString(1)));
        return rows;
    }

    /// <summary>Replaces keys that the transaction has locked.</summary>
    /// <param name="keys">Their IDs, their subjects, and the new keys, wrapped under the master key.</param>
    public static async Task ReplaceAsync(
        NpgsqlConnection connection,
        IReadOnlyList<(long Id, string Subject, byte[] Wrapped)> keys,
        string master,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        await using (
            var replace = SqlCommands.Create(
                connection,
                "update notify.subject_keys set erased_at = 'infinity', replaced_at = $2 where id = any($1)",
                keys.Select(k => k.Id).ToArray(),
                now
            )
        )
            await replace.ExecuteNonQueryAsync(cancellation);
        await using var insert = SqlCommands.Create(
            connection,
            """
            insert into notify.subject_keys (subject, wrapped, master_key, created_at)
            select s, w, $3, $4 from unnest($1, $2) as t(s, w) order by s
            """,
            keys.Select(k => k.Subject).ToArray(),
            new NpgsqlParameter { Value = keys.Select(k => k.Wrapped).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bytea },
            master,
            now
        );
        await insert.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Counts the keys that are still to be replaced.</summary>
    public static async Task<long> LeftAsync(NpgsqlConnection connection, DataKeySelection selection, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(
            connection,
            $"select count(*) from notify.subject_keys where {Selected}",
            selection.MadeBefore,
            Texts(selection.Subjects)
        );
        command.CommandTimeout = 600; // however many keys there are
        return (long)(await command.ExecuteScalarAsync(cancellation))!;
    }

    /// <summary>Counts the keys that were replaced since then.</summary>
    public static async Task<long> ReplacedAsync(NpgsqlConnection connection, DateTimeOffset since, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(connection, "select count(*) from notify.subject_keys where replaced_at >= $1", since);
        command.CommandTimeout = 600;
        return (long)(await command.ExecuteScalarAsync(cancellation))!;
    }

    private static NpgsqlParameter Texts(IReadOnlyCollection<string>? texts) =>
        new() { Value = (object?)texts?.ToArray() ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text };
}
