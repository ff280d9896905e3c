namespace Notify.Delivery.Privacy;

using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>
/// Statements over <c>notify.hash_references</c>: the hash of something under a newer pepper, and the older one by which it goes on being
/// known.
/// </summary>
internal static class HashReferenceTable
{
    /// <summary>The kind of users' references, which are kept without their mark.</summary>
    public const string Users = "user";

    /// <summary>Notes by which older hashes things are known; noted ones stay.</summary>
    /// <param name="pepper">The pepper of the newer hashes.</param>
    /// <returns>How many were new.</returns>
    public static Task<int> NoteAsync(
        NpgsqlConnection connection,
        IReadOnlyList<(string Kind, string Hash, string Reference)> news,
        string pepper,
        CancellationToken cancellation
    ) => NoteAsync(connection, [.. news.Select(n => (n.Kind, n.Hash, n.Reference, pepper))], cancellation);

    /// <summary>Notes by which hashes things are known; noted ones stay. A concurrent note of the same hash is waited for.</summary>
    /// <returns>How many were new.</returns>
    public static async Task<int> NoteAsync(
        NpgsqlConnection connection,
        IReadOnlyList<(string Kind, string Hash, string Reference, string Pepper)> news,
        CancellationToken cancellation
    )
    {
        if (news.Count == 0)
            return 0;
        await using var command = SqlCommands.Create(
            connection,
            """
            insert into notify.hash_references (kind, hash, reference, pepper)
            select k, h, r, p from unnest($1, $2, $3, $4) as t(k, h, r, p) order by k, h on conflict do nothing
            """,
            news.Select(n => n.Kind).ToArray(),
            news.Select(n => n.Hash).ToArray(),
            news.Select(n => n.Reference).ToArray(),
            news.Select(n => n.Pepper).ToArray()
        );
        return await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Reads by which hashes things of a kind are known.</summary>
    public static async Task<Dictionary<string, string>> FindAsync(
        NpgsqlConnection connection,
        string kind,
        IReadOnlyCollection<string> hashes,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            "select hash, reference from notify.hash_references where kind = $1 and hash = any($2)",
            kind,
            hashes.ToArray()
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var found = new Dictionary<string, string>(StringComparer.Ordinal);
        while (await reader.ReadAsync(cancellation))
            found[reader.GetString(0)] = reader.GetString(1);
        return found;
    }
}
