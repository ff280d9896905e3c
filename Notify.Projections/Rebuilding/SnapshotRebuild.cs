namespace Notify.Projections.Rebuilding;

using Marten;
using Notify.Delivery.EventStore;
using Notify.Infrastructure.Postgres;
using Notify.Projections.Verification;

/// <summary>Writes documents anew from their streams, by name: those that verification found to differ.</summary>
/// <remarks>Each in a transaction of its own that has locked the stream, so that no host changes the document meanwhile.</remarks>
public sealed class SnapshotRebuild(IDocumentStore store, TextWriter output)
{
    /// <summary>The name by which the command takes the streams of documents.</summary>
    public const string Name = "snapshots";

    /// <summary>Writes the documents of these streams.</summary>
    /// <returns>The exit code: 0 when all agree with their streams now.</returns>
    public async Task<int> RunAsync(IEnumerable<string> keys, CancellationToken cancellation = default)
    {
        var code = 0;
        foreach (var key in keys)
        {
            var (result, isWritten) = await WriteAsync(key, cancellation);
            await output.WriteLineAsync($"{key}: {result}");
            if (!isWritten)
                code = 1;
        }

        return code;
    }

    private async Task<(string Result, bool IsWritten)> WriteAsync(string key, CancellationToken cancellation)
    {
        if (SnapshotKinds.Of(key) is not { } kind)
            return ("streams of this kind have no document; see verify", false);
        await using var session = store.LightweightSession();
        await NotificationStreams.LockAsync(session, [key], cancellation);
        var stream =
            (await Verification.StreamReader.ReadAsync(session, [key], cancellation)).GetValueOrDefault(key)
            ?? new Verification.StreamContent(key, []);
        if (stream.Fault is { } fault)
            return ($"{fault}; nothing is changed", false);
        if (stream.HasUnknownEvents)
            return ("a newer version wrote some of its events; run this command of that version", false);

        var (_, differences) = await SnapshotCheck.CompareAsync(session.Connection!, [stream], cancellation);
        if (differences.Count == 0)
            return ("agrees with its stream", true);
        // Without all of its events a stream makes another document.
        var gaps = new List<VerificationFault>();
        await VersionCheck.CheckAsync(session.Connection!, [key], gaps.Add, cancellation);
        if (!differences[0].IsFolded || gaps.Count > 0)
            return ("its stream lacks events; restore them first, nothing is changed", false);
        await using (var delete = SqlCommands.Create(session.Connection!, $"delete from {kind.Table} where id = $1", key))
            await delete.ExecuteNonQueryAsync(cancellation);
        if (differences[0].Folded is { } folded)
            kind.Store(session, folded, stream.Version);
        session.QueueSqlCommand("select 1"); // a session without changes would not commit
        await session.SaveChangesAsync(cancellation);
        return ($"{differences[0].What}; {(differences[0].Folded is null ? "removed" : "written anew from its stream")}", true);
    }
}
