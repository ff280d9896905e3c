using Notify.Domain.Notifications;

namespace Notify.Api.Notifications;

/// <summary>A notification as callers see it.</summary>
public sealed record NotificationResource(
    string EventId, string? UserId, NotificationStatus Status, string Category, Priority Priority, DateTimeOffset RequestedAt,
    DateTimeOffset? SendAt, DateTimeOffset? ExpiresAt, long? Version, IReadOnlyList<DeliveryResource> Deliveries)
{
    /// <summary>Shows a folded notification.</summary>
    public static NotificationResource Of(Notification n, bool withVersion = true) => new(
        n.Request.EventId, n.Request.UserId, NotificationStatusRule.Of(n), n.Request.Category, n.Request.Priority, n.Request.At, n.SendAt, n.Request.ExpiresAt,
        withVersion ? n.Version : null,
        [.. n.Deliveries.Values.OrderBy(d => d.Channel).ThenBy(d => d.Id).Select(DeliveryResource.Of)]);
}

/// <summary>One delivery as callers see it. Its address is not shown.</summary>
/// <param name="NextAttemptAt">For a deferred delivery.</param>
public sealed record DeliveryResource(
    Guid DeliveryId, Channel Channel, string? Provider, DeliveryStatus Status, string? Reason, string? ProviderCode, int Attempts, string? DeviceId,
    string? ProviderMessageId, DateTimeOffset? NextAttemptAt, DateTimeOffset? DispatchedAt, DateTimeOffset? DeliveredAt, DateTimeOffset? OpenedAt)
{
    /// <summary>Shows a folded delivery.</summary>
    public static DeliveryResource Of(Delivery d) => new(
        d.Id, d.Channel, d.Provider, d.Status, d.Reason, d.ProviderCode, d.Attempts, d.DeviceId,
        d.ProviderMessageId, d.DeferredUntil, d.DispatchedAt, d.DeliveredAt, d.OpenedAt);
}
