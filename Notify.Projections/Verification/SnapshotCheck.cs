namespace Notify.Projections.Verification;

using System.Text.Json;
using System.Text.Json.Nodes;
using Notify.Delivery.EventStore;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>A document that does not agree with its stream.</summary>
/// <param name="Folded">The document as its stream makes it; <c>null</c>: there must be none.</param>
/// <param name="Version">The version of its stream.</param>
/// <param name="What">Describes the difference. Names fields, and none of their values.</param>
/// <param name="IsFolded">Whether the stream could be folded.</param>
internal sealed record SnapshotDifference(SnapshotKind Kind, string Key, object? Folded, long Version, string What, bool IsFolded = true);

/// <summary>Folds streams and compares the documents that hosts keep of them: an edited document would be acted upon.</summary>
internal static class SnapshotCheck
{
    // The version is a column of its own, and may be behind where the last events changed nothing.
    private const string VersionField = "version";

    /// <summary>Compares the documents of streams, in the snapshot in which the streams were read.</summary>
    /// <param name="streams">Readable streams of any kind.</param>
    /// <returns>How many were compared, and the differences.</returns>
    public static async Task<(int Compared, List<SnapshotDifference> Differences)> CompareAsync(
        NpgsqlConnection connection,
        IEnumerable<StreamContent> streams,
        CancellationToken cancellation
    )
    {
        var (compared, differences) = (0, new List<SnapshotDifference>());
        // An event of a newer version may mean something for the document that this version does not know.
        foreach (var own in streams.Where(s => !s.HasUnknownEvents).GroupBy(s => SnapshotKinds.Of(s.Key)))
        {
            if (own.Key is not { } kind)
                continue;
            var stored = await ReadAsync(connection, kind, [.. own.Select(s => s.Key)], cancellation);
            foreach (var stream in own)
            {
                compared++;
                if (Compare(kind, stream, stored.TryGetValue(stream.Key, out var row) ? row : null) is { } difference)
                    differences.Add(difference);
            }
        }

        return (compared, differences);
    }

    /// <summary>Reads the IDs of a page of documents, and whether each has a stream.</summary>
    /// <returns>The IDs, and where the next page begins; <c>null</c>: this is the last.</returns>
    public static async Task<(List<(string Key, bool HasStream)> Page, string? Next)> PageAsync(
        NpgsqlConnection connection,
        SnapshotKind kind,
        string after,
        int limit,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            $"""
            select d.id, s.id is not null from (select id from {kind.Table} where id > $1 order by id limit $2) d
            left join {EventSchema.Name}.mt_streams s on s.id = d.id order by d.id
            """,
            after,
            limit
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var page = new List<(string Key, bool HasStream)>();
        while (await reader.ReadAsync(cancellation))
            page.Add((reader.GetString(0), reader.GetBoolean(1)));
        return (page, page.Count < limit ? null : page[^1].Key);
    }

    /// <summary>The fault of a document without a stream.</summary>
    public static VerificationFault WithoutStream(SnapshotKind kind, string key) =>
        FaultOf(key, $"has a row of {kind.Table}, but no stream");

    /// <summary>The fault of a document that does not agree with its stream.</summary>
    public static VerificationFault FaultOf(SnapshotDifference difference) => FaultOf(difference.Key, difference.What);

    private static VerificationFault FaultOf(string key, string what) => new(VerificationFaultKind.SnapshotDiffers, key, null, what);

    private static SnapshotDifference? Compare(SnapshotKind kind, StreamContent stream, (string Data, long Version)? row)
    {
        object? folded;
        try
        {
            folded = kind.Fold(stream.Key, stream.Events.Select(e => e.Data));
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            return new SnapshotDifference(
                kind,
                stream.Key,
                null,
                stream.Version,
                $"cannot be compared: its stream cannot be folded ({e.GetType().Name})",
                false
            );
        }

        var what = (folded, row) switch
        {
            (null, null) => null,
            (null, _) => $"has a row of {kind.Table} that no event of its stream makes",
            (_, null) => $"has no row of {kind.Table}, though its stream makes one",
            ({ } document, { } found) => Describe(kind, document, found, stream.Version),
        };
        return what is null ? null : new SnapshotDifference(kind, stream.Key, folded, stream.Version, what);
    }

    private static string? Describe(SnapshotKind kind, object folded, (string Data, long Version) row, long version)
    {
        if (row.Version > version || row.Version < 1)
            return $"has version {row.Version} in {kind.Table}, but its stream has version {version}";
        if (Parse(kind, row.Data) is not { } stored)
            return $"has a row of {kind.Table} that cannot be read";
        var expected = SnapshotKind.JsonOf(folded);
        var fields = expected
            .Concat(stored)
            .Select(p => p.Key)
            .Distinct(StringComparer.Ordinal)
            .Where(f => f != VersionField && !JsonNode.DeepEquals(expected[f], stored[f]))
            .ToList();
        return fields.Count == 0 ? null : $"differs from its stream in {string.Join(", ", fields)} ({kind.Table})";
    }

    private static JsonObject? Parse(SnapshotKind kind, string data)
    {
        try
        {
            return kind.Read(data);
        }
        catch (Exception e)
            when (e
                    is JsonException
                        or NotSupportedException
                        or FormatException
                        or InvalidOperationException
                        or ArgumentException
                        or NullReferenceException
            )
        {
            return null;
        }
    }

    private static async Task<Dictionary<string, (string Data, long Version)>> ReadAsync(
        NpgsqlConnection connection,
        SnapshotKind kind,
        string[] keys,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            $"select id, data::text, mt_version::bigint from {kind.Table} where id = any($1)",
            (object)keys
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var rows = new Dictionary<string, (string, long)>(StringComparer.Ordinal);
        while (await reader.ReadAsync(cancellation))
            rows[reader.GetString(0)] = (reader.GetString(1), reader.GetInt64(2));
        return rows;
    }
}
