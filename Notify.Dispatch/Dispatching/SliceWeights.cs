using Notify.Projections;
using Npgsql;

namespace Notify.Dispatch.Dispatching;

/// <summary>
/// Bounds how much of what is to be sent this host has open at once. A mail's files may be megabytes, and a slice hundreds of
/// mails: what does not fit stays in its queue until others have gone. A single one always goes, however heavy, and what is critical waits for nothing.
/// </summary>
/// <param name="most">Bytes as they are stored; opened, they take several times as much.</param>
public sealed class SliceWeights(long most = SliceWeights.Most)
{
    /// <summary>So many stored bytes at once: some hundreds of megabytes of memory at worst.</summary>
    public const long Most = 48 * 1024 * 1024;

    private long held;

    /// <summary>Bytes that are open now.</summary>
    public long Held => Interlocked.Read(ref held);

    /// <summary>Takes so many bytes if they fit.</summary>
    /// <param name="evenIfHeavy">Whether they are taken in any case.</param>
    public bool TryTake(long bytes, bool evenIfHeavy = false)
    {
        if (Interlocked.Add(ref held, bytes) <= most || evenIfHeavy) return true;
        Interlocked.Add(ref held, -bytes);
        return false;
    }

    /// <summary>Gives bytes back.</summary>
    public void Release(long bytes) => Interlocked.Add(ref held, -bytes);

    /// <summary>How many bytes the events of these notifications take as they are stored; what they hold is not read for it.</summary>
    public static async Task<Dictionary<string, long>> WeighAsync(NpgsqlConnection connection, IEnumerable<string> notifications, CancellationToken cancellation)
    {
        await using var command = new NpgsqlCommand(
            $"select stream_id, sum(pg_column_size(data)) from {NotifyStore.Schema}.mt_events where stream_id = any($1) group by stream_id", connection);
        command.Parameters.Add(new NpgsqlParameter { Value = notifications.Distinct(StringComparer.Ordinal).ToArray() });
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var weights = new Dictionary<string, long>(StringComparer.Ordinal);
        while (await reader.ReadAsync(cancellation)) weights[reader.GetString(0)] = reader.GetInt64(1);
        return weights;
    }
}
