namespace Notify.Delivery.Monitoring;

using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Npgsql;

/// <summary>One queue, counted in deliveries.</summary>
/// <param name="Queue">Its name: lane and priority.</param>
/// <param name="Lane">The kind of provider.</param>
/// <param name="Priority">How urgent.</param>
/// <param name="Ready">Could go now.</param>
/// <param name="InFlight">With a provider.</param>
/// <param name="Retrying">
/// Deliveries that wait for their next attempt or for an unknown outcome; those deferred by quiet hours or a cap, and scheduled ones, do
/// not count.
/// </param>
/// <param name="Dead">Dead letters.</param>
/// <param name="OldestAgeSeconds">Age of the oldest that is ready; 0 when none is.</param>
/// <param name="EnqueuedPerSecond">Planned, over the last minute.</param>
/// <param name="DispatchedPerSecond">Accepted by the provider, over the last minute.</param>
/// <param name="SuggestedWorkers">Dispatch hosts that would clear the backlog within the priority's target; 0: nothing to do.</param>
public sealed record QueueBacklog(
    string Queue,
    string Lane,
    string Priority,
    long Ready,
    long InFlight,
    long Retrying,
    long Dead,
    double OldestAgeSeconds,
    double EnqueuedPerSecond,
    double DispatchedPerSecond,
    int SuggestedWorkers
)
{
    /// <summary>The channel that the lane belongs to.</summary>
    public string Channel => Lanes.ChannelOf(Enum.Parse<Lane>(Lane, ignoreCase: true)).ToString().ToLowerInvariant();

    /// <summary>
    /// Suggests the number of Dispatch hosts for a queue: so many that, at the rate that one host has reached (or is assumed to
    /// reach), arrivals are handled and the backlog is empty within the target. The rate of hosts with a small backlog is no measure
    /// of their capacity: it counts only when two seconds' work or more is waiting.
    /// </summary>
    /// <param name="shown">Deliveries a second that all hosts together reached, in the best ten seconds of the last minute.</param>
    /// <param name="perHost">Deliveries a second that one host is taken to reach when nothing has been seen yet.</param>
    public static int Suggest(Priority priority, long ready, double enqueued, double shown, int hosts, double perHost = 200)
    {
        if (ready == 0 && enqueued == 0)
            return 0;
        var target = priority switch
        {
            Notify.Domain.Channels.Priority.Critical => 5,
            Notify.Domain.Channels.Priority.Normal => 60,
            _ => 600,
        };
        var each = hosts > 0 ? shown / hosts : 0;
        var rate = each > 0 && ready > 2 * shown ? Math.Max(each, 1) : Math.Max(each, perHost);
        return (int)Math.Clamp(Math.Ceiling((enqueued + ((double)ready / target)) / rate), 1, 100);
    }
}

/// <summary>Counts the queues from the table of open deliveries, which every event's transaction keeps right.</summary>
public sealed class QueueBacklogReader(NpgsqlDataSource database, TimeProvider clock)
{
    /// <summary>Every queue there is, also the empty ones.</summary>
    public async Task<IReadOnlyList<QueueBacklog>> ReadAsync(CancellationToken cancellation)
    {
        var now = clock.GetUtcNow();
        var counts = new Dictionary<short, (long Ready, long InFlight, long Retrying, long Dead, DateTimeOffset? Oldest)>();
        var rates = new Dictionary<short, (double Enqueued, double Dispatched, double Shown)>();
        var hosts = 0;
        await using var batch = database.CreateBatch();
        batch.BatchCommands.Add(
            new NpgsqlBatchCommand(
                $"""
                select queue, count(*) filter (where state = 0), count(*) filter (where state = 1),
                       count(*) filter (where state in (2, 3, 6) and coalesce(reason, '') not in ('{Reasons.QuietHours}', '{Reasons.CapExceeded}')),
                       count(*) filter (where state = 4), min(enqueued_at) filter (where state = 0)
                from notify.open_deliveries where state <> 5 group by queue
                """
            )
        );
        batch.BatchCommands.Add(
            new NpgsqlBatchCommand(
                """
                select queue, sum(e) / 60.0, sum(d) / 60.0, max(d) / 10.0
                from (select queue, sum(enqueued) as e, sum(dispatched) as d from notify.queue_activity where bucket > $1 and bucket <= $2 group by queue, bucket) b
                group by queue
                """
            )
            {
                Parameters =
                {
                    new NpgsqlParameter { Value = now.AddSeconds(-60) },
                    new NpgsqlParameter { Value = now },
                },
            }
        );
        batch.BatchCommands.Add(
            new NpgsqlBatchCommand("select count(*) from notify.dispatchers where seen_at > now() - interval '15 seconds'")
        );
        await using var reader = await batch.ExecuteReaderAsync(cancellation);
        while (await reader.ReadAsync(cancellation))
            counts[reader.GetInt16(0)] = (
                reader.GetInt64(1),
                reader.GetInt64(2),
                reader.GetInt64(3),
                reader.GetInt64(4),
                reader.IsDBNull(5) ? null : reader.GetFieldValue<DateTimeOffset>(5)
            );
        await reader.NextResultAsync(cancellation);
        while (await reader.ReadAsync(cancellation))
            rates[reader.GetInt16(0)] = ((double)reader.GetDecimal(1), (double)reader.GetDecimal(2), (double)reader.GetDecimal(3));
        await reader.NextResultAsync(cancellation);
        if (await reader.ReadAsync(cancellation))
            hosts = (int)reader.GetInt64(0);

        return
        [
            .. DeliveryQueue.All.Select(q =>
            {
                var c = counts.GetValueOrDefault(q.Code);
                var r = rates.GetValueOrDefault(q.Code);
                var age = c.Oldest is { } oldest ? Math.Max(0, (now - oldest).TotalSeconds) : 0;
                return new QueueBacklog(
                    q.Name,
                    q.Lane.ToString().ToLowerInvariant(),
                    q.Priority.ToString().ToLowerInvariant(),
                    c.Ready,
                    c.InFlight,
                    c.Retrying,
                    c.Dead,
                    Math.Round(age, 3),
                    Math.Round(r.Enqueued, 2),
                    Math.Round(r.Dispatched, 2),
                    QueueBacklog.Suggest(q.Priority, c.Ready, r.Enqueued, r.Shown, hosts)
                );
            }),
        ];
    }
}
