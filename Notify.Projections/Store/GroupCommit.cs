using System.Threading.Channels;

namespace Notify.Projections;

/// <summary>
/// Self-clocking group commit: what arrives while a commit runs forms the next group. One alone waits for nobody; under
/// load the groups grow by themselves, and a commit's cost is shared by all in it. When more waits than fits, those whom it
/// belongs to take turns: nobody waits for all that somebody else has brought.
/// </summary>
/// <typeparam name="TItem">What is asked for.</typeparam>
/// <typeparam name="TResult">What came of it.</typeparam>
public sealed class GroupCommit<TItem, TResult> : IAsyncDisposable
{
    private readonly Channel<Pending> waiting = Channel.CreateUnboundedPrioritized(new UnboundedPrioritizedChannelOptions<Pending> { Comparer = ByTurn });
    private readonly Lock turns = new();
    private readonly Dictionary<(int Rank, string Owner), long> lastTurns = [];
    private readonly Dictionary<int, long> reached = [];
    private readonly Func<TItem, (int Rank, string Owner)>? belongsTo;
    private long arrivals;
    private readonly Func<IReadOnlyList<TItem>, CancellationToken, Task<IReadOnlyList<TResult>>> commit;
    private readonly Task[] committers;
    private readonly int maxGroup;
    private readonly TimeSpan pace;
    private readonly TimeProvider clock;
    private readonly CancellationTokenSource stopping = new();

    /// <summary>Starts the committers.</summary>
    /// <param name="commit">Commits a group and returns a result for each item, in order. What it throws, each caller of the group receives.</param>
    /// <param name="maxGroup">The most items in one commit.</param>
    /// <param name="committers">Commits that may run side by side.</param>
    /// <param name="pace">
    /// The least time from the end of one commit to the next while a group is not full: requests then share commits, and
    /// who comes after a pause waits for nobody.
    /// </param>
    /// <param name="belongsTo">The lower rank goes first; within a rank, owners take turns. Without it, all go as they come.</param>
    public GroupCommit(
        Func<IReadOnlyList<TItem>, CancellationToken, Task<IReadOnlyList<TResult>>> commit, int maxGroup, int committers = 1, TimeSpan pace = default,
        TimeProvider? clock = null, Func<TItem, (int Rank, string Owner)>? belongsTo = null)
    {
        this.belongsTo = belongsTo;
        (this.commit, this.maxGroup, this.pace, this.clock) = (commit, maxGroup, pace, clock ?? TimeProvider.System);
        this.committers = [.. Enumerable.Range(0, committers).Select(_ => Task.Run(CommitAsync))];
    }

    /// <summary>Adds an item and waits until its group has been committed.</summary>
    public Task<TResult> AddAsync(TItem item)
    {
        var (rank, owner) = belongsTo?.Invoke(item) ?? (0, "");
        lock (turns)
        {
            // Who brings more than one is given later turns for the others; who was away does not come before those who waited.
            var turn = Math.Max(lastTurns.GetValueOrDefault((rank, owner)), reached.GetValueOrDefault(rank)) + 1;
            var pending = new Pending(item, new TaskCompletionSource<TResult>(TaskCreationOptions.RunContinuationsAsynchronously), rank, turn, ++arrivals);
            if (!waiting.Writer.TryWrite(pending)) return Task.FromException<TResult>(new OperationCanceledException("The host is stopping."));
            lastTurns[(rank, owner)] = turn;
            return pending.Result.Task;
        }
    }

    /// <summary>Commits what waits, then stops.</summary>
    public async ValueTask DisposeAsync()
    {
        waiting.Writer.TryComplete();
        stopping.CancelAfter(TimeSpan.FromSeconds(20));
        await Task.WhenAll(committers);
        stopping.Dispose();
    }

    private async Task CommitAsync()
    {
        long? ended = null;
        while (await waiting.Reader.WaitToReadAsync())
        {
            var wait = ended is { } last ? pace - clock.GetElapsedTime(last) : TimeSpan.Zero;
            if (wait > TimeSpan.Zero && waiting.Reader.Count < maxGroup) await Task.Delay(wait, clock);
            var group = TakeGroup();
            if (group.Count == 0) continue;
            try
            {
                var results = await commit([.. group.Select(p => p.Item)], stopping.Token);
                for (var i = 0; i < group.Count; i++) group[i].Result.TrySetResult(results[i]);
            }
#pragma warning disable CA1031 // Whatever went wrong belongs to those who wait, not to this loop.
            catch (Exception e)
#pragma warning restore CA1031
            {
                foreach (var pending in group) pending.Result.TrySetException(e);
            }

            ended = clock.GetTimestamp();
        }
    }

    private List<Pending> TakeGroup()
    {
        var group = new List<Pending>();
        lock (turns)
        {
            while (group.Count < maxGroup && waiting.Reader.TryRead(out var pending))
            {
                group.Add(pending);
                reached[pending.Rank] = Math.Max(reached.GetValueOrDefault(pending.Rank), pending.Turn);
            }

            if (waiting.Reader.Count == 0) lastTurns.Clear();
        }

        return group;
    }

    private static readonly Comparer<Pending> ByTurn =
        Comparer<Pending>.Create((a, b) => (a.Rank, a.Turn, a.Arrival).CompareTo((b.Rank, b.Turn, b.Arrival)));

    private sealed record Pending(TItem Item, TaskCompletionSource<TResult> Result, int Rank, long Turn, long Arrival);
}
