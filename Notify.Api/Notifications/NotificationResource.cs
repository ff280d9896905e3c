namespace Notify.Api.Notifications;

using Notify.Delivery.Tracking;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;

/// <summary>A notification as callers see it.</summary>
/// <param name="EventId">The client's own ID of it.</param>
/// <param name="UserId">The registered user; absent for a person who is not registered, and for an erased user.</param>
/// <param name="Status">Follows from the deliveries.</param>
/// <param name="Category">Its category.</param>
/// <param name="Priority">How urgent it is.</param>
/// <param name="RequestedAt">When it was accepted.</param>
/// <param name="SendAt">When it is to be sent; absent: at once.</param>
/// <param name="ExpiresAt">After this time it is not sent any more.</param>
/// <param name="Template">The template of its content, where the request gave none.</param>
/// <param name="Version">The number of events that this state was folded from; absent in lists.</param>
/// <param name="Deliveries">One for each device, number and address, also skipped ones.</param>
/// <param name="Digest">The event ID of the digest that it is, or will be, part of; it has no deliveries of its own then.</param>
/// <param name="Members">The event IDs of a digest's members; absent until it closes, and in lists.</param>
public sealed record NotificationResource(
    string EventId,
    string? UserId,
    NotificationStatus Status,
    string Category,
    Priority Priority,
    DateTimeOffset RequestedAt,
    DateTimeOffset? SendAt,
    DateTimeOffset? ExpiresAt,
    NotificationTemplate? Template,
    long? Version,
    IReadOnlyList<DeliveryResource> Deliveries,
    string? Digest = null,
    IReadOnlyList<string>? Members = null
)
{
    /// <summary>As the reference shows one.</summary>
    internal static NotificationResource Example =>
        new(
            "order-123-shipped",
            "u-42",
            NotificationStatus.Dispatched,
            "shipping",
            Priority.Critical,
            DateTimeOffset.Parse("2026-12-01T09:00:00Z", System.Globalization.CultureInfo.InvariantCulture),
            null,
            null,
            new NotificationTemplate("order-shipped", 3, "ko-KR"),
            3,
            [
                new DeliveryResource(
                    Guid.Parse("0b1f7c3e-52ab-8d0e-9c41-6a7d2f90e513"),
                    Channel.Sms,
                    "twilio",
                    DeliveryStatus.Dispatched,
                    null,
                    null,
                    1,
                    null,
                    "SM5f0c1d2e3b4a59687f6e5d4c3b2a1908",
                    null,
                    DateTimeOffset.Parse("2026-12-01T09:00:00.214Z", System.Globalization.CultureInfo.InvariantCulture),
                    null,
                    null
                ),
            ]
        );

    /// <summary>Shows a folded notification.</summary>
    /// <param name="userIds">The IDs of users by reference; see <see cref="Notify.Delivery.Privacy.SubjectKeys.UserIdsAsync"/>.</param>
    public static NotificationResource Of(Notification n, IReadOnlyDictionary<string, string> userIds, bool withVersion = true) =>
        new(
            n.Request.EventId,
            n.Request.UserRef is { } user ? userIds.GetValueOrDefault(user) : null,
            NotificationStatusRule.Of(n),
            n.Request.Category,
            n.Request.Priority,
            n.Request.At,
            n.SendAt,
            n.Request.ExpiresAt,
            n.Request.Template is { } t ? new NotificationTemplate(t.Key, t.Version, n.Locale ?? t.Locale) : null,
            withVersion ? n.Version : null,
            [.. n.Deliveries.Values.OrderBy(d => d.Channel).ThenBy(d => d.Id).Select(DeliveryResource.Of)],
            n.CollectedIn,
            withVersion ? n.Members : null
        );
}

/// <summary>The template that a notification was accepted with.</summary>
/// <param name="Key">The template's key.</param>
/// <param name="Version">The version; later ones change nothing.</param>
/// <param name="Locale">The language that is written in, as far as the template has it; absent: its default.</param>
public sealed record NotificationTemplate(string Key, int Version, string? Locale);

