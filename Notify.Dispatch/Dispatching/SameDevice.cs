namespace Notify.Dispatch.Dispatching;

using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Recipients;

/// <summary>Finds deliveries of one notification that would reach the same device: earlier versions stored spellings of one
/// token.</summary>
public static class SameDevice
{
    /// <summary>Looks for another delivery to the same APNs token, which is hexadecimal: the same in either letter case.</summary>
    /// <param name="recipient">The user, whose devices count that are still registered.</param>
    /// <param name="tokenOf">Decrypts a delivery's token.</param>
    /// <returns>The event that ends this one; <c>null</c>: it is the one that is sent.</returns>
    public static DeliverySuppressed? Find(
        Notification notification,
        Delivery delivery,
        Recipient? recipient,
        Func<Delivery, string?> tokenOf,
        DateTimeOffset now
    )
    {
        if (delivery is not { Lane: Lane.Apns, DeviceId: not null })
            return null;
        var others = notification
            .Deliveries.Values.Where(d => d.Id != delivery.Id && d is { Lane: Lane.Apns, DeviceId: not null } && IsBefore(d))
            .ToList();
        if (others.Count == 0 || tokenOf(delivery) is not { } token)
            return null;
        return others.Find(d => string.Equals(tokenOf(d), token, StringComparison.OrdinalIgnoreCase)) is { } same
            ? new DeliverySuppressed(delivery.Id, Reasons.SameDevice, $"device {same.DeviceId}", now)
            : null;

        // Of two that wait, the one with the lower ID goes, unless its device was removed.
        bool IsBefore(Delivery d) =>
            d.Status is DeliveryStatus.Dispatched or DeliveryStatus.Delivered
            || (d.IsInFlight && d.Id.CompareTo(delivery.Id) < 0 && recipient?.Devices.Exists(x => x.Id == d.DeviceId) == true);
    }
}
