namespace Notify.Dispatch.Dispatching;

using System.Collections.Concurrent;
using Notify.Delivery.DeliveryQueue;
using Notify.Domain.Channels;

/// <summary>
/// The order in which a host serves the clients of each queue. It reads the waiting clients only where it has several messages
/// of a queue at work, and then no more often than every <see cref="Interval"/>: one message alone has nobody to be fair to.
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

    /// <summary>How many messages and polls of the queue are at work on this host.</summary>
    public int AtWork(DeliveryQueue queue) => Volatile.Read(ref Of(queue).AtWork);

    /// <summary>How many deliveries of the queue this host has claimed since it started.</summary>
    public long Claimed(DeliveryQueue queue) => Interlocked.Read(ref Of(queue).Claimed);

    /// <summary>Counts claimed deliveries.</summary>
    public void CountClaimed(DeliveryQueue queue, int count) => Interlocked.Add(ref Of(queue).Claimed, count);

    /// <summary>Whether it is time to read the waiting clients again; true for one caller at a time.</summary>
    /// <param name="evenAlone">Whether a message that is alone at work is fair too.</param>
    public bool MustRead(DeliveryQueue queue, bool evenAlone = false)
    {
        var q = Of(queue);
        if (!evenAlone && Volatile.Read(ref q.AtWork) < 2)
            return false;
        var (now, last) = (clock.GetTimestamp(), Interlocked.Read(ref q.ReadAt));
        return (last == 0 || clock.GetElapsedTime(last, now) >= Interval) && Interlocked.CompareExchange(ref q.ReadAt, now, last) == last;
    }

    /// <summary>The clients of the queue in turn.</summary>
    public ClientRotation Rotation(DeliveryQueue queue) => Of(queue).Rotation;

    private Queue Of(DeliveryQueue queue) => queues.GetOrAdd(queue, _ => new Queue());

    private sealed class Queue
    {
        public readonly ClientRotation Rotation = new();
        public int AtWork;
        public long Claimed,
            ReadAt;
    }
}
