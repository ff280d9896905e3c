namespace Notify.Dispatch.Broadcasts;

using Marten;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.Digests;
using Notify.Delivery.EventStore;
using Notify.Domain.Broadcasts;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;

/// <summary>
/// Cancels the waiting deliveries of a cancelled broadcast: queued, deferred, in a digest, or waiting for another
/// attempt. Deliveries in flight are not changed, and checked again later.
/// </summary>
public static class BroadcastWithdrawal
{
    private static readonly TimeSpan WhileInFlight = TimeSpan.FromSeconds(1),
        WhileUnknown = TimeSpan.FromSeconds(30);

    /// <summary>Cancels a page of waiting deliveries, in the caller's transaction, which has locked the broadcast's row.</summary>
    /// <param name="most">How many deliveries at a time.</param>
    /// <returns>When more may wait; <c>null</c>: nothing can any more.</returns>
    public static async Task<DateTimeOffset?> TakeBackAsync(
        IDocumentSession session,
        Broadcast broadcast,
        int most,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        var connection = session.Connection!;
        var waiting = await BroadcastDeliveries.LockWaitingAsync(connection, broadcast, most, cancellation);
        if (waiting.Count == 0)
        {
            var (taken, areBusy) = await DigestWithdrawal.TakeBackAsync(session, broadcast, most, now, cancellation);
            if (taken > 0)
                return now;
            if (areBusy)
                return now + WhileInFlight;
        }

        if (waiting.Count == 0)
            return await BroadcastDeliveries.MayWaitAsync(connection, broadcast, cancellation) is { } isInFlight
                ? now + (isInFlight ? WhileInFlight : WhileUnknown)
                : null;

        var busy = await NotificationStreams.LockFreeAsync(session, waiting.Select(w => w.Notification), cancellation);
        waiting = [.. waiting.Where(w => !busy.Contains(w.Notification))];
        var keys = waiting.Select(w => w.Notification).Distinct().ToArray();
        var (notifications, faults) = await NotificationStreams.LoadAsync(session, keys, cancellation, withTexts: false);
        foreach (var own in waiting.GroupBy(w => w.Notification, StringComparer.Ordinal))
        {
            if (faults.ContainsKey(own.Key))
            {
                // The rows were locked while they waited, so their deliveries can be withdrawn without the stream.
                session.Events.Append(
                    own.Key,
                    new NotificationCancelled(
                        [.. own.Where(w => w.State != OpenState.Scheduled).Select(w => w.Id)],
                        broadcast.ClientId,
                        now
                    )
                );
                continue;
            }

            if (notifications.GetValueOrDefault(own.Key) is not { } notification)
                continue;
            if (NotificationDecider.Cancel(notification, [.. own.Select(w => w.Id)], broadcast.ClientId, now) is { } cancelled)
                session.Events.Append(own.Key, cancelled);
        }

        await OpenDeliveryTable.RemoveAsync(connection, [.. waiting.Select(w => w.Id)], cancellation);
        return busy.Count > 0 ? now + WhileInFlight : now;
    }
}
