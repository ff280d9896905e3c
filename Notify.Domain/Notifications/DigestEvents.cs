namespace Notify.Domain.Notifications;

using Notify.Domain.Categories;
using Notify.Domain.Channels;
using Notify.Domain.Privacy;

// Events of collected notifications and of their digest, which is a notification too.

/// <summary>The notification waits in a digest instead of being sent by itself.</summary>
/// <param name="Digest">The digest's event ID; it belongs to the same client.</param>
/// <param name="Until">When the digest closes.</param>
/// <param name="Rule">The rule that decided, and its input.</param>
public sealed record NotificationCollected(string Digest, DateTimeOffset Until, string Rule, DateTimeOffset At);

/// <summary>The digest closed with it among its members; the digest has its outcome.</summary>
/// <param name="Digest">The digest's event ID.</param>
public sealed record NotificationDigested(string Digest, DateTimeOffset At);

/// <summary>This digest was opened for a notification of a person without an open digest.</summary>
/// <param name="Person">A user's stream key, or the keyed hash of the addresses given.</param>
/// <param name="Rule">The category's rule; it applies to this digest also when the category changes later.</param>
/// <param name="CategoryVersion">The version of the category's stream that the rule was read from.</param>
public sealed record DigestOpened(string Person, DigestRule Rule, long CategoryVersion, DateTimeOffset At);

/// <summary>A digest was composed from its notifications and accepts no more.</summary>
/// <param name="Members">The event IDs of its members, in order of arrival; empty: it ends here, and is not sent.</param>
/// <param name="LeftOut">The notifications that waited in it and are skipped.</param>
/// <param name="Priority">The most urgent of its members'.</param>
/// <param name="Channels">Its channels; <c>null</c>: all that the person can be reached by.</param>
/// <param name="Template">The template of its content, as it was then.</param>
/// <param name="ExpiresAt">When the last of its members expires; <c>null</c>: one of them never does.</param>
/// <param name="Payload">Its content, encrypted; <c>null</c> where it has no members.</param>
/// <param name="Fault">Where its template failed, so that the plain text replaces it; <c>null</c>: no fault.</param>
public sealed record DigestClosed(
    IReadOnlyList<string> Members,
    IReadOnlyList<DigestLeftOut> LeftOut,
    Priority Priority,
    IReadOnlyList<Channel>? Channels,
    PinnedTemplate? Template,
    DateTimeOffset? ExpiresAt,
    SealedPayload? Payload,
    string? Fault,
    DateTimeOffset At
);

/// <summary>A notification that waited in a digest and is not part of it.</summary>
/// <param name="Reason">One of <see cref="Reasons"/>.</param>
public sealed record DigestLeftOut(string EventId, string Reason);
