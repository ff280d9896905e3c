namespace Notify.Domain.Notifications;

/// <summary>Decisions about a notification that has been requested. Pure; a repeated command yields no events.</summary>
public static class NotificationDecider
{
    /// <summary>The last check before a provider is called.</summary>
    /// <param name="recipient">The recipient now; <c>null</c> for the unregistered.</param>
    /// <returns>The event that ends the delivery instead, or <c>null</c>: go ahead.</returns>
    public static object? LastCheck(Notification notification, Delivery delivery, Recipients.Recipient? recipient, DateTimeOffset now)
    {
        if (notification.Request.ExpiresAt <= now) return new NotificationExpired([delivery.Id], now);
        if (recipient is null) return null;
        if (recipient.IsErased) return new DeliverySuppressed(delivery.Id, Reasons.Erased, "user", now);
        var (wants, rule) = recipient.Wants(delivery.Channel, notification.Request.Category);
        if (!wants) return new DeliverySuppressed(delivery.Id, Reasons.OptedOut, rule, now);
        var fingerprint = delivery.Channel switch { Channel.Sms => recipient.PhoneFingerprint, Channel.Email => recipient.EmailFingerprint, _ => null };
        if (fingerprint is not null && recipient.SuppressedFingerprints.Contains(fingerprint))
            return new DeliverySuppressed(delivery.Id, Reasons.SuppressedAddress, "suppressions of the user", now);
        if (delivery.DeviceId is { } device && recipient.Devices.All(d => d.Id != device))
            return new DeliverySuppressed(delivery.Id, Reasons.DeviceRemoved, "devices", now);
        return null;
    }

    /// <summary>Withdraws what is not in flight.</summary>
    /// <param name="stopped">The deliveries that were still waiting, taken out of their queues by the caller.</param>
    /// <returns>The event; <c>null</c> when nothing could be stopped.</returns>
    public static NotificationCancelled? Cancel(Notification notification, IReadOnlyCollection<Guid> stopped, string by, DateTimeOffset now)
    {
        if (!notification.IsPlanned) return notification.IsCancelled || notification.IsExpired ? null : new NotificationCancelled([], by, now);
        var still = stopped.Where(id => notification.Deliveries.TryGetValue(id, out var d) && !d.IsTerminal && d.Status != DeliveryStatus.Unknown).ToList();
        return still.Count == 0 ? null : new NotificationCancelled(still, by, now);
    }

    /// <summary>Moves a notification that is not yet due.</summary>
    /// <returns>The event; <c>null</c> when it is due, planned, cancelled or expired already.</returns>
    public static NotificationRescheduled? Reschedule(Notification notification, DateTimeOffset sendAt, string by, DateTimeOffset now) =>
        notification is { IsPlanned: false, IsCancelled: false, IsExpired: false, SendAt: { } current } && current > now
            ? new NotificationRescheduled(sendAt, by, now)
            : null;

    /// <summary>Sends a dead-lettered delivery on its way again, if opt-out and expiry allow.</summary>
    /// <returns>Whether it may go, and if not, why.</returns>
    public static (DeliveryRedriven? Event, string? Hindrance) Redrive(
        Notification notification, Guid deliveryId, Recipients.Recipient? recipient, string reason, string by, DateTimeOffset now)
    {
        if (!notification.Deliveries.TryGetValue(deliveryId, out var delivery) || delivery.Status != DeliveryStatus.DeadLettered)
            return (null, "NotDeadLettered");
        return LastCheck(notification, delivery, recipient, now) switch
        {
            NotificationExpired => (null, "Expired"),
            DeliverySuppressed s => (null, s.Reason),
            _ => (new DeliveryRedriven(deliveryId, reason, by, now), null),
        };
    }
}
