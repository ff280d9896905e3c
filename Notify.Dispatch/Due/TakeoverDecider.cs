namespace Notify.Dispatch.Due;

using Notify.Delivery.DeliveryQueue;
using Notify.Dispatch.Dispatching;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;

/// <summary>Decides about deliveries in flight that no host works on any more. Pure.</summary>
public static class TakeoverDecider
{
    /// <summary>Decides about one delivery.</summary>
    /// <param name="row">Its row, in flight.</param>
    /// <param name="delivery">The delivery by its stream; <c>null</c> where the stream does not have it.</param>
    /// <returns>
    /// Where a recorded attempt may have reached the provider, its outcome is unknown and will be asked for. Everything else goes back to
    /// its queue: it was not sent, or its repeat replaces itself.
    /// </returns>
    public static Settled Decide(OpenDelivery row, Delivery? delivery, RetrySchedule schedule, DateTimeOffset now) =>
        delivery?.Status switch
        {
            DeliveryStatus.Attempting => new(
                new DispatchOutcomeUnknown(
                    row.Id,
                    delivery.Attempts,
                    delivery.Provider ?? "",
                    Reasons.HostLost,
                    now + schedule.UnknownDeadline,
                    now
                ),
                row with
                {
                    State = OpenState.Unknown,
                    DueAt = now + schedule.AskAfter,
                    Attempts = delivery.Attempts,
                    Reason = Reasons.HostLost,
                }
            ),
            DeliveryStatus.Unknown => new(null, row with { State = OpenState.Unknown, DueAt = now, Reason = Reasons.HostLost }),
            DeliveryStatus.Queued or DeliveryStatus.Deferred => new(
                null,
                row with
                {
                    State = OpenState.Deferred,
                    DueAt = now,
                    Reason = Reasons.HostLost,
                }
            ),
            _ => new(null, null),
        };
}
