namespace Notify.Delivery.Monitoring;

using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Notify.Delivery.Telemetry;
using Notify.Domain.Channels;
using Notify.Infrastructure.Hosting;
using Npgsql;

/// <summary>Counts what this host puts into queues and gets out of them, and writes the counts down every few seconds.</summary>
public sealed class QueueActivity(NpgsqlDataSource database, TimeProvider clock, ILogger<QueueActivity> log) : BackgroundService
{
    private static readonly TimeSpan Bucket = TimeSpan.FromSeconds(10);
    private readonly ConcurrentDictionary<(DateTimeOffset Bucket, DeliveryQueue Queue), Counts> counts = new();
    private readonly Guid host = Guid.NewGuid();

    /// <summary>Deliveries were planned into a queue.</summary>
    public void Enqueued(DeliveryQueue queue, int count) => Interlocked.Add(ref Now(queue).Enqueued, count);

    /// <summary>Providers accepted deliveries of a queue.</summary>
    public void Dispatched(DeliveryQueue queue, int count) => Interlocked.Add(ref Now(queue).Dispatched, count);

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(5), clock);
        while (await timer.NextAsync(stoppingToken))
        {
            try
            {
                await WriteAsync(stoppingToken);
            }
            catch (Exception e) when (e is NpgsqlException or TimeoutException or OperationCanceledException)
            {
                if (stoppingToken.IsCancellationRequested)
                    return;
                log.LogWarning("Queue activity could not be written ({Reason}); it is tried again.", e.Message);
            }
        }
    }

    private Counts Now(DeliveryQueue queue) => counts.GetOrAdd((Floor(clock.GetUtcNow()), queue), _ => new Counts());

    private static DateTimeOffset Floor(DateTimeOffset time) => new(time.Ticks - (time.Ticks % Bucket.Ticks), TimeSpan.Zero);

    private async Task WriteAsync(CancellationToken cancellation)
    {
        var now = clock.GetUtcNow();
        var rows = counts.ToArray();
        if (rows.Length > 0)
        {
            await using var upsert = database.CreateCommand(
                """
                insert into notify.queue_activity (bucket, queue, host, enqueued, dispatched)
                select b, q, $5, e, d from unnest($1, $2, $3, $4) as t(b, q, e, d)
                on conflict (bucket, queue, host) do update set enqueued = excluded.enqueued, dispatched = excluded.dispatched
                """
            );
            upsert.Parameters.Add(new NpgsqlParameter { Value = rows.Select(r => r.Key.Bucket).ToArray() });
            upsert.Parameters.Add(new NpgsqlParameter { Value = rows.Select(r => r.Key.Queue.Code).ToArray() });
            upsert.Parameters.Add(new NpgsqlParameter { Value = rows.Select(r => Interlocked.Read(ref r.Value.Enqueued)).ToArray() });
            upsert.Parameters.Add(new NpgsqlParameter { Value = rows.Select(r => Interlocked.Read(ref r.Value.Dispatched)).ToArray() });
            upsert.Parameters.Add(new NpgsqlParameter { Value = host });
            await upsert.ExecuteNonQueryAsync(cancellation);
        }

        foreach (var row in rows.Where(r => r.Key.Bucket < now - (2 * Bucket)))
            counts.TryRemove(row.Key, out _);
        await using var cleanUp = database.CreateCommand("delete from notify.queue_activity where bucket < $1");
        cleanUp.Parameters.Add(new NpgsqlParameter { Value = now.AddMinutes(-10) });
        await cleanUp.ExecuteNonQueryAsync(cancellation);
    }

    private sealed class Counts
    {
        public long Enqueued;
        public long Dispatched;
    }
}

/// <summary>Publishes the queues' depth and age as metrics, counted anew every five seconds.</summary>
public sealed class QueueBacklogMetrics(QueueBacklogReader reader, TimeProvider clock, ILogger<QueueBacklogMetrics> log) : BackgroundService
{
    private volatile IReadOnlyList<QueueBacklog> last = [];

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        Telemetry.ObserveQueues(
            () =>
                last.SelectMany(q =>
                    new[] { ("ready", q.Ready), ("in_flight", q.InFlight), ("retrying", q.Retrying), ("dead", q.Dead) }.Select(
                        s => new Measurement<long>(
                            s.Item2,
                            Tag("channel", q.Channel),
                            Tag("lane", q.Lane),
                            Tag("priority", q.Priority),
                            Tag("state", s.Item1)
                        )
                    )
                ),
            () =>
                last.Select(q => new Measurement<double>(
                    q.OldestAgeSeconds,
                    Tag("channel", q.Channel),
                    Tag("lane", q.Lane),
                    Tag("priority", q.Priority)
                ))
        );
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(5), clock);
        do
        {
            try
            {
                last = await reader.ReadAsync(stoppingToken);
            }
            catch (Exception e) when (e is NpgsqlException or TimeoutException or OperationCanceledException)
            {
                if (stoppingToken.IsCancellationRequested)
                    return;
                log.LogWarning("The queues could not be counted ({Reason}); it is tried again.", e.Message);
            }
        } while (await timer.NextAsync(stoppingToken));
    }

    private static KeyValuePair<string, object?> Tag(string key, string value) => new(key, value);
}
