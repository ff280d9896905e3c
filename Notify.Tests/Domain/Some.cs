namespace Notify.Tests.Domain;

using System.Collections.Immutable;
using Notify.Domain.Categories;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;
using Notify.Domain.Suppressions;

/// <summary>Ordinary notifications and people, for tests that are about one thing in them.</summary>
internal static class Some
{
    public const string Key = "n/c_shop:order-1";

    public static readonly DateTimeOffset Noon = new(2026, 5, 4, 12, 0, 0, TimeSpan.Zero);

    /// <summary>The deliveries of <see cref="Planned"/>: a push and an SMS.</summary>
    public static readonly Guid Push = DeterministicId.OfDelivery(Key, "d_1"),
        Sms = DeterministicId.OfDelivery(Key, "sms");

    public static Sealed Sealed(string text) => new($"7.{text}");

    /// <summary>The address of a delivery, which contains its channel.</summary>
    public static Sealed? AddressOf(Channel channel, Guid delivery) => Sealed($"{channel}");

    public static NotificationRequested Requested(
        string? userId = "u-1",
        IReadOnlyList<Channel>? channels = null,
        string category = "shipping",
        Priority priority = Priority.Normal,
        DateTimeOffset? sendAt = null,
        DateTimeOffset? expiresAt = null
    ) =>
        new(
            "c_shop",
            "order-1",
            userId,
            "u/u-1",
            ClientMode.Live,
            category,
            priority,
            channels,
            Sealed("payload"),
            sendAt,
            expiresAt,
            "hash",
            null,
            Noon
        );

    public static DeliveriesPlanned Planned(params IReadOnlyList<LeftOutDelivery> leftOut) =>
        new(
            [new PlannedDelivery(Push, Lane.Apns, "d_1", Sealed("token")), new PlannedDelivery(Sms, Lane.Sms, null, Sealed("phone"))],
            leftOut,
            3,
            Noon
        );

    /// <summary>A notification of one push and one SMS, and what happened to it since.</summary>
    public static Notification Notification(params IEnumerable<object> since) =>
        Notify.Domain.Notifications.Notification.Fold(Key, [Requested(), Planned(), .. since])!;

    /// <summary>That an address is suppressed.</summary>
    public static Suppression Suppression(
        string fingerprint,
        Channel channel = Channel.Sms,
        string reason = SuppressionReasons.OptedOutAtProvider,
        DateTimeOffset? expiresAt = null
    ) => new(channel, fingerprint, reason, "twilio", "twilio", Noon.AddDays(-1), expiresAt, null);

    /// <summary>A category.</summary>
    public static Category Category(
        string key = "shipping",
        bool required = false,
        UnknownOutcome unknownOutcome = UnknownOutcome.Hold,
        params (string Channel, bool OptIn)[] defaults
    ) =>
        new(
            Notify.Domain.Categories.Category.KeyOf(key),
            required,
            defaults.ToImmutableDictionary(d => d.Channel, d => d.OptIn),
            unknownOutcome,
            "c_shop",
            Noon,
            3
        );

    /// <summary>That these are laid down.</summary>
    public static ReachRules Rules(IEnumerable<Suppression>? suppressions = null, params IEnumerable<Category> categories) =>
        new(categories.ToDictionary(c => c.Id), (suppressions ?? []).ToDictionary(s => s.Id));

    public static Delivery Delivery(DeliveryStatus status, int attempts = 0) =>
        new(Guid.NewGuid(), Channel.Push, Lane.Apns, status, Attempts: attempts);

    /// <summary>A user with an iPhone, a phone number and an email address, and what happened since.</summary>
    public static Recipient Recipient(params IEnumerable<object> since) =>
        new object[]
        {
            new ContactDetailsGiven(Sealed("details"), true, true, "email-print", "phone-print", "c_shop", Noon),
            new DeviceRegistered("d_1", Platform.Ios, Sealed("token"), "c_shop", Noon),
        }
            .Concat(since)
            .Aggregate((Recipient?)null, (r, e) => Notify.Domain.Recipients.Recipient.Evolve(r, "u/u-1", e))!;
}
