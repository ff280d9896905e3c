using System.Collections.Concurrent;
using Notify.Domain.Notifications;

namespace Notify.Dispatch.Dispatching;

/// <summary>
/// What this host knows of who waits in a queue. It looks only where it has several messages of a queue at work, and then
/// no more often than every <see cref="Interval"/>: one message alone has nobody to be fair to.
/// </summary>
public sealed class FairTurns(TimeProvider clock)
{
    /// <summary>How old the knowledge may be.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(250);

    private readonly ConcurrentDictionary<DeliveryQueue, Queue> queues = new();

    /// <summary>A message of the queue is at work.</summary>
    public void Enter(DeliveryQueue queue) => Interlocked.Increment(ref Of(queue).AtWork);

    /// <summary>It is not any more.</summary>
    public void Leave(DeliveryQueue queue) => Interlocked.Decrement(ref Of(queue).AtWork);

    /// <summary>Whether it is time to look again who waits; true for one caller at a time.</summary>
    public bool MustLook(DeliveryQueue queue)
    {
        var q = Of(queue);
        if (Volatile.Read(ref q.AtWork) < 2) return false;
        var (now, last) = (clock.GetTimestamp(), Interlocked.Read(ref q.LookedAt));
        return (last == 0 || clock.GetElapsedTime(last, now) >= Interval) && Interlocked.CompareExchange(ref q.LookedAt, now, last) == last;
    }

    /// <summary>These clients were seen to wait.</summary>
    public void Saw(DeliveryQueue queue, IReadOnlyList<string> clients) => Of(queue).Clients = clients;

    /// <summary>Who waits, as last seen; nobody, where a single message is at work.</summary>
    public IReadOnlyList<string> Waiting(DeliveryQueue queue)
    {
        var q = Of(queue);
        return Volatile.Read(ref q.AtWork) < 2 ? [] : q.Clients;
    }

    /// <summary>The number of the next division.</summary>
    public uint NextTurn(DeliveryQueue queue) => Interlocked.Increment(ref Of(queue).Turn);

    private Queue Of(DeliveryQueue queue) => queues.GetOrAdd(queue, _ => new Queue());

    private sealed class Queue
    {
        public volatile IReadOnlyList<string> Clients = [];
        public int AtWork;
        public long LookedAt;
        public uint Turn;
    }
}
