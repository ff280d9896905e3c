using Notify.Domain.Notifications;

namespace Notify.Dispatch.Dispatching;

/// <summary>
/// Bounds the calls under way to one provider. Permits are handed out in lots, so that a slice is never larger than what
/// can be in flight, and never so small that claiming it costs more than sending it. Who waits is served by priority,
/// then in the order of arrival.
/// </summary>
public sealed class DispatchGate(int size)
{
    private readonly Lock gate = new();
    private readonly LinkedList<Waiter>[] waiting = [new(), new(), new()];
    private readonly int total = size;
    private int free = size;

    /// <summary>Waits until at least <paramref name="atLeast"/> permits are free and takes up to <paramref name="atMost"/>.</summary>
    /// <returns>How many were taken.</returns>
    public Task<int> TakeAsync(Priority priority, int atLeast, int atMost, CancellationToken cancellation)
    {
        atMost = Math.Min(atMost, total);
        atLeast = Math.Clamp(atLeast, 1, atMost);
        Waiter waiter;
        lock (gate)
        {
            if (free >= atLeast && waiting.Take((int)priority + 1).All(w => w.Count == 0)) return Task.FromResult(Grant(atMost));
            waiter = new Waiter(atLeast, atMost);
            waiting[(int)priority].AddLast(waiter.Node);
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
            while (Array.Find(waiting, w => w.Count > 0) is { First: { } first } list && free >= first.Value.AtLeast)
            {
                list.RemoveFirst();
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
                if (waiter.Node.List is not { } list) return;
                list.Remove(waiter.Node);
            }

            waiter.Granted.SetCanceled(cancellation);
            Release(0); // what it stood in the way of may go now
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
