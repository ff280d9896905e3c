namespace Notify.Delivery.DeliveryQueue;

using Notify.Domain.Channels;
using Notify.Domain.Notifications;

/// <summary>The state of an open delivery. The numbers are stored: permanently stable.</summary>
public enum OpenState : short
{
    /// <summary>In its queue.</summary>
    Queued = 0,

    /// <summary>Claimed by a Dispatch host, which is about to call a provider or waits for its answer.</summary>
    InFlight = 1,

    /// <summary>For its next attempt.</summary>
    Deferred = 2,

    /// <summary>Waits for the outcome of an attempt.</summary>
    Unknown = 3,

    /// <summary>For a person's decision: a dead letter.</summary>
    Dead = 4,

    /// <summary>A whole notification that waits to be planned at its <c>sendAt</c>.</summary>
    Scheduled = 5,

    /// <summary>In its queue, for the provider to be asked what became of an attempt; nothing is sent.</summary>
    Asking = 6,
}

/// <summary>A row of <c>notify.open_deliveries</c>.</summary>
/// <param name="Notification">The stream key.</param>
/// <param name="Attempts">Attempts made.</param>
/// <param name="EnqueuedAt">When it was accepted.</param>
/// <param name="DueAt">
/// When the due processor must take it; <c>null</c> for dead letters, for deliveries in their queues, which every host polls, and for
/// deliveries in flight, which their host answers for.
/// </param>
public sealed record OpenDelivery(
    Guid Id,
    string Notification,
    DeliveryQueue Queue,
    OpenState State,
    int Attempts,
    DateTimeOffset EnqueuedAt,
    DateTimeOffset? DueAt,
    string? Reason = null
)
{
    /// <summary>A delivery that was just planned, in its queue.</summary>
    public static OpenDelivery Planned(string notification, PlannedDelivery delivery, Priority priority, DateTimeOffset now) =>
        new(delivery.Id, notification, new DeliveryQueue(delivery.Lane, priority), OpenState.Queued, 0, now, null);

    /// <summary>Returns this delivery, deferred.</summary>
    public OpenDelivery PutOff(DeliveryDeferred why) => this with { State = OpenState.Deferred, DueAt = why.Until, Reason = why.Reason };

    /// <summary>This delivery, set aside until a time: it comes back to where it was then, and no attempt is used.</summary>
    /// <param name="reason">One that no event has, such as <see cref="Reasons.StreamUnreadable"/>.</param>
    /// <remarks>Only a row that is to be asked about has a reason while it is in its queue or claimed.</remarks>
    public OpenDelivery SetAside(DateTimeOffset until, string reason) =>
        State switch
        {
            OpenState.Scheduled => this with { DueAt = until },
            _ when Reason is not null => this with { State = OpenState.Unknown, DueAt = until },
            _ => this with { State = OpenState.Deferred, DueAt = until, Reason = reason },
        };

    /// <summary>A notification that waits to be planned.</summary>
    public static OpenDelivery Planning(string notification, Priority priority, DateTimeOffset now, DateTimeOffset due) =>
        new(DeterministicId.OfPlanning(notification), notification, new DeliveryQueue(default, priority), OpenState.Scheduled, 0, now, due);
}
