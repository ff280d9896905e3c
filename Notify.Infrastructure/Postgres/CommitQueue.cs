namespace Notify.Infrastructure.Postgres;

/// <summary>An item that waits for its commit.</summary>
internal sealed class PendingCommit<TItem, TResult>(TItem item, int rank, string owner, long bytes, string? key)
{
    public TItem Item => item;

    public int Rank => rank;

    public string Owner => owner;

    public long Bytes => bytes;

    public string? Key => key;

    public long Turn { get; init; }

    public long Arrival { get; init; }

    /// <summary>When it was added, as a timestamp of the clock.</summary>
    public long Since { get; init; }

    public TaskCompletionSource<TResult> Result { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Whether a commit with it was begun.</summary>
    public volatile bool WasTried;

    /// <summary>Whether its caller has cancelled: it is not committed any more.</summary>
    public volatile bool HasLeft;

    /// <summary>Whether it is committed apart from the others, since it is blocked.</summary>
    public volatile bool IsAside;

    /// <summary>Whether it waits behind another item of its key.</summary>
    public volatile bool IsFollower;
}

/// <summary>The items of one key: the one that is committed apart, and those that wait behind it.</summary>
internal sealed class KeyChain<TItem, TResult>
{
    public List<PendingCommit<TItem, TResult>> Items { get; } = [];

    public bool IsFollowed { get; set; }
}

/// <summary>
/// The items that wait for a group commit: bounded, by rank, owners in turn. Items behind a blocked item of the same key wait apart from
/// the others, in the order of their arrival.
/// </summary>
internal sealed class CommitQueue<TItem, TResult>(GroupCommitOptions<TItem> options, TimeProvider clock)
{
    // Fewer keys are somebody's own rows; more mean that the database lets nothing through.
    private const int MinBlockedKeys = 3;
    private const int MaxRemembered = 1000;
    private static readonly TimeSpan RememberedFor = TimeSpan.FromMinutes(1);
    private static readonly Comparer<PendingCommit<TItem, TResult>> ByTurn = Comparer<PendingCommit<TItem, TResult>>.Create(
        (a, b) => (a.Rank, a.Turn, a.Arrival).CompareTo((b.Rank, b.Turn, b.Arrival))
    );

    private readonly Lock gate = new();
    private readonly SortedSet<PendingCommit<TItem, TResult>> waiting = new(ByTurn);
    private readonly HashSet<PendingCommit<TItem, TResult>> unfinished = [];
    private readonly Dictionary<string, int> owned = new(StringComparer.Ordinal);
    private readonly Dictionary<(int Rank, string Owner), long> lastTurns = [];
    private readonly Dictionary<int, long> reached = [];
    private readonly Dictionary<string, KeyChain<TItem, TResult>> chains = new(StringComparer.Ordinal);
    private readonly Dictionary<string, long> blockedLately = new(StringComparer.Ordinal);
    private long arrivals;
    private bool isClosed;

    /// <summary>Items that wait and are in no commit.</summary>
    public int Count
    {
        get
        {
            lock (gate)
                return waiting.Count;
        }
    }

    /// <summary>Items whose result is not known yet.</summary>
    public int Unfinished
    {
        get
        {
            lock (gate)
                return unfinished.Count;
        }
    }

    /// <summary>Whether so many more items would be added.</summary>
    public bool HasRoomFor(int count, int rank, string owner)
    {
        lock (gate)
        {
            if (unfinished.Count + count > PlacesOf(rank))
                return false;
            return options.BelongsTo is null || owned.GetValueOrDefault(owner) + count <= PlacesOfOwner;
        }
    }

