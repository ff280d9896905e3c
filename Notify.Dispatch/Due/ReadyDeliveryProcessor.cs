namespace Notify.Dispatch.Due;

using System.Collections.Concurrent;
using Notify.Delivery.DeliveryQueue;
using Notify.Dispatch.Dispatching;
using Notify.Domain.Channels;
using Notify.Domain.Messages;
using Notify.Infrastructure.Hosting;
using Npgsql;

/// <summary>
/// Polls the delivery queue and dispatches deliveries that are ready and unclaimed. Queue messages only make this faster: a lost
/// message, or one in the memory of a host that has stopped, delays its deliveries by one interval.
/// </summary>
/// <remarks>
/// One statement asks for all queues: the critical ones every <see cref="CriticalInterval"/>, the others every <see cref="Interval"/>.
/// A delivery younger than its queue's interval is left to its message, so that a poll costs no second claim.
/// </remarks>
public sealed class ReadyDeliveryProcessor(
    NpgsqlDataSource database,
    DeliveryDispatcher dispatcher,
    FairTurns turns,
    TimeProvider clock,
    ILogger<ReadyDeliveryProcessor> log
) : BackgroundService
{
    /// <summary>How often critical queues are polled.</summary>
    public static readonly TimeSpan CriticalInterval = TimeSpan.FromMilliseconds(250);

    /// <summary>How often the other queues are polled.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    // Messages and polls together keep so many workers on a queue; more only wait for the lane's permits.
    private const int MaxWorkers = 8;
    private static readonly TimeSpan FaultDelay = TimeSpan.FromSeconds(5);

    private readonly Dictionary<DeliveryQueue, PolledQueue> queues = DeliveryQueue.All.ToDictionary(q => q, _ => new PolledQueue());
    private readonly ConcurrentDictionary<Task, byte> running = new();

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(CriticalInterval, clock);
        var isAway = false;
        while (await timer.NextAsync(stoppingToken))
        {
            try
            {
                await PollAsync(stoppingToken);
                isAway = false;
            }
            catch (Exception e)
            {
                if (stoppingToken.IsCancellationRequested)
                    break;
                if (!isAway)
                    log.LogWarning("The delivery queue could not be polled ({Reason}).", e.Message.Split('\n')[0]);
                isAway = true;
            }
        }

        await Task.WhenAll(running.Keys);
    }

    /// <summary>Polls the queues whose time has come, and starts workers for their ready deliveries.</summary>
    public async Task PollAsync(CancellationToken cancellation)
    {
        var (tick, now) = (clock.GetTimestamp(), clock.GetUtcNow());
        var polls = queues
            .Where(q => q.Value.IsDue(tick))
            .Select(q => (q.Key, Workers: FreeWorkers(q.Key, q.Value)))
            .Where(q => q.Workers > 0)
            .Select(q => new QueuePoll(q.Key, now - IntervalOf(q.Key), q.Workers * DispatchDeliveries.MaxOf(q.Key.Lane)))
            .ToList();
        if (polls.Count == 0)
            return;
        foreach (var poll in polls)
            queues[poll.Queue].NextAt = After(tick, IntervalOf(poll.Queue));

        List<(DeliveryQueue Queue, int Count)> ready;
        await using (var connection = await database.OpenConnectionAsync(cancellation))
            ready = await ReadyDeliveries.CountAsync(connection, polls, now, cancellation);
        foreach (var (queue, count) in ready)
        {
            var most = DispatchDeliveries.MaxOf(queue.Lane);
            for (var left = count; left > 0; left -= most)
                Start(queue, Math.Min(left, most));
        }
    }

    // At least one, however many messages are at work: they may all be waiting for deliveries of their own.
    private int FreeWorkers(DeliveryQueue queue, PolledQueue polled) =>
        Math.Max(MaxWorkers - turns.AtWork(queue), Volatile.Read(ref polled.Workers) == 0 ? 1 : 0);

    private void Start(DeliveryQueue queue, int count)
    {
        Interlocked.Increment(ref queues[queue].Workers);
        var work = WorkAsync(queue, count);
        running[work] = 0;
        _ = work.ContinueWith(w => running.TryRemove(w, out _), TaskScheduler.Default);
    }

    private async Task WorkAsync(DeliveryQueue queue, int count)
    {
        await Task.Yield();
        var polled = queues[queue];
        var (before, wait) = (turns.Claimed(queue), TimeSpan.Zero);
        try
        {
            // Ends with its host: the dispatcher starts no slice after the host has begun to stop.
            await dispatcher.DispatchAsync(DispatchDeliveries.Any(queue, count), CancellationToken.None);
            if (turns.Claimed(queue) == before)
                wait = IntervalOf(queue);
        }
#pragma warning disable CA1031 // A queue whose deliveries cannot be claimed is that queue's trouble; it is polled again.
        catch (Exception e)
#pragma warning restore CA1031
        {
            log.LogError(e, "Ready deliveries of {Queue} could not be claimed; they are tried again in {Wait}.", queue, FaultDelay);
            wait = FaultDelay;
        }
        finally
        {
            Interlocked.Decrement(ref polled.Workers);
        }

        polled.NextAt = After(clock.GetTimestamp(), wait);
    }

    private static TimeSpan IntervalOf(DeliveryQueue queue) => queue.Priority == Priority.Critical ? CriticalInterval : Interval;

    private long After(long tick, TimeSpan wait) => tick + (long)(wait.TotalSeconds * clock.TimestampFrequency);

    private sealed class PolledQueue
    {
        public int Workers;
        private long nextAt;

        public long NextAt
        {
            set => Interlocked.Exchange(ref nextAt, value);
        }

        public bool IsDue(long tick) => Interlocked.Read(ref nextAt) <= tick;
    }
}
