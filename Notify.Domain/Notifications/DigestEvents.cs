using Notify.Domain.Digests;
using Notify.Domain.Privacy;

namespace Notify.Domain.Notifications;

// What happens to notifications that are collected, and to the digest that they are collected in: a notification like others.

/// <summary>It is not sent by itself: it waits in a digest.</summary>
/// <param name="Digest">The digest's event ID; it belongs to the same client.</param>
/// <param name="Until">When the digest closes.</param>
/// <param name="Rule">The rule that decided, and its input.</param>
public sealed record NotificationCollected(string Digest, DateTimeOffset Until, string Rule, DateTimeOffset At);

/// <summary>The digest closed with it among its members; what becomes of it is told by the digest.</summary>
/// <param name="Digest">The digest's event ID.</param>
public sealed record NotificationDigested(string Digest, DateTimeOffset At);

/// <summary>A notification was collected for whom no digest was open, and so this one was opened.</summary>
/// <param name="Person">For whom: a user's stream key, or the keyed hash of the addresses given.</param>
/// <param name="Rule">What the category said: it holds for this digest whatever is said later.</param>
/// <param name="CategoryVersion">In which version of the category's stream.</param>
public sealed record DigestOpened(string Person, DigestRule Rule, long CategoryVersion, DateTimeOffset At);

/// <summary>A digest took up what was collected in it, and takes no more.</summary>
/// <param name="Members">The event IDs of what it tells, in the order of their coming; empty: it ends here, and is not sent.</param>
/// <param name="LeftOut">What waited in it and is not told.</param>
/// <param name="Priority">The most urgent of its members'.</param>
/// <param name="Channels">Where it goes; <c>null</c>: to all that the person can be reached by.</param>
/// <param name="Template">The template that says it, as it was then.</param>
/// <param name="ExpiresAt">When the last of its members is worth nothing; <c>null</c>: one of them always is.</param>
/// <param name="Payload">What it says, sealed; <c>null</c> where it has no members.</param>
/// <param name="Fault">Where its template failed, so that plain words say it; <c>null</c>: nowhere.</param>
public sealed record DigestClosed(
    IReadOnlyList<string> Members, IReadOnlyList<DigestLeftOut> LeftOut, Priority Priority, IReadOnlyList<Channel>? Channels, PinnedTemplate? Template,
    DateTimeOffset? ExpiresAt, SealedPayload? Payload, string? Fault, DateTimeOffset At);

/// <summary>A notification that waited in a digest and is not told by it.</summary>
/// <param name="Reason">One of <see cref="Reasons"/>.</param>
public sealed record DigestLeftOut(string EventId, string Reason);
