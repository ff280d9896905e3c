namespace Notify.Dispatch.Routing;

using Notify.Domain.Channels;

/// <summary>The capacity that a rate limit leaves.</summary>
/// <param name="Tokens">Deliveries that may be sent now.</param>
/// <param name="Burst">The maximum number of tokens.</param>
/// <param name="PerSecond">Tokens added per second.</param>
public readonly record struct Room(double Tokens, double Burst, double PerSecond)
{
    /// <summary>Any number.</summary>
    public static readonly Room Unlimited = new(double.PositiveInfinity, double.PositiveInfinity, double.PositiveInfinity);
}

/// <summary>
/// Limits the concurrent calls on one lane, and their rate. Permits are granted in lots, so that a batch is never larger than
/// the capacity, and never so small that claiming it costs more than sending it. Waiters are served by priority, then in order
/// of arrival, and have no permits while they wait. Slow calls of a lower priority never use all permits: of twenty, one is
/// reserved for critical, and four are withheld from bulk; the same applies to a rate's tokens. A gate of fewer than five
/// reserves nothing.
/// </summary>
/// <param name="room">The capacity that the rate limit leaves; <c>null</c>: no rate limit.</param>
public sealed class DispatchGate(int size, TimeProvider? clock = null, Func<Room>? room = null)
{
    private readonly Lock gate = new();
    private readonly LinkedList<Waiter>[] waiting = [new(), new(), new()];
    private int total = size;
    private int free = size;
    private int spoken; // granted, and no provider chosen yet: their tokens are still to be taken
    private DateTimeOffset? wakesAt;

    /// <summary>How many calls may be under way.</summary>
    public int Size => Volatile.Read(ref total);

    /// <summary>Waits until at least <paramref name="atLeast"/> permits are free and takes up to <paramref name="atMost"/>.</summary>
    /// <returns>How many were taken.</returns>
    public Task<int> TakeAsync(Priority priority, int atLeast, int atMost, CancellationToken cancellation)
    {
        Waiter waiter;
        lock (gate)
        {
            waiter = new Waiter(atLeast, atMost);
            if (waiting.Take((int)priority + 1).All(w => w.Count == 0) && Possible(priority, waiter) is > 0 and var permits)
                return Task.FromResult(Grant(permits));
            waiting[(int)priority].AddLast(waiter.Node);
        }

        return WaitAsync(waiter, cancellation);
    }

    /// <summary>Gives permits back.</summary>
    public void Release(int count) => Release(() => free += count);

    /// <summary>Of so many permits the providers were chosen, or will not be.</summary>
    public void Chosen(int count)
    {
        if (room is not null)
            Release(() => spoken -= count);
    }

    /// <summary>Changes the number of concurrent calls; running calls go on.</summary>
    public void Resize(Func<int> size) =>
        Release(() =>
        {
            var wanted = size();
            free += wanted - total;
            total = wanted;
        });

    private void Release(Action change)
    {
        List<(Waiter Waiter, int Permits)> granted = [];
        lock (gate)
        {
            change();
            while (
                Array.FindIndex(waiting, w => w.Count > 0) is >= 0 and var next
                && waiting[next].First!.Value is var first
                && Possible((Priority)next, first) is > 0 and var permits
            )
            {
                waiting[next].RemoveFirst();
                granted.Add((first, Grant(permits)));
            }
        }

        foreach (var (waiter, permits) in granted)
            waiter.Granted.SetResult(permits);
    }

    // The number of permits for a waiter now; 0: not yet. A waiter for more than the maximum would wait permanently.
    private int Possible(Priority priority, Waiter waiter)
    {
        var most = Math.Min(free - Reserve(priority), waiter.AtMost);
        var least = Math.Clamp(waiter.AtLeast, 1, Math.Max(1, Math.Min(waiter.AtMost, total - Reserve(priority))));
        if (most < least || room is null)
            return most < least ? 0 : most;

        var (tokens, burst, perSecond) = room();
        if (double.IsPositiveInfinity(tokens))
            return most;
        var kept = priority switch
        {
            Priority.Critical => 0,
            Priority.Normal => Math.Floor(burst / 20),
            _ => Math.Floor(burst / 5),
        };
        var left = Math.Floor(tokens - spoken - kept);
        least = Math.Min(least, Math.Max(1, (int)(burst - kept)));
        if (left >= least)
            return (int)Math.Min(most, left);
        WakeAfter(TimeSpan.FromSeconds(Math.Clamp((least - (tokens - spoken - kept)) / perSecond, 0.002, 60)));
        return 0;
    }

    private int Reserve(Priority priority) =>
        priority switch
        {
            Priority.Critical => 0,
            Priority.Normal => total / 20,
            _ => total / 5,
        };

    private int Grant(int permits)
    {
        free -= permits;
        if (room is not null)
            spoken += permits;
        return permits;
    }

    // A rate's tokens grow without an event.
    private void WakeAfter(TimeSpan wait)
    {
        var time = clock ?? TimeProvider.System;
        var due = time.GetUtcNow() + wait;
        if (wakesAt <= due)
            return;
        wakesAt = due;
        _ = Task.Delay(wait, time).ContinueWith(_ => Release(() => wakesAt = null), TaskScheduler.Default);
    }

    private async Task<int> WaitAsync(Waiter waiter, CancellationToken cancellation)
    {
        await using var registration = cancellation.Register(() =>
        {
            lock (gate)
            {
                if (waiter.Node.List is not { } list)
                    return;
                list.Remove(waiter.Node);
            }

            waiter.Granted.SetCanceled(cancellation);
            Release(0); // those behind it may go now
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
