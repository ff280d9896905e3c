namespace Notify.Infrastructure.Postgres;

/// <summary>
/// Commits the items of groups that failed, apart from the groups that follow. A group is halved until the item that cannot be stored,
/// or whose lock another transaction holds, is alone. The first fails; the second is tried again with growing pauses, and
/// the items of the same key wait behind it.
/// </summary>
/// <remarks>
/// A group is halved only where other commits succeed, since then something in it is the cause. While none succeeds, the whole
/// group is tried again a few times first: the cause is the database, and parts would only be more work for it.
/// </remarks>
internal sealed class CommitIsolation<TItem, TResult>(
    CommitQueue<TItem, TResult> queue,
    GroupCommitOptions<TItem> options,
    Func<List<PendingCommit<TItem, TResult>>, CommitLimits, Task<Exception?>> tryCommit,
    Func<long> succeeded,
    TimeProvider clock,
    CancellationToken stopping
) : IDisposable
{
    private const int MaxFruitless = 2,
        MaxRaces = 5,
        TriesBeforeHalving = 3;

    // Parts of groups, and items whose lock is held, do not wait for each other.
    private readonly SemaphoreSlim parts = new(3),
        singles = new(4);
    private static readonly TimeSpan ReportEvery = TimeSpan.FromSeconds(10);
    private readonly Lock gate = new();
    private readonly HashSet<Task> running = [];
    private long reported;

    /// <summary>Takes over a group that failed.</summary>
    public void Start(List<PendingCommit<TItem, TResult>> group, Exception fault)
    {
        var items = queue.Isolate(group, out var followed);
        Run(() => IsolateAsync(items, fault, isFirst: true));
        foreach (var chain in followed)
            Follow(chain);
    }

    /// <summary>Takes over items that wait behind a blocked one.</summary>
    public void Follow(KeyChain<TItem, TResult> chain) => Run(() => CommitChainAsync(chain));

    /// <summary>Waits until nothing is left.</summary>
    public async Task EndAsync()
    {
        while (true)
        {
            Task[] left;
            lock (gate)
                left = [.. running];
            if (left.Length == 0)
                return;
            await Task.WhenAll(left);
        }
    }

    /// <inheritdoc />
    public void Dispose()
    {
        parts.Dispose();
        singles.Dispose();
    }

    private void Run(Func<Task> work)
    {
        lock (gate)
        {
            var task = Task.Run(work, CancellationToken.None);
            running.Add(task);
            _ = task.ContinueWith(
                done =>
                {
                    lock (gate)
                        running.Remove(done);
                },
                CancellationToken.None,
                TaskContinuationOptions.ExecuteSynchronously,
                TaskScheduler.Default
            );
        }
    }

    private async Task IsolateAsync(List<PendingCommit<TItem, TResult>> items, Exception fault, bool isFirst)
    {
        var (races, away, fruitless) = (0, 0, isFirst ? MaxFruitless : 0);
        var failed = clock.GetTimestamp();
        while (true)
        {
            items = queue.Present(items);
            if (items.Count == 0)
                return;
            var (kind, isAlone, othersSucceed) = (CommitFaults.Of(fault), items.Count == 1, succeeded() > failed);
            TimeSpan pause;
            if (stopping.IsCancellationRequested || fault is CommitResultsException || (kind == CommitFault.Data && isAlone))
            {
                Fail(items, fault);
                return;
            }
            else if (kind == CommitFault.Race && races < MaxRaces)
                pause = TimeSpan.FromMilliseconds(10 * ++races);
            else if (kind is CommitFault.Race or CommitFault.Away && (isAlone || !othersSucceed || away < TriesBeforeHalving))
            {
                if (++away >= options.MaxTries)
                {
                    Fail(items, fault);
                    return;
                }

                pause = Backoff(away);
            }
            else if (kind == CommitFault.Blocked && isAlone)
            {
                Report(items, fault);
                items[0].IsAside = true;
                await CommitApartAsync(() => queue.Present(items));
                return;
            }
            else if (kind == CommitFault.Blocked && !othersSucceed && fruitless < MaxFruitless)
                pause = Backoff(fruitless++);
            else
            {
                if (isFirst)
                    Report(items, fault);
                var half = (items.Count + 1) / 2;
                await Task.WhenAll(PartAsync(items[..half], fruitless), PartAsync(items[half..], fruitless));
                return;
            }

            await PauseAsync(pause);
            failed = clock.GetTimestamp();
            var limits = CommitLimits.OfPart(options.StatementTimeout, items.Sum(p => p.Bytes), fruitless);
            if (await TryAsync(parts, items, limits) is not { } again)
                return;
            fault = again;
        }
    }

    private async Task PartAsync(List<PendingCommit<TItem, TResult>> items, int fruitless)
    {
        if (items.Count == 0)
            return;
        var limits = CommitLimits.OfPart(options.StatementTimeout, items.Sum(p => p.Bytes), fruitless % MaxFruitless);
        if (await TryAsync(parts, items, limits) is { } fault)
            await IsolateAsync(items, fault, isFirst: false);
    }

    private async Task CommitChainAsync(KeyChain<TItem, TResult> chain)
    {
        while (true)
        {
            var (before, items) = queue.Next(chain);
            if (before is not null)
                await ((Task)before.Result.Task).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            else if (items.Count == 0)
                return;
            else
                await CommitApartAsync(() => queue.Next(chain).Items);
        }
    }

    // Tries again until nothing is left, with growing pauses.
    private async Task CommitApartAsync(Func<List<PendingCommit<TItem, TResult>>> left)
    {
        var (tries, away) = (0, 0);
        while (left() is { Count: > 0 } items)
        {
            if (await TryAsync(singles, items, CommitLimits.OfOne(options.StatementTimeout)) is not { } fault)
            {
                (tries, away) = (0, 0);
                continue;
            }

            var kind = CommitFaults.Of(fault);
            var isLast = kind == CommitFault.Away && ++away >= options.MaxTries;
            if (isLast || stopping.IsCancellationRequested || fault is CommitResultsException)
                Fail(items, fault);
            else if (kind == CommitFault.Data)
                await EachAsync(items, fault);
            else
                await PauseAsync(Backoff(tries++));
        }
    }

    // Of the items behind a blocked one, one cannot be stored.
    private async Task EachAsync(List<PendingCommit<TItem, TResult>> items, Exception fault)
    {
        foreach (var pending in items)
        {
            var own = items.Count == 1 ? fault : await TryAsync(singles, [pending], CommitLimits.OfOne(options.StatementTimeout));
            if (own is not null && CommitFaults.Of(own) == CommitFault.Data)
                Fail([pending], own);
        }
    }

    private async Task<Exception?> TryAsync(SemaphoreSlim slots, List<PendingCommit<TItem, TResult>> items, CommitLimits limits)
    {
        await slots.WaitAsync(CancellationToken.None);
        try
        {
            items = queue.Present(items);
            return items.Count == 0 ? null : await tryCommit(items, limits);
        }
        finally
        {
            slots.Release();
        }
    }

    // One report in ten seconds, however many groups fail.
    private void Report(List<PendingCommit<TItem, TResult>> items, Exception fault)
    {
        var (now, last) = (clock.GetTimestamp(), Interlocked.Read(ref reported));
        if (last != 0 && clock.GetElapsedTime(last, now) < ReportEvery)
            return;
        if (Interlocked.CompareExchange(ref reported, now, last) == last)
            options.OnIsolated?.Invoke([.. items.Select(p => p.Item)], fault);
    }

    private void Fail(List<PendingCommit<TItem, TResult>> items, Exception fault)
    {
        queue.Finish(items);
        foreach (var pending in items)
            pending.Result.TrySetException(fault);
    }

    // A pause ends early when the host stops.
    private async Task PauseAsync(TimeSpan pause) =>
        await Task.Delay(pause, clock, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

    private static TimeSpan Backoff(int tries) => TimeSpan.FromMilliseconds(Math.Min(50 << Math.Min(tries, 5), 1000));
}
