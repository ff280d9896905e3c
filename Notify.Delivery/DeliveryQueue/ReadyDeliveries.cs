namespace Notify.Delivery.DeliveryQueue;

using Notify.Domain.Channels;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>A queue to be polled.</summary>
/// <param name="Before">Only deliveries that were accepted before this time count; younger ones still have their queue message.</param>
/// <param name="Limit">The highest count that is of interest.</param>
public readonly record struct QueuePoll(DeliveryQueue Queue, DateTimeOffset Before, int Limit);

/// <summary>Counts the deliveries that are ready in their queues and that no host has claimed.</summary>
public static class ReadyDeliveries
{
    /// <summary>Counts them in several queues at once.</summary>
    /// <param name="now">Deliveries from later than this count too: the clock was set back after they were accepted.</param>
    /// <returns>The queues in which any are ready.</returns>
    public static async Task<List<(DeliveryQueue Queue, int Count)>> CountAsync(
        NpgsqlConnection connection,
        IReadOnlyCollection<QueuePoll> polls,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        // Reads each queue's part of the index; claimed deliveries stand there too, at most as many as can be in flight.
        // A delivery that was too heavy to be claimed with others has a time of its own for a moment, and comes back with it.
        await using var command = SqlCommands.Create(
            connection,
            """
            select q.code, ready.count from unnest($1, $2, $3) as q (code, before, most), lateral (
                select count(*)::int as count from (
                    select 1 from notify.open_deliveries d
                    where d.queue = q.code and d.client is not null and d.state in (0, 6)
                      and (d.enqueued_at <= q.before or d.enqueued_at > $4)
                      and (d.due_at is null or d.due_at not between $4 and $4 + interval '2 seconds')
                    limit q.most) few) ready
            where ready.count > 0
            """,
            polls.Select(p => p.Queue.Code).ToArray(),
            polls.Select(p => p.Before).ToArray(),
            polls.Select(p => p.Limit).ToArray(),
            now
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var ready = new List<(DeliveryQueue, int)>();
        while (await reader.ReadAsync(cancellation))
            ready.Add((DeliveryQueue.FromCode(reader.GetInt16(0)), reader.GetInt32(1)));
        return ready;
    }
}
