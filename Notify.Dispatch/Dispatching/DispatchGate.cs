namespace Notify.Dispatch.Dispatching;

/// <summary>
/// Bounds the calls under way to one provider. Permits are handed out in lots, so that a slice is never larger than what
/// can be in flight, and never so small that claiming it costs more than sending it.
/// </summary>
public sealed class DispatchGate(int size)
{
    private readonly Lock gate = new();
    private readonly LinkedList<Waiter> waiters = [];
    private readonly int total = size;
    private int free = size;

    /// <summary>Waits until at least <paramref name="atLeast"/> permits are free and takes up to <paramref name="atMost"/>; first come, first served.</summary>
    /// <returns>How many were taken.</returns>
    public Task<int> TakeAsync(int atLeast, int atMost, CancellationToken cancellation)
    {
        atMost = Math.Min(atMost, total);
        atLeast = Math.Clamp(atLeast, 1, atMost);
        Waiter waiter;
        lock (gate)
        {
            if (waiters.Count == 0 && free >= atLeast) return Task.FromResult(Grant(atMost));
            waiter = new Waiter(atLeast, atMost);
            waiters.AddLast(waiter.Node);
        }

        return WaitAsync(waiter, cancellation);
    }

    /// <summary>Gives permits back.</summary>
    public void Release(int count)
    {
        List<(Waiter Waiter, int Permits)> granted = [];
        lock (gate)
        {
            free += count;
            while (waiters.First is { } first && free >= first.Value.AtLeast)
            {
                waiters.RemoveFirst();
                granted.Add((first.Value, Grant(first.Value.AtMost)));
            }
        }

        foreach (var (waiter, permits) in granted) waiter.Granted.SetResult(permits);
    }

    private int Grant(int atMost)
    {
        var permits = Math.Min(free, atMost);
        free -= permits;
        return permits;
    }

    private async Task<int> WaitAsync(Waiter waiter, CancellationToken cancellation)
    {
        await using var registration = cancellation.Register(() =>
        {
            lock (gate)
            {
                if (waiter.Node.List is null) return;
                waiters.Remove(waiter.Node);
            }

            waiter.Granted.SetCanceled(cancellation);
        });
        return await waiter.Granted.Task;
    }

    private sealed class Waiter
    {
        public Waiter(int atLeast, int atMost)
        {
            (AtLeast, AtMost) = (atLeast, atMost);
            Node = new LinkedListNode<Waiter>(this);
        }

        public int AtLeast { get; }

        public int AtMost { get; }

        public LinkedListNode<Waiter> Node { get; }

        public TaskCompletionSource<int> Granted { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
