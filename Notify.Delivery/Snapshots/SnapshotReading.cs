namespace Notify.Delivery.Snapshots;

using Marten;
using Microsoft.Extensions.Caching.Hybrid;
using Notify.Delivery.Telemetry;
using Notify.Infrastructure.Hosting;
using Npgsql;
using NpgsqlTypes;

/// <summary>The table of documents of one kind, and the way to read them.</summary>
/// <param name="Kind">Their name in metrics.</param>
/// <param name="WithVersion">Gives a document its stream's version, which only the row's column knows; absent: it has none.</param>
internal sealed record SnapshotSource<T>(string Kind, IDocumentStore Store, Func<T, long, T>? WithVersion = null)
    where T : class
{
    private static readonly Func<T, long, T> AsIs = (document, _) => document;

    /// <summary>
    /// For each existing ID: its row version, and the document where that version differs from the given one. Rows that this
    /// transaction itself has written are always sent: they may change again without a new row version.
    /// </summary>
    public string Sql { get; } =
        $"""
            select d.id, d.xmin, d.mt_last_modified, d.mt_version::bigint, coalesce(d.xmin = own.xid, false),
                   case when d.xmin = k.changed_by and d.mt_last_modified = k.changed_at and d.xmin is distinct from own.xid then null else d.data end
            from unnest($1, $2, $3) as k(id, changed_by, changed_at)
            join {Store.Options.FindOrResolveDocumentType(typeof(T)).TableName.QualifiedName} d on d.id = k.id
            cross join (select pg_current_xact_id_if_assigned()::xid as xid) own
            """;

    /// <summary>Reads a document from its row.</summary>
    public T Read(NpgsqlDataReader reader) => (WithVersion ?? AsIs)(Store.Options.Serializer().FromJson<T>(reader, 5), reader.GetInt64(3));
}

/// <summary>One set-based reading of documents: cached ones are looked up, then one statement checks all of them.</summary>
internal sealed class SnapshotReading<T>
    where T : class
{
    private static readonly HybridCacheEntryOptions Peek = new() { Flags = HybridCacheEntryFlags.DisableUnderlyingData };
    private static readonly HybridCacheEntryOptions HereAlone = new() { Flags = HybridCacheEntryFlags.DisableDistributedCache };
    private static readonly Snapshot<T> Absent = new(0, default, null);
    private readonly HybridCache? cache;
    private readonly SnapshotSource<T> source;
    private readonly Dictionary<string, Snapshot<T>?> kept;

    private SnapshotReading(HybridCache? cache, SnapshotSource<T> source, Dictionary<string, Snapshot<T>?> kept) =>
        (this.cache, this.source, this.kept) = (cache, source, kept);

    /// <summary>Whether nothing is asked for.</summary>
    public bool IsEmpty => kept.Count == 0;

    /// <summary>The cached documents. They may be stale; only <see cref="ReadAsync"/> verifies them.</summary>
    public IEnumerable<T> Kept => kept.Values.Select(s => s?.Document).OfType<T>();

    /// <summary>Gets the cached documents of all IDs at once; entries in this host's memory need no I/O.</summary>
    public static async Task<SnapshotReading<T>> StartAsync(HybridCache? cache, SnapshotSource<T> source, IEnumerable<string> ids)
    {
        var kept = new Dictionary<string, Snapshot<T>?>(StringComparer.Ordinal);
        var waiting = new List<(string Id, Task<Snapshot<T>?> Snapshot)>();
        foreach (var id in ids)
        {
            if (!kept.TryAdd(id, null) || cache is null)
                continue;
            var snapshot = cache.GetOrCreateAsync<Snapshot<T>?>(id, static _ => default, Peek, cancellationToken: CancellationToken.None);
            if (snapshot.IsCompletedSuccessfully)
                kept[id] = snapshot.Result;
            else
                waiting.Add((id, snapshot.AsTask()));
        }

        foreach (var (id, snapshot) in waiting)
        {
            await ((Task)snapshot).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (snapshot.IsCompletedSuccessfully)
                kept[id] = await snapshot; // an unreadable entry counts as missing
        }

        return new SnapshotReading<T>(cache, source, kept);
    }

    /// <summary>Adds its statement.</summary>
    public void AddTo(NpgsqlBatch batch)
    {
        if (IsEmpty)
            return;
        var command = new NpgsqlBatchCommand(source.Sql);
        command.Parameters.Add(new NpgsqlParameter { Value = kept.Keys.ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text });
        command.Parameters.Add(
            new NpgsqlParameter
            {
                Value = kept.Values.Select(s => s?.Document is null ? (uint?)null : s.ChangedBy).ToArray(),
                NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Xid,
            }
        );
        command.Parameters.Add(
            new NpgsqlParameter
            {
                Value = kept.Values.Select(s => s?.Document is null ? (DateTime?)null : s.ChangedAt.UtcDateTime).ToArray(),
                NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.TimestampTz,
            }
        );
        batch.BatchCommands.Add(command);
    }

    /// <summary>Reads the result of its statement, and caches changed documents.</summary>
    public async Task<Dictionary<string, T>> ReadAsync(NpgsqlDataReader reader, CancellationToken cancellation)
    {
        var documents = new Dictionary<string, T>(kept.Count, StringComparer.Ordinal);
        if (IsEmpty)
            return documents;
        var (same, changed) = (0, 0);
        while (await reader.ReadAsync(cancellation))
        {
            var id = reader.GetString(0);
            var before = kept[id];
            if (await reader.IsDBNullAsync(5, cancellation))
            {
                documents[id] = before!.Document!;
                same++;
                continue;
            }

            if (before?.Document is not null)
                changed++;
            var document = documents[id] = source.Read(reader);
            if (!reader.GetBoolean(4))
                Keep(id, new Snapshot<T>(reader.GetFieldValue<uint>(1), reader.GetFieldValue<DateTimeOffset>(2), document));
        }

        await reader.NextResultAsync(cancellation);
        foreach (var (id, before) in kept)
        {
            if (before is null && !documents.ContainsKey(id))
                Keep(id, Absent, HereAlone);
        }

        Telemetry.CountCacheReads(source.Kind, same, changed, documents.Count - same - changed);
        return documents;
    }

    // On this host at once; Redis is not waited for.
    private void Keep(string id, Snapshot<T> snapshot, HybridCacheEntryOptions? options = null)
    {
        if (cache?.SetAsync(id, snapshot, options, cancellationToken: CancellationToken.None) is { IsCompleted: false } writing)
            _ = writing.AsTask();
    }
}
