namespace Notify.Domain.Notifications;

/// <summary>A notification's status as callers see it; follows from its deliveries alone.</summary>
public enum NotificationStatus
{
    Accepted,
    Scheduled,
    Dispatching,
    Dispatched,
    Delivered,
    PartiallyDelivered,
    Failed,
    Suppressed,
    Cancelled,
    Expired,
    Unknown,
    Digested,
}

/// <summary>The rule by which deliveries make a notification's status: the first that matches.</summary>
public static class NotificationStatusRule
{
    /// <summary>The status of a notification.</summary>
    /// <remarks>
    /// Any in flight: dispatching (accepted or scheduled before the first attempt); any unknown: unknown; all skipped:
    /// suppressed, or cancelled or expired if that is why; all delivered; some delivered; any dispatched; else failed.
    /// A notification that waits in a digest is scheduled, and digested once the digest has closed; the digest then has its outcome.
    /// A skipped delivery does not count for «all delivered».
    /// </remarks>
    public static NotificationStatus Of(Notification notification)
    {
        if (!notification.IsPlanned)
        {
            if (notification.IsCancelled)
                return NotificationStatus.Cancelled;
            if (notification.IsExpired)
                return NotificationStatus.Expired;
            if (notification.IsDigested)
                return NotificationStatus.Digested;
            return notification is { SendAt: null, CollectedIn: null } ? NotificationStatus.Accepted : NotificationStatus.Scheduled;
        }

        int inFlight = 0,
            waiting = 0,
            attempts = 0,
            unknown = 0,
            leftOut = 0,
            cancelled = 0,
            expired = 0,
            delivered = 0,
            dispatched = 0,
            ended = 0;
        foreach (var d in notification.Deliveries.Values)
        {
            attempts += d.Attempts;
            if (d.IsInFlight)
                inFlight++;
            switch (d.Status)
            {
                case DeliveryStatus.Unknown:
                    unknown++;
                    break;
                case DeliveryStatus.Deferred:
                    waiting++;
                    break;
                case DeliveryStatus.Suppressed:
                    leftOut++;
                    break;
                case DeliveryStatus.Cancelled:
                    leftOut++;
                    cancelled++;
                    break;
                case DeliveryStatus.Expired:
                    leftOut++;
                    expired++;
                    break;
                case DeliveryStatus.Delivered:
                    delivered++;
                    ended++;
                    break;
                case DeliveryStatus.Dispatched:
                    dispatched++;
                    ended++;
                    break;
                case DeliveryStatus.Failed or DeliveryStatus.DeadLettered:
                    ended++;
                    break;
            }
        }

        if (inFlight > 0)
        {
            if (attempts > 0 || ended > 0 || unknown > 0)
                return NotificationStatus.Dispatching;
            return waiting == inFlight ? NotificationStatus.Scheduled : NotificationStatus.Accepted;
        }

        if (unknown > 0)
            return NotificationStatus.Unknown;
        if (leftOut == notification.Deliveries.Count)
            return cancelled > 0 ? NotificationStatus.Cancelled
                : expired > 0 ? NotificationStatus.Expired
                : NotificationStatus.Suppressed;
        if (delivered == ended)
            return NotificationStatus.Delivered;
        if (delivered > 0)
            return NotificationStatus.PartiallyDelivered;
        return dispatched > 0 ? NotificationStatus.Dispatched : NotificationStatus.Failed;
    }
}
