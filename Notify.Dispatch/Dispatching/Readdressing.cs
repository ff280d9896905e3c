namespace Notify.Dispatch.Dispatching;

using Notify.Delivery.Privacy;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Domain.Recipients;

/// <summary>
/// Refreshes a user's number or address that changed after a delivery was planned: a waiting delivery goes to the new one.
/// </summary>
public static class Readdressing
{
    /// <summary>Looks at a delivery that is about to go out.</summary>
    /// <param name="recipient">The user now; <c>null</c> for an unregistered person, whose only addresses are those of the request.</param>
    /// <param name="keys">Those of the delivery's address, the user's details and the request.</param>
    /// <returns>The delivery as it goes out, and what happened to it; no event where nothing changed, where the user has none any more (see
    /// <see cref="NotificationDecider.LastCheck"/>), or where its outcome is still open.</returns>
    public static (Delivery Delivery, DeliveryReaddressed? Event) Of(
        Notification notification,
        Delivery delivery,
        Recipient? recipient,
        KeySet keys,
        MasterKeyRing ring,
        DateTimeOffset now
    )
    {
        if (
            recipient is null or { IsErased: true }
            || delivery is not { DeviceId: null, Contact: { } planned, Status: DeliveryStatus.Queued or DeliveryStatus.Deferred }
        )
            return (delivery, null);
        var fingerprint = recipient.FingerprintOn(delivery.Channel);
        var place = notification.AddressPlaceOf(delivery);
        if (fingerprint is null || keys.OpenText(planned, place) is not { } address || ring.Of(delivery.Channel, address) == fingerprint)
            return (delivery, null);

        // Fingerprints also differ where the pepper was replaced since; the details decide.
        var known = keys.DetailsOf(recipient);
        var current = delivery.Channel == Channel.Sms ? known?.Phone : known?.Email;
        var subject = notification.Request.Subject;
        if (current is null || current == address || !keys.HasCurrent(subject))
            return (delivery, null);
        var readdressed = new DeliveryReaddressed(delivery.Id, keys.Seal(subject, place, current), recipient.Version, now);
        return (delivery with { Contact = readdressed.Address }, readdressed);
    }
}
