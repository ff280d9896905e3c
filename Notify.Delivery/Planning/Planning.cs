namespace Notify.Delivery.Planning;

using NodaTime;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.Privacy;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;

/// <summary>Joins the pure planner with the decryption and encryption that it needs.</summary>
public static class NotificationPlanning
{
    /// <summary>Plans one notification.</summary>
    /// <param name="payload">Its decrypted payload.</param>
    /// <param name="recipient">The user's snapshot; <c>null</c> for the unknown and the unregistered.</param>
    /// <param name="rules">The rules of its category and the suppressions of its addresses.</param>
    /// <param name="keys">The current key of the request's subject, and the keys of the recipient's details.</param>
    /// <param name="sms">How long an SMS may be.</param>
    public static DeliveriesPlanned Plan(
        string key,
        NotificationRequested request,
        NotificationPayload payload,
        Recipient? recipient,
        ReachRules rules,
        KeySet keys,
        IFingerprints ring,
        DateTimeOffset now,
        SmsLimits? sms = null
    )
    {
        if (request.UserRef is null)
        {
            SealedContact[] contacts = [.. ContactsOf(key, payload.To, request.Subject, keys, ring)];
            return DeliveryPlanner.ForUnregistered(key, request, payload.Content, contacts, rules, now, sms) with
            {
                Locale = request.Template?.Locale,
            };
        }

        ContactDetails? details = null;
        var plan = DeliveryPlanner.ForUser(key, request, payload.Content, recipient, rules, Contact, now, sms);
        return request.Template is { } template ? plan with { Locale = template.Locale ?? Details()?.Locale } : plan;

        ContactDetails? Details() => details ??= keys.DetailsOf(recipient);

        Sealed? Contact(Channel channel, Guid deliveryId)
        {
            var address = channel == Channel.Sms ? Details()?.Phone : Details()?.Email;
            return address is null
                ? null
                : keys.Seal(request.Subject, SealedPlace.OfAddress(key, request.Subject, deliveryId, null), address);
        }
    }

    /// <summary>Tells until when a time is too quiet to disturb the person, and the rule.</summary>
    /// <param name="keys">Those of the recipient's details.</param>
    public static Func<DateTimeOffset, (DateTimeOffset Until, string Rule)?> QuietOf(
        NotificationRequested request,
        Recipient? recipient,
        ReachRules rules,
        KeySet keys,
        TimeZones zones
    )
    {
        if (recipient?.QuietHours is null)
            return _ => null;
        DateTimeZone? zone = null;
        return time => QuietHoursDecider.PutOff(request, recipient, rules, () => zone ??= zones.Of(recipient, keys), time);
    }

    /// <summary>Returns the rows of a plan's deliveries: queued or deferred.</summary>
    public static IEnumerable<OpenDelivery> Open(
        string key,
        DeliveriesPlanned plan,
        IReadOnlyList<DeliveryDeferred> putOff,
        Priority priority,
        DateTimeOffset now
    ) =>
        plan
            .Deliveries.Select(d => OpenDelivery.Planned(key, d, priority, now))
            .Select(row => putOff.FirstOrDefault(p => p.DeliveryId == row.Id) is { } why ? row.PutOff(why) : row);

    /// <summary>The prefix of the subjects of people who are not registered.</summary>
    public const string Unregistered = "a/";

    /// <summary>
    /// Returns the subject of an unregistered person: a keyed hash of the first contact given, so that their notifications share a key.
    /// </summary>
    public static string SubjectOf(UnregisteredRecipient to, IFingerprints ring) => SubjectOf(HashedText.SubjectTextOf(to), ring);

    /// <summary>The subject by which somebody's notifications are found whose key goes by another contact of theirs.</summary>
    /// <returns><c>null</c> where there is no other contact; a device's token is none.</returns>
    public static string? AliasOf(UnregisteredRecipient? to, IFingerprints ring) =>
        HashedText.AliasTextOf(to) is { } alias ? SubjectOf(alias, ring) : null;

    /// <summary>All texts that subjects of people who are not registered may be hashes of, who have an address.</summary>
    /// <remarks>An email address was taken as it was written once.</remarks>
    public static IEnumerable<HashedText> SubjectTextsOf(Channel channel, string address)
    {
        yield return new HashedText("subject", address);
        if (channel == Channel.Email)
            yield return new HashedText("subject", AddressFingerprints.Normal(address));
    }

    private static string SubjectOf(string contact, IFingerprints ring) => Unregistered + ring.Fingerprint("subject", contact);

    private static IEnumerable<SealedContact> ContactsOf(
        string key,
        UnregisteredRecipient? to,
        string subject,
        KeySet keys,
        IFingerprints ring
    )
    {
        if (to?.Device is { Token: { } token } device)
            yield return new SealedContact(Device.LaneOf(device.Platform), "push", Seal("push", token), App: device.App);
        if (to?.Phone is { } phone)
            yield return new SealedContact(Lane.Sms, "sms", Seal("sms", phone), ring.OfPhone(phone));
        if (to?.Email is { } email)
            yield return new SealedContact(Lane.Email, "email", Seal("email", email), ring.OfEmail(email));

        Sealed Seal(string contact, string text) =>
            keys.Seal(subject, SealedPlace.OfAddress(key, subject, DeterministicId.OfDelivery(key, contact), null), text);
    }
}