    /// <summary>Adds an item.</summary>
    /// <exception cref="CommitBusyException">Too many are waiting.</exception>
    /// <exception cref="OperationCanceledException">The host is stopping.</exception>
    public PendingCommit<TItem, TResult> Add(TItem item)
    {
        var (rank, owner) = options.BelongsTo?.Invoke(item) ?? (0, "");
        var (bytes, key) = (options.BytesOf?.Invoke(item) ?? 0, options.KeyOf?.Invoke(item));
        lock (gate)
        {
            if (isClosed)
                throw new OperationCanceledException("The host is stopping.");
            if (!HasRoomFor(1, rank, owner))
                throw new CommitBusyException();
            // An owner with several items gets later turns for the others; one that was away does not come before those that waited.
            var turn = Math.Max(lastTurns.GetValueOrDefault((rank, owner)), reached.GetValueOrDefault(rank)) + 1;
            var pending = new PendingCommit<TItem, TResult>(item, rank, owner, bytes, key)
            {
                Turn = turn,
                Arrival = ++arrivals,
                Since = clock.GetTimestamp(),
            };
            lastTurns[(rank, owner)] = turn;
            waiting.Add(pending);
            unfinished.Add(pending);
            owned[owner] = owned.GetValueOrDefault(owner) + 1;
            return pending;
        }
    }

    /// <summary>Takes the next group. Items of a key that is blocked wait apart instead.</summary>
    /// <param name="followed">Keys whose items must be committed apart from now on.</param>
    public List<PendingCommit<TItem, TResult>> Take(out List<KeyChain<TItem, TResult>> followed)
    {
        var (group, bytes) = (new List<PendingCommit<TItem, TResult>>(), 0L);
        followed = [];
        lock (gate)
        {
            while (
                group.Count < options.MaxItems && waiting.Min is { } next && (group.Count == 0 || bytes + next.Bytes <= options.MaxBytes)
            )
            {
                waiting.Remove(next);
                reached[next.Rank] = Math.Max(reached.GetValueOrDefault(next.Rank), next.Turn);
                if (next.Key is { } key && (chains.ContainsKey(key) || WasBlockedLately(key)))
                {
                    Follow(next, key, followed);
                    continue;
                }

                group.Add(next);
                bytes += next.Bytes;
            }

            if (waiting.Count == 0)
                lastTurns.Clear();
        }

        return group;
    }

    /// <summary>Begins to commit the items of a group that failed apart: later items of their keys wait behind them.</summary>
    /// <param name="followed">Keys of which the group had several items.</param>
    /// <returns>The first items of their keys.</returns>
    public List<PendingCommit<TItem, TResult>> Isolate(
        List<PendingCommit<TItem, TResult>> group,
        out List<KeyChain<TItem, TResult>> followed
    )
    {
        var (firsts, chained) = (new List<PendingCommit<TItem, TResult>>(group.Count), new List<KeyChain<TItem, TResult>>());
        lock (gate)
        {
            foreach (var pending in group)
            {
                if (pending.Key is { } key)
                {
                    if (chains.ContainsKey(key))
                    {
                        Follow(pending, key, chained);
                        continue;
                    }

                    chains[key] = new KeyChain<TItem, TResult> { Items = { pending } };
                }

                firsts.Add(pending);
            }
        }

        followed = chained;
        return firsts;
    }

    /// <summary>The next items of a key.</summary>
    /// <returns>Either the item that must be committed before, or those that follow, in order; nothing when the key has no more.</returns>
    public (PendingCommit<TItem, TResult>? Before, List<PendingCommit<TItem, TResult>> Items) Next(KeyChain<TItem, TResult> chain)
    {
        lock (gate)
        {
            foreach (var left in chain.Items.FindAll(p => p.HasLeft && p.IsFollower))
                Remove(left, hasLeft: true);
            if (chain.Items is not [var first, ..])
                return (null, []);
            return first.IsFollower ? (null, [.. chain.Items.Take(options.MaxItems)]) : (first, []);
        }
    }

    /// <summary>The items that have no result and whose callers still wait; the others leave.</summary>
    public List<PendingCommit<TItem, TResult>> Present(List<PendingCommit<TItem, TResult>> items)
    {
        lock (gate)
            return items.FindAll(p => !Leaves(p) && unfinished.Contains(p));
    }

    /// <summary>Lets an item's caller go: where the item is in no commit, it leaves the queue at once.</summary>
    public void Leave(PendingCommit<TItem, TResult> pending)
    {
        lock (gate)
        {
            pending.HasLeft = true;
            if (waiting.Remove(pending))
                Remove(pending, hasLeft: true);
            if (!pending.IsAside || pending.Key is not { } key)
                return;
            if (blockedLately.Count >= MaxRemembered)
                blockedLately.Clear();
            blockedLately[key] = clock.GetTimestamp();
        }
    }