/// <summary>One delivery as callers see it. Its address is not shown.</summary>
/// <param name="DeliveryId">Follows from the notification and the device, number or address.</param>
/// <param name="Channel">How the person is reached.</param>
/// <param name="Provider">The provider that sends it, once that is known.</param>
/// <param name="Status">Its current status.</param>
/// <param name="Reason">Why it was skipped, deferred or failed.</param>
/// <param name="ProviderCode">The provider's own code.</param>
/// <param name="Attempts">Calls made, or about to be made.</param>
/// <param name="DeviceId">The device, for a push.</param>
/// <param name="ProviderMessageId">The provider's ID of it.</param>
/// <param name="NextAttemptAt">For a deferred delivery.</param>
/// <param name="DispatchedAt">When the provider accepted it.</param>
/// <param name="DeliveredAt">When the device had it.</param>
/// <param name="OpenedAt">When the person first opened it.</param>
/// <param name="ComplainedAt">When the person marked it as unwanted.</param>
/// <param name="UnsubscribedAt">When the person unsubscribed through it.</param>
/// <param name="ClickedAt">When the person first followed a link of it.</param>
/// <param name="Opens">How often the person opened it, the first time included; absent where there was none, in lists, and as of an earlier
/// time. So are the following.</param>
/// <param name="Clicks">How often the person followed its links.</param>
/// <param name="MachineHits">How often scanners and prefetchers opened it or followed its links, as far as they show themselves; in none of
/// the other counts.</param>
/// <param name="Links">Those of its links that were followed.</param>
public sealed record DeliveryResource(
    Guid DeliveryId,
    Channel Channel,
    string? Provider,
    DeliveryStatus Status,
    string? Reason,
    string? ProviderCode,
    int Attempts,
    string? DeviceId,
    string? ProviderMessageId,
    DateTimeOffset? NextAttemptAt,
    DateTimeOffset? DispatchedAt,
    DateTimeOffset? DeliveredAt,
    DateTimeOffset? OpenedAt,
    DateTimeOffset? ComplainedAt = null,
    DateTimeOffset? UnsubscribedAt = null,
    DateTimeOffset? ClickedAt = null,
    long? Opens = null,
    long? Clicks = null,
    long? MachineHits = null,
    IReadOnlyList<LinkHits>? Links = null
)
{
    /// <summary>Shows a folded delivery.</summary>
    public static DeliveryResource Of(Delivery d) =>
        new(
            d.Id,
            d.Channel,
            d.Provider,
            d.Status,
            d.Reason,
            d.ProviderCode,
            d.Attempts,
            d.DeviceId,
            d.ProviderMessageId,
            d.DeferredUntil,
            d.DispatchedAt,
            d.DeliveredAt,
            d.OpenedAt,
            d.ComplainedAt,
            d.UnsubscribedAt,
            d.ClickedAt
        );

    /// <summary>The same with how often it was opened and followed.</summary>
    public DeliveryResource With(IEnumerable<TrackedHit> hits)
    {
        var (opening, links) = (
            hits.FirstOrDefault(h => h.Number == TrackedHits.Opening),
            hits.Where(h => h.Number != TrackedHits.Opening).Select(h => new LinkHits(h.Number, h.People, h.Machines)).ToList()
        );
        // An app, or a provider with tracking of its own, reports only the first time.
        return this with
        {
            Opens = Some(Math.Max(opening?.People ?? 0, OpenedAt is null ? 0 : 1)),
            Clicks = Some(links.Sum(l => l.Clicks)),
            MachineHits = Some((opening?.Machines ?? 0) + links.Sum(l => l.MachineClicks)),
            Links = links.Count > 0 ? links : null,
        };

        static long? Some(long count) => count > 0 ? count : null;
    }
}

/// <summary>How often a link was followed. Where it leads is not shown.</summary>
/// <param name="Link">
/// The number of the message's link, from 0, as in the event `LinkClicked`; an address that occurs twice is one link.
/// </param>
/// <param name="Clicks">By people, the first time included.</param>
/// <param name="MachineClicks">By scanners and prefetchers, as far as they show themselves.</param>
public sealed record LinkHits(int Link, long Clicks, long MachineClicks);
