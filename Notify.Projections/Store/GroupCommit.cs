using System.Threading.Channels;

namespace Notify.Projections;

/// <summary>
/// Self-clocking group commit: what arrives while a commit runs forms the next group. One alone waits for nobody; under
/// load the groups grow by themselves, and a commit's cost is shared by all in it.
/// </summary>
/// <typeparam name="TItem">What is asked for.</typeparam>
/// <typeparam name="TResult">What came of it.</typeparam>
public sealed class GroupCommit<TItem, TResult> : IAsyncDisposable
{
    private readonly Channel<Pending> waiting = Channel.CreateUnbounded<Pending>();
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
    public GroupCommit(
        Func<IReadOnlyList<TItem>, CancellationToken, Task<IReadOnlyList<TResult>>> commit, int maxGroup, int committers = 1, TimeSpan pace = default, TimeProvider? clock = null)
    {
        (this.commit, this.maxGroup, this.pace, this.clock) = (commit, maxGroup, pace, clock ?? TimeProvider.System);
        this.committers = [.. Enumerable.Range(0, committers).Select(_ => Task.Run(CommitAsync))];
    }

    /// <summary>Adds an item and waits until its group has been committed.</summary>
    public Task<TResult> AddAsync(TItem item)
    {
        var pending = new Pending(item, new TaskCompletionSource<TResult>(TaskCreationOptions.RunContinuationsAsynchronously));
        return waiting.Writer.TryWrite(pending)
            ? pending.Result.Task
            : Task.FromException<TResult>(new OperationCanceledException("The host is stopping."));
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
            var group = new List<Pending>();
            while (group.Count < maxGroup && waiting.Reader.TryRead(out var pending)) group.Add(pending);
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

    private sealed record Pending(TItem Item, TaskCompletionSource<TResult> Result);
}
