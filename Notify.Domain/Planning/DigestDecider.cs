namespace Notify.Domain.Planning;

using System.Globalization;
using Notify.Domain.Categories;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;

/// <summary>The key of a digest: at most one is open for it at a time.</summary>
/// <param name="Person">A user's stream key, or the keyed hash of the addresses that were given.</param>
public readonly record struct DigestPlace(string ClientId, string Category, string Person);

/// <summary>A digest that accepts further notifications.</summary>
/// <param name="Key">Its stream.</param>
/// <param name="ClosesAt">When it is due to close; it accepts notifications until it is closed, perhaps a moment later.</param>
/// <param name="Members">The number of notifications that it has accepted, with those cancelled since.</param>
public sealed record OpenDigest(string Key, DateTimeOffset ClosesAt, int Members);

/// <summary>A notification that waits in a digest which is about to close.</summary>
/// <param name="Notification">As it is now.</param>
/// <param name="IsReadable">Whether its content can be decrypted; false when its person was erased since.</param>
public sealed record DigestMember(Notification Notification, bool IsReadable);

/// <summary>The result of closing a digest.</summary>
/// <param name="Told">The members that the digest contains, in order of arrival.</param>
/// <param name="Events">The events for the streams of all notifications that waited in it, by stream key.</param>
public sealed record DigestClosing(
    IReadOnlyList<DigestMember> Told,
    IReadOnlyList<DigestLeftOut> LeftOut,
    IReadOnlyList<(string Key, object Event)> Events
)
{
    /// <summary>A closing that was decided part by part.</summary>
    public static DigestClosing Of(IReadOnlyCollection<DigestClosing> parts) =>
        new([.. parts.SelectMany(p => p.Told)], [.. parts.SelectMany(p => p.LeftOut)], [.. parts.SelectMany(p => p.Events)]);

    /// <summary>The most urgent priority of its members, and never critical.</summary>
    public Priority Priority =>
        DigestDecider.PriorityOf(Told.Select(m => m.Notification.Request.Priority).DefaultIfEmpty(Priority.Bulk).Min());

    /// <summary>When the last of its members expires; <c>null</c>: one of them never does.</summary>
    public DateTimeOffset? ExpiresAt =>
        Told.Count == 0 || Told.Any(m => m.Notification.Request.ExpiresAt is null) ? null : Told.Max(m => m.Notification.Request.ExpiresAt);
}

/// <summary>Decides which notifications are collected, into which digest, and which of them it contains when it closes. Pure.</summary>
public static class DigestDecider
{
    /// <summary>
    /// Returns the rule by which a notification is collected; <c>null</c>: it is sent by itself. That applies to critical ones (a request
    /// by a client token is never critical), those with files, and those with data for an app only.
    /// </summary>
    /// <param name="content">Literal content; empty where a template gives it.</param>
    public static DigestRule? RuleFor(NotificationRequested request, NotificationContent content, Category category) =>
        category is { Digest: { } rule, Required: false }
        && request is not { Priority: Priority.Critical, Through: null }
        && content.Attachments is not { Count: > 0 }
        && (request.Template is not null || content.IsShown || content.Html is { Length: > 0 })
            ? rule
            : null;

    /// <summary>Returns a digest's priority from that of its members. It is never critical, and so never overrides a cap.</summary>
    public static Priority PriorityOf(Priority told) => told == Priority.Critical ? Priority.Normal : told;

    /// <summary>Puts a notification into the digest that is open, or into a new one, where none is or it is full.</summary>
    /// <param name="newKey">The stream of a new one.</param>
    public static (OpenDigest Digest, bool IsNew) Join(OpenDigest? open, DigestRule rule, Func<string> newKey, DateTimeOffset now) =>
        open is { Members: < DigestRule.MostMembers }
            ? (open with { Members = open.Members + 1 }, false)
            : (new OpenDigest(newKey(), now + rule.Window, 1), true);

    /// <summary>Makes the event of a notification that is collected into a digest.</summary>
    public static NotificationCollected Collected(OpenDigest digest, DigestRule rule, Category category, DateTimeOffset now) =>
        new(
            NotificationKey.Parse(digest.Key)!.Value.EventId,
            digest.ClosesAt,
            string.Create(
                CultureInfo.InvariantCulture,
                $"digest of category {category.Key}, version {category.Version}: {rule.WindowSeconds} s from its first notification on"
            ),
            now
        );

    /// <summary>Closes a digest: decides which of its waiting notifications it contains, and why it skips the others.</summary>
    /// <param name="digest">Its event ID.</param>
    /// <param name="waiting">In order of arrival; none of them was cancelled.</param>
    public static DigestClosing Close(string digest, IEnumerable<DigestMember> waiting, DateTimeOffset now)
    {
        var told = new List<DigestMember>();
        var leftOut = new List<DigestLeftOut>();
        var events = new List<(string, object)>();
        foreach (var member in waiting)
        {
            var n = member.Notification;
            var reason =
                n.Request.ExpiresAt <= now ? Reasons.Expired
                : member.IsReadable ? null
                : Reasons.Erased;
            events.Add(
                (
                    n.Key,
                    reason switch
                    {
                        null => (object)new NotificationDigested(digest, now),
                        Reasons.Expired => new NotificationExpired([], now),
                        _ => new DeliveriesPlanned(
                            [],
                            [new LeftOutDelivery(DeterministicId.OfDelivery(n.Key, "push"), Channel.Push, null, Reasons.Erased, "key")],
                            0,
                            now
                        ),
                    }
                )
            );
            if (reason is null)
                told.Add(member);
            else
                leftOut.Add(new DigestLeftOut(n.Request.EventId, reason));
        }

        return new DigestClosing(told, leftOut, events);
    }
}
