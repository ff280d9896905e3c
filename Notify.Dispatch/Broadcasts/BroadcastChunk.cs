namespace Notify.Dispatch.Broadcasts;

/// <summary>A part of a broadcast's audience whose notifications are made in one transaction.</summary>
/// <param name="Limit">How many users it may have.</param>
/// <param name="Users">Its users.</param>
/// <param name="Last">The checkpoint after it.</param>
/// <param name="IsLast">Whether nobody is left behind the checkpoint.</param>
/// <param name="IsRetry">Whether its users were set aside before; the checkpoint is then behind them already.</param>
public sealed record BroadcastChunk(int Limit, IReadOnlyList<string> Users, string Last, bool IsLast, bool IsRetry);

/// <summary>
/// How many users the next chunk of each broadcast may have: after a chunk that failed half as many, down to the one whose row is
/// locked or unreadable; after one that was made twice as many, until the size is the usual one again.
/// </summary>
public sealed class BroadcastChunkSizes
{
    private const int MaxBroadcasts = 1000;
    private readonly Dictionary<(string Key, bool IsRetry), int> narrowed = [];
    private readonly HashSet<string> retriedLast = new(StringComparer.Ordinal);

    /// <summary>The limit of the next chunk.</summary>
    /// <param name="usual">The limit where nothing failed.</param>
    public int LimitOf(string key, bool isRetry, int usual) => Math.Min(usual, narrowed.GetValueOrDefault((key, isRetry), usual));

    /// <summary>Whether users that were set aside have their turn now: every other chunk at most, so that the audience goes on.</summary>
    public bool MayRetry(string key) => !retriedLast.Contains(key);

    /// <summary>Notes that a chunk failed, and has to be cut.</summary>
    public void Failed(string key, BroadcastChunk chunk)
    {
        if (narrowed.Count >= MaxBroadcasts)
            narrowed.Clear();
        narrowed[(key, chunk.IsRetry)] = Math.Max(1, Math.Min(chunk.Limit, chunk.Users.Count) / 2);
        NoteTurn(key, chunk.IsRetry);
    }

    /// <summary>Notes that a chunk was made.</summary>
    public void Made(string key, BroadcastChunk chunk, int usual)
    {
        if (chunk.Limit * 2 >= usual)
            narrowed.Remove((key, chunk.IsRetry));
        else
            narrowed[(key, chunk.IsRetry)] = chunk.Limit * 2;
        NoteTurn(key, chunk.IsRetry);
    }

    /// <summary>Notes that a chunk is set aside, which had one user.</summary>
    public void NoteTurn(string key, bool isRetry)
    {
        if (!isRetry)
            retriedLast.Remove(key);
        else if (retriedLast.Count >= MaxBroadcasts)
            retriedLast.Clear();
        else
            retriedLast.Add(key);
    }
}
