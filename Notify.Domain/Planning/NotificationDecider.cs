namespace Notify.Domain.Planning;

using Notify.Domain.Channels;
using Notify.Domain.Notifications;

/// <summary>Decisions about a notification that has been requested. Pure; a repeated command yields no events.</summary>
public static class NotificationDecider
{
    /// <summary>The last check before a provider is called.</summary>
    /// <param name="recipient">The recipient now; <c>null</c> for the unregistered.</param>
    /// <param name="rules">The current rules of the category and suppressions of the address.</param>
    /// <param name="fingerprint">Keyed hash of the number or address that is about to be used; <c>null</c> for devices.</param>
    /// <returns>The event that ends the delivery instead, or <c>null</c>: go ahead.</returns>
    public static object? LastCheck(
        Notification notification,
        Delivery delivery,
        Recipients.Recipient? recipient,
        Notify.Domain.Planning.ReachRules rules,
        string? fingerprint,
        DateTimeOffset now
    )
    {
        if (notification.Request.ExpiresAt <= now)
            return new NotificationExpired([delivery.Id], now);
        if (recipient?.IsErased == true)
            return new DeliverySuppressed(delivery.Id, Reasons.Erased, "user", now);
        var (wants, rule, _) = rules.Reaches(notification.Request, recipient, delivery.Channel, fingerprint);
        if (!wants)
            return new DeliverySuppressed(delivery.Id, Reasons.OptedOut, rule, now);
        if (rules.Against(delivery.Channel, fingerprint, now) is { } suppression)
            return new DeliverySuppressed(delivery.Id, Reasons.SuppressedAddress, suppression.Rule, now);
        if (recipient is not null && delivery.DeviceId is { } device && recipient.Devices.All(d => d.Id != device))
            return new DeliverySuppressed(delivery.Id, Reasons.DeviceRemoved, "devices", now);
        if (
            recipient is not null
            && delivery.Channel switch
            {
                Channel.Sms => !recipient.HasPhone,
                Channel.Email => !recipient.HasEmail,
                _ => false,
            }
        )
            return new DeliverySuppressed(delivery.Id, Reasons.NoContact, "details", now);
        return null;
    }

    /// <summary>Withdraws what is not in flight.</summary>
    /// <param name="stopped">The deliveries that were still waiting, taken out of their queues by the caller.</param>
    /// <returns>The event; <c>null</c> when nothing could be stopped.</returns>
    public static NotificationCancelled? Cancel(Notification notification, IReadOnlyCollection<Guid> stopped, string by, DateTimeOffset now)
    {
        if (!notification.IsPlanned)
            return notification is { IsCancelled: false, IsExpired: false, IsDigested: false }
                ? new NotificationCancelled([], by, now)
                : null;
        var still = stopped
            .Where(id => notification.Deliveries.TryGetValue(id, out var d) && !d.IsTerminal && d.Status != DeliveryStatus.Unknown)
            .ToList();
        return still.Count == 0 ? null : new NotificationCancelled(still, by, now);
    }

    /// <summary>Whether it was cancelled before, as a whole or its waiting part: another cancel then changes nothing.</summary>
    public static bool IsCancelled(Notification notification) =>
        notification.IsPlanned
            ? notification.Deliveries.Values.Any(d => d.Status == DeliveryStatus.Cancelled)
            : NotificationStatusRule.Of(notification) == NotificationStatus.Cancelled;

    /// <summary>Moves a notification that is not yet due.</summary>
    /// <returns>The event; <c>null</c> when it is due, planned, collected, cancelled or expired already.</returns>
    public static NotificationRescheduled? Reschedule(Notification notification, DateTimeOffset sendAt, string by, DateTimeOffset now) =>
        notification is { IsToBePlanned: true, SendAt: { } current } && current > now ? new NotificationRescheduled(sendAt, by, now) : null;

    /// <summary>Sends a dead-lettered delivery on its way again, if opt-out and expiry allow.</summary>
    /// <returns>Whether it may go, and if not, why.</returns>
    public static (DeliveryRedriven? Event, string? Hindrance) Redrive(
        Notification notification,
        Guid deliveryId,
        Recipients.Recipient? recipient,
        Notify.Domain.Planning.ReachRules rules,
        string? fingerprint,
        string reason,
        string by,
        DateTimeOffset now
    )
    {
        if (!notification.Deliveries.TryGetValue(deliveryId, out var delivery) || delivery.Status != DeliveryStatus.DeadLettered)
            return (null, "NotDeadLettered");
        return LastCheck(notification, delivery, recipient, rules, fingerprint, now) switch
        {
            NotificationExpired => (null, "Expired"),
            DeliverySuppressed s => (null, s.Reason),
            _ => (new DeliveryRedriven(deliveryId, reason, by, now), null),
        };
    }
}
