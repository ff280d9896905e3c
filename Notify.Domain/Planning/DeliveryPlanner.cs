namespace Notify.Domain.Planning;

using System.Globalization;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;

/// <summary>A contact point of a person who is not registered, encrypted.</summary>
/// <param name="Fingerprint">Keyed hash by which it is known whether the address is suppressed; <c>null</c> for devices.</param>
/// <param name="App">The app that a device names.</param>
public sealed record SealedContact(Lane Lane, string Contact, Sealed Address, string? Fingerprint = null, DeviceApp? App = null);

/// <summary>Decides which contact points of a person a notification is tried on. Pure: the same input gives the same plan.</summary>
public static class DeliveryPlanner
{
    /// <summary>Plans a notification to a registered user, who may be unknown or erased.</summary>
    /// <param name="rules">The rules of the category and the suppressions of the user's addresses.</param>
    /// <param name="contact">The user's details, encrypted again per channel and delivery; called only for channels that are tried.</param>
    /// <param name="sms">How long an SMS may be.</param>
    public static DeliveriesPlanned ForUser(
        string key,
        NotificationRequested request,
        NotificationContent content,
        Recipient? recipient,
        ReachRules rules,
        Func<Channel, Guid, Sealed?> contact,
        DateTimeOffset now,
        SmsLimits? sms = null
    )
    {
        var category = rules.Of(request);
        if (recipient is null || recipient.IsErased)
        {
            var reason = recipient is null ? Reasons.UnknownUser : Reasons.Erased;
            return new DeliveriesPlanned(
                [],
                [.. Wanted(request).Select(c => LeaveOut(key, c, null, reason, "user"))],
                recipient?.Version ?? 0,
                now,
                category.Version
            );
        }

        var deliveries = new List<PlannedDelivery>();
        var leftOut = new List<LeftOutDelivery>();
        foreach (var channel in Wanted(request))
        {
            var (wants, rule, passed) = category.Reaches(recipient, channel);
            var why = passed ? rule : null;
            if (channel == Channel.Push)
            {
                if (recipient.Devices.Count == 0)
                    Skip(channel, Reasons.NoContact, "devices: 0");
                foreach (var device in recipient.Devices)
                {
                    if (Hindrance(device.Lane, request, content, wants, rule, sms) is { } h)
                        leftOut.Add(LeaveOut(key, channel, device.Id, h.Reason, h.Rule));
                    else
                        deliveries.Add(
                            new PlannedDelivery(
                                DeterministicId.OfDelivery(key, device.Id),
                                device.Lane,
                                device.Id,
                                device.Token,
                                why,
                                device.App
                            )
                        );
                }

                continue;
            }

            var lane = channel == Channel.Sms ? Lane.Sms : Lane.Email;
            var has = channel == Channel.Sms ? recipient.HasPhone : recipient.HasEmail;
            var fingerprint = channel == Channel.Sms ? recipient.PhoneFingerprint : recipient.EmailFingerprint;
            if (!has)
                Skip(channel, Reasons.NoContact, "details");
            else if (Hindrance(lane, request, content, wants, rule, sms) is { } h)
                leftOut.Add(LeaveOut(key, channel, null, h.Reason, h.Rule));
            else if (rules.Against(channel, fingerprint, now) is { } suppression)
                leftOut.Add(LeaveOut(key, channel, null, Reasons.SuppressedAddress, suppression.Rule));
            else if (DeterministicId.OfDelivery(key, ContactOf(channel)) is var id && contact(channel, id) is { } address)
                deliveries.Add(new PlannedDelivery(id, lane, null, address, why));
            else
                leftOut.Add(LeaveOut(key, channel, null, Reasons.Unreadable, "key"));
        }

        // The request did not name these channels: missing contacts are not listed, unless no delivery is left.
        if (request.Channels is null && deliveries.Count > 0)
            leftOut.RemoveAll(l => l.Reason is Reasons.NoContact or Reasons.NoContent);
        return new DeliveriesPlanned(deliveries, leftOut, recipient.Version, now, category.Version);

        void Skip(Channel channel, string reason, string rule) => leftOut.Add(LeaveOut(key, channel, null, reason, rule));
    }

