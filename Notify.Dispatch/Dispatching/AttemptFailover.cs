namespace Notify.Dispatch.Dispatching;

using Marten;
using Microsoft.Extensions.Options;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.EventStore;
using Notify.Dispatch.Providers;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Infrastructure.Hosting;

/// <summary>
/// Writes the recent attempts of this host again that a promoted server lacks: accepted ones as dispatched, the others as unknown.
/// </summary>
/// <remarks>A notification that the failover has lost altogether cannot be written again; how many there are is logged.</remarks>
public sealed class AttemptFailover(
    IDocumentStore store,
    Settlement settlement,
    IOptions<RetrySchedule> schedule,
    TimeProvider clock,
    ILogger<AttemptFailover> log
) : IFailoverHandler
{
    private const int Page = 200;

    /// <inheritdoc />
    public async Task HandleAsync(CancellationToken cancellation)
    {
        var (accepted, unknown, lost) = (0, 0, 0);
        foreach (var page in settlement.Recent.All.Chunk(Page))
        {
            var (again, held, without) = await HoldAsync(page, cancellation);
            // Before a claim can be made: FailoverMonitor lets none pass until this has been done.
            await Task.WhenAll(again.Select(settlement.SettleAsync));
            (accepted, unknown, lost) = (accepted + again.Count, unknown + held, lost + without);
        }

        if (accepted + unknown > 0)
            log.LogWarning(
                "{Accepted} accepted and {Unknown} unknown SMS and emails were missing after the failover and are written again.",
                accepted,
                unknown
            );
        if (lost > 0)
            log.LogError("ALERT {Count} SMS and emails were sent whose notifications the failover lost.", lost);
    }

    private async Task<(List<AttemptMade> Accepted, int Unknown, int Lost)> HoldAsync(RecentAttempt[] page, CancellationToken cancellation)
    {
        var now = clock.GetUtcNow();
        await using var session = store.LightweightSession();
        await session.BeginTransactionAsync(cancellation);
        var open = (await OpenDeliveryTable.LockAsync(session.Connection!, [.. page.Select(a => a.Row.Id)], cancellation)).ToDictionary(r =>
            r.Id
        );
        await NotificationStreams.LockAsync(session, page.Select(a => a.Row.Notification), cancellation);
        var known = await NotificationStreams.LoadAsync(session, [.. page.Select(a => a.Row.Notification).Distinct()], cancellation);
        var (accepted, put, lost) = (new List<AttemptMade>(), new List<OpenDelivery>(), 0);
        foreach (var attempt in page)
        {
            if (known.Faults.ContainsKey(attempt.Row.Notification))
                continue;
            if (known.States.GetValueOrDefault(attempt.Row.Notification)?.Deliveries.GetValueOrDefault(attempt.Row.Id) is not { } delivery)
            {
                lost++;
                continue;
            }

            if (delivery.Status is DeliveryStatus.Dispatched or DeliveryStatus.Delivered)
                continue;
            if (attempt.Made is { Outcome: AttemptOutcome.Accepted } made)
                accepted.Add(made);
            else if (delivery.Status is DeliveryStatus.Queued or DeliveryStatus.Deferred && open.TryGetValue(attempt.Row.Id, out var row))
            {
                var deadline = now + schedule.Value.UnknownDeadline;
                session.Events.Append(
                    attempt.Row.Notification,
                    new DispatchAttempted(delivery.Id, attempt.Attempt, attempt.Provider, attempt.At),
                    new DispatchOutcomeUnknown(delivery.Id, attempt.Attempt, attempt.Provider, Reasons.ConnectionLost, deadline, now)
                );
                put.Add(
                    row with
                    {
                        State = OpenState.Unknown,
                        DueAt = now + schedule.Value.AskAfter,
                        Attempts = attempt.Attempt,
                        Reason = Reasons.ConnectionLost,
                    }
                );
            }
        }

        await OpenDeliveryTable.PutAsync(session.Connection!, put, cancellation);
        session.QueueSqlCommand("select 1"); // a session without events would not commit
        await session.SaveChangesAsync(cancellation);
        return (accepted, put.Count, lost);
    }
}