    /// <summary>Takes items out whose result is known.</summary>
    public void Finish(List<PendingCommit<TItem, TResult>> items)
    {
        lock (gate)
        {
            foreach (var pending in items)
            {
                Remove(pending, hasLeft: false);
                if (pending is { IsAside: true, Key: { } key })
                    blockedLately.Remove(key);
            }
        }
    }

    /// <summary>Adds nothing more.</summary>
    public void Close()
    {
        lock (gate)
            isClosed = true;
    }

    /// <summary>Items that are blocked, or wait behind one that is.</summary>
    public int Aside
    {
        get
        {
            lock (gate)
                return unfinished.Count(p => p.IsAside);
        }
    }

    /// <summary>How long the oldest item waits, apart from those that are blocked.</summary>
    /// <param name="succeeded">When a commit succeeded last. Where none has since and many keys are blocked, these count, too.</param>
    public TimeSpan OldestWait(long succeeded)
    {
        lock (gate)
        {
            var counted = IsBlockedWidely(succeeded)
                ? unfinished.Select(p => p.IsAside ? Math.Max(p.Since, succeeded) : p.Since)
                : unfinished.Where(p => !p.IsAside).Select(p => p.Since);
            return clock.GetElapsedTime(counted.DefaultIfEmpty(clock.GetTimestamp()).Min());
        }
    }

    /// <summary>Whether an item whose caller was answered without a commit tells that nothing is committed.</summary>
    /// <param name="succeeded">When a commit succeeded last.</param>
    public bool IsStall(PendingCommit<TItem, TResult> pending, long succeeded)
    {
        lock (gate)
            return !pending.IsAside || IsBlockedWidely(succeeded);
    }

    private bool IsBlockedWidely(long succeeded)
    {
        var keys = new HashSet<object>(MinBlockedKeys);
        foreach (var pending in unfinished.Where(p => p.IsAside))
        {
            keys.Add((object?)pending.Key ?? pending);
            if (keys.Count == MinBlockedKeys)
                return true;
        }

        foreach (var (key, _) in blockedLately.Where(b => b.Value > succeeded))
            keys.Add(key);
        return keys.Count >= MinBlockedKeys;
    }

    private void Follow(PendingCommit<TItem, TResult> pending, string key, List<KeyChain<TItem, TResult>> followed)
    {
        (pending.IsAside, pending.IsFollower) = (true, true);
        if (!chains.TryGetValue(key, out var chain))
            chains[key] = chain = new KeyChain<TItem, TResult>();
        chain.Items.Add(pending);
        if (chain.IsFollowed)
            return;
        chain.IsFollowed = true;
        followed.Add(chain);
    }

    private bool WasBlockedLately(string key)
    {
        if (!blockedLately.TryGetValue(key, out var at))
            return false;
        if (clock.GetElapsedTime(at) < RememberedFor)
            return true;
        blockedLately.Remove(key);
        return false;
    }

    private bool Leaves(PendingCommit<TItem, TResult> pending)
    {
        if (pending.HasLeft)
            Remove(pending, hasLeft: true);
        return pending.HasLeft;
    }

    private void Remove(PendingCommit<TItem, TResult> pending, bool hasLeft)
    {
        if (!unfinished.Remove(pending))
            return;
        if (owned[pending.Owner] == 1)
            owned.Remove(pending.Owner);
        else
            owned[pending.Owner]--;
        if (pending.Key is { } key && chains.TryGetValue(key, out var chain))
        {
            chain.Items.Remove(pending);
            if (chain.Items.Count == 0)
                chains.Remove(key);
        }

        if (hasLeft)
            pending.Result.TrySetCanceled(); // those that wait behind it go on
    }

    private int PlacesOf(int rank) =>
        rank == 0 || options.BelongsTo is null ? options.MaxWaiting : options.MaxWaiting - (options.MaxWaiting / 10);

    private int PlacesOfOwner => Math.Max(1, options.MaxWaiting / 2);
}