    /// <summary>Plans a notification to a person who is not registered: to every contact that was given and requested.</summary>
    /// <remarks>The category's defaults apply to an address without preferences.</remarks>
    public static DeliveriesPlanned ForUnregistered(
        string key,
        NotificationRequested request,
        NotificationContent content,
        IReadOnlyList<SealedContact> contacts,
        ReachRules rules,
        DateTimeOffset now,
        SmsLimits? sms = null
    )
    {
        var category = rules.Of(request);
        var deliveries = new List<PlannedDelivery>();
        var leftOut = new List<LeftOutDelivery>();
        var wanted = request.Channels ?? [.. contacts.Select(c => Lanes.ChannelOf(c.Lane)).Distinct()];
        foreach (var channel in wanted)
        {
            var found = contacts.Where(c => Lanes.ChannelOf(c.Lane) == channel).ToList();
            if (found.Count == 0)
                leftOut.Add(LeaveOut(key, channel, null, Reasons.NoContact, "to"));
            foreach (var c in found)
            {
                var (wants, rule, passed) = rules.Reaches(request, null, channel, c.Fingerprint);
                if (Hindrance(c.Lane, request, content, wants, rule, sms) is { } h)
                    leftOut.Add(LeaveOut(key, channel, null, h.Reason, h.Rule));
                else if (rules.Against(channel, c.Fingerprint, now) is { } s)
                    leftOut.Add(LeaveOut(key, channel, null, Reasons.SuppressedAddress, s.Rule));
                else
                    deliveries.Add(
                        new PlannedDelivery(
                            DeterministicId.OfDelivery(key, c.Contact),
                            c.Lane,
                            null,
                            c.Address,
                            passed ? rule : null,
                            c.App
                        )
                    );
            }
        }

        if (request is { Channels: null, Template: not null } && deliveries.Count > 0)
            leftOut.RemoveAll(l => l.Reason == Reasons.NoContent);
        return new DeliveriesPlanned(deliveries, leftOut, 0, now, category.Version);
    }

    private static readonly SmsLimits Unset = new();

    /// <summary>Returns the name of an SMS or email contact within its notification.</summary>
    public static string ContactOf(Channel channel) => Lanes.NameOf(channel);

    private static IReadOnlyList<Channel> Wanted(NotificationRequested request) =>
        request.Channels ?? request.Template?.Channels ?? [Channel.Push, Channel.Sms, Channel.Email];

    private static (string Reason, string Rule)? Hindrance(
        Lane lane,
        NotificationRequested request,
        NotificationContent content,
        bool wants,
        string rule,
        SmsLimits? sms
    )
    {
        if (!wants)
            return (Reasons.OptedOut, rule);
        if (request.Template is { } template)
            return template.Channels.Contains(Lanes.ChannelOf(lane)) ? null : (Reasons.NoContent, "template");
        var empty = Lanes.ChannelOf(lane) switch
        {
            Channel.Push => string.IsNullOrEmpty(content.Title) && string.IsNullOrEmpty(content.Body) && content.Data is null,
            Channel.Sms => string.IsNullOrEmpty(content.Body),
            _ => string.IsNullOrEmpty(content.Body) && string.IsNullOrEmpty(content.Html),
        };
        if (empty)
            return (Reasons.NoContent, "content");
        // A browser shows a line of its own for a push that its page shows nothing for.
        if (lane == Lane.Webpush && !content.IsShown)
            return (Reasons.NoContent, "web: data alone");
        return lane == Lane.Sms && (sms ?? Unset).Excess(content.Body, content.Track) is { } segments
            ? (
                Reasons.TooLarge,
                string.Create(CultureInfo.InvariantCulture, $"sms: {segments} segments, at most {(sms ?? Unset).MaxSegments}")
            )
            : null;
    }

    private static LeftOutDelivery LeaveOut(string key, Channel channel, string? deviceId, string reason, string rule) =>
        new(DeterministicId.OfDelivery(key, deviceId ?? ContactOf(channel)), channel, deviceId, reason, rule);
}
