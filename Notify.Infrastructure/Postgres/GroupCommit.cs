namespace Notify.Infrastructure.Postgres;

using System.Threading.Channels;

/// <summary>
/// Self-clocking group commit: items that arrive while a commit runs form the next group. A single item waits for no other;
/// under load the groups grow by themselves, and a commit's cost is shared by all in it. When more waits than fits, owners
/// take turns, so that no item waits for all that another owner has brought.
/// </summary>
/// <typeparam name="TItem">An item of a group.</typeparam>
/// <typeparam name="TResult">The result of an item.</typeparam>
/// <remarks>
/// A group that fails is left to a <see cref="CommitIsolation{TItem, TResult}"/>, which singles out the item that cannot be stored or
/// whose lock is held, while the next groups are committed.
/// </remarks>
public sealed class GroupCommit<TItem, TResult> : IAsyncDisposable
{
    private static readonly TimeSpan StallRemembered = TimeSpan.FromSeconds(10);
    private readonly GroupCommitOptions<TItem> options;
    private readonly Func<IReadOnlyList<TItem>, CommitLimits, CancellationToken, Task<IReadOnlyList<TResult>>> commit;
    private readonly TimeProvider clock;
    private readonly CommitQueue<TItem, TResult> queue;
    private readonly CommitIsolation<TItem, TResult> isolation;
    private readonly Channel<bool> wake = Channel.CreateBounded<bool>(
        new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite }
    );
    private readonly CancellationTokenSource stopping = new();
    private readonly Task[] committers;
    private long succeeded;
    private long stalled;

    /// <summary>Starts the committers.</summary>
    /// <param name="commit">
    /// Commits a group within the limits and returns a result for each item, in order. It may be called again with the same items,
    /// also after a commit whose answer was lost.
    /// </param>
    public GroupCommit(
        Func<IReadOnlyList<TItem>, CommitLimits, CancellationToken, Task<IReadOnlyList<TResult>>> commit,
        GroupCommitOptions<TItem> options,
        TimeProvider? clock = null
    )
    {
        (this.commit, this.options, this.clock) = (commit, options, clock ?? TimeProvider.System);
        (succeeded, stalled) = (this.clock.GetTimestamp(), long.MinValue);
        queue = new CommitQueue<TItem, TResult>(options, this.clock);
        isolation = new CommitIsolation<TItem, TResult>(
            queue,
            options,
            TryAsync,
            () => Interlocked.Read(ref succeeded),
            this.clock,
            stopping.Token
        );
        committers = [.. Enumerable.Range(0, options.Committers).Select(_ => Task.Run(CommitAsync))];
    }

    /// <summary>Starts committers without limits of time and number.</summary>
    public GroupCommit(
        Func<IReadOnlyList<TItem>, CancellationToken, Task<IReadOnlyList<TResult>>> commit,
        int maxGroup,
        int committers = 1,
        TimeSpan pace = default,
        TimeProvider? clock = null,
        Func<TItem, (int Rank, string Owner)>? belongsTo = null
    )
        : this(
            (items, _, cancellation) => commit(items, cancellation),
            new GroupCommitOptions<TItem>
            {
                MaxItems = maxGroup,
                Committers = committers,
                Pace = pace,
                BelongsTo = belongsTo,
            },
            clock
        ) { }

    /// <summary>Items whose result is not known yet.</summary>
    public int Waiting => queue.Unfinished;

    /// <summary>Items that are blocked by locks of other transactions, or wait behind one that is: a part of
    /// <see cref="Waiting"/>.</summary>
    public int Aside => queue.Aside;

    /// <summary>How long the oldest item waits, apart from those that are blocked.</summary>
    /// <remarks>The longest wait after an item was answered without a commit, while none has succeeded since.</remarks>
    public TimeSpan OldestWait
    {
        get
        {
            var (success, stall) = (Interlocked.Read(ref succeeded), Interlocked.Read(ref stalled));
            var oldest = queue.OldestWait(success);
            return stall > success && clock.GetElapsedTime(stall) < StallRemembered && options.MaxWait > oldest ? options.MaxWait : oldest;
        }
    }

    /// <summary>Whether so many more items of an owner would be added.</summary>
    public bool HasRoomFor(int count, int rank, string owner) => queue.HasRoomFor(count, rank, owner);

    /// <summary>Adds an item and waits until it has been committed.</summary>
    /// <param name="aborted">Lets the item leave the queue.</param>
    /// <exception cref="CommitBusyException">Too many items are waiting.</exception>
    /// <exception cref="CommitWaitException">The item was not committed within <see cref="GroupCommitOptions{TItem}.MaxWait"/>.</exception>
    public Task<TResult> AddAsync(TItem item, CancellationToken aborted = default)
    {
        PendingCommit<TItem, TResult> pending;
        try
        {
            aborted.ThrowIfCancellationRequested();
            pending = queue.Add(item);
        }
        catch (Exception e) when (e is CommitBusyException or OperationCanceledException)
        {
            return Task.FromException<TResult>(e);
        }

        wake.Writer.TryWrite(true);
        var waitsForLong = options.MaxWait == Timeout.InfiniteTimeSpan && !aborted.CanBeCanceled;
        return waitsForLong ? pending.Result.Task : WaitAsync(pending, aborted);
    }

    /// <summary>Commits what waits, then stops.</summary>
    public async ValueTask DisposeAsync()
    {
        queue.Close();
        wake.Writer.TryComplete();
        stopping.CancelAfter(TimeSpan.FromSeconds(20));
        await Task.WhenAll(committers);
        await isolation.EndAsync();
        isolation.Dispose();
        stopping.Dispose();
    }

    private async Task<TResult> WaitAsync(PendingCommit<TItem, TResult> pending, CancellationToken aborted)
    {
        var result = pending.Result.Task;
        try
        {
            return await result.WaitAsync(options.MaxWait, clock, aborted);
        }
        catch (TimeoutException e) when (result.Exception?.InnerException != e)
        {
            if (result.IsCompletedSuccessfully)
                return await result;
            queue.Leave(pending);
            if (queue.IsStall(pending, Interlocked.Read(ref succeeded)))
                Interlocked.Exchange(ref stalled, clock.GetTimestamp());
            throw new CommitWaitException(pending.WasTried);
        }
        catch (OperationCanceledException) when (!result.IsCompleted)
        {
            queue.Leave(pending);
            throw;
        }
    }

    private async Task CommitAsync()
    {
        long? ended = null;
        while (await wake.Reader.WaitToReadAsync() || queue.Count > 0)
        {
            wake.Reader.TryRead(out _);
            var wait = ended is { } last ? options.Pace - clock.GetElapsedTime(last) : TimeSpan.Zero;
            if (wait > TimeSpan.Zero && queue.Count < options.MaxItems)
                await Task.Delay(wait, clock);
            var group = queue.Take(out var followed);
            if (queue.Count > 0)
                wake.Writer.TryWrite(true);
            foreach (var chain in followed)
                isolation.Follow(chain);
            if (group.Count == 0)
                continue;
            if (await TryAsync(group, CommitLimits.OfGroup(options.StatementTimeout, group.Sum(p => p.Bytes))) is { } fault)
                isolation.Start(group, fault);
            ended = clock.GetTimestamp();
        }
    }

    // Commits items; where that fails, the fault is returned and the items stay without a result.
    private async Task<Exception?> TryAsync(List<PendingCommit<TItem, TResult>> items, CommitLimits limits)
    {
        foreach (var pending in items)
            pending.WasTried = true;
        using var limit = new CancellationTokenSource(options.CommitTimeout, clock);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, stopping.Token);
        try
        {
            var results = await commit([.. items.Select(p => p.Item)], limits, either.Token);
            if (results.Count != items.Count)
                throw new CommitResultsException(items.Count, results.Count);
            Interlocked.Exchange(ref succeeded, clock.GetTimestamp());
            queue.Finish(items);
            for (var i = 0; i < items.Count; i++)
                items[i].Result.TrySetResult(results[i]);
            return null;
        }
#pragma warning disable CA1031 // The fault belongs to the items, not to this loop.
        catch (Exception e)
#pragma warning restore CA1031
        {
            return limit.IsCancellationRequested && !stopping.IsCancellationRequested ? new CommitTimeoutException(e) : e;
        }
    }
}

/// <summary>A commit returned another number of results than it was given items.</summary>
public sealed class CommitResultsException(int items, int results) : Exception($"A commit of {items} items returned {results} results.");
