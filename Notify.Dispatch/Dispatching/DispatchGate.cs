using Notify.Domain.Notifications;

namespace Notify.Dispatch.Dispatching;

/// <summary>
/// Bounds the calls under way to one provider. Permits are handed out in lots, so that a slice is never larger than what
/// can be in flight, and never so small that claiming it costs more than sending it. Who waits is served by priority,
/// then in the order of arrival. Slow calls of a lower priority never hold all permits: of twenty, one is kept for what is
/// critical, and four from bulk. A gate of fewer than five keeps nothing back.
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
        atMost = Math.Min(atMost, total - Reserve(priority));
        atLeast = Math.Clamp(atLeast, 1, atMost);
        Waiter waiter;
        lock (gate)
        {
            if (Free(priority) >= atLeast && waiting.Take((int)priority + 1).All(w => w.Count == 0)) return Task.FromResult(Grant(priority, atMost));
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
            while (Array.FindIndex(waiting, w => w.Count > 0) is >= 0 and var next && waiting[next].First!.Value is var first && Free((Priority)next) >= first.AtLeast)
            {
                waiting[next].RemoveFirst();
                granted.Add((first, Grant((Priority)next, first.AtMost)));
            }
        }

        foreach (var (waiter, permits) in granted) waiter.Granted.SetResult(permits);
    }

    private int Free(Priority priority) => free - Reserve(priority);

    private int Reserve(Priority priority) => priority switch
    {
        Priority.Critical => 0,
        Priority.Normal => total / 20,
        _ => total / 5,
    };

    private int Grant(Priority priority, int atMost)
    {
        var permits = Math.Min(Free(priority), atMost);
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
