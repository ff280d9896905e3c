namespace Notify.Domain.Broadcasts;

using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;

// All events of a broadcast, in the stream b/{clientId}:{broadcastId}. The events of its notifications are in their own
// streams.

/// <summary>A client requested a notification to many users, and its request was accepted.</summary>
/// <param name="ClientId">The client that requested it.</param>
/// <param name="BroadcastId">The idempotency key that the client chose; permanently unique per client.</param>
/// <param name="Mode">Live or test; a test client's broadcasts go to the sandbox alone.</param>
/// <param name="Audience">The users that receive it, each evaluated when its notification is made.</param>
/// <param name="Channels">Requested channels; <c>null</c>: all that each person can be reached by.</param>
/// <param name="Payload">Content or a template's parameters, encrypted under the broadcast's own key.</param>
/// <param name="SendAt">When it starts; <c>null</c>: at once.</param>
/// <param name="ExpiresAt">No notification is made or sent after this time.</param>
/// <param name="RequestHash">Keyed hash of the request as received, canonicalised.</param>
/// <param name="TraceParent">W3C trace context of the accepting request.</param>
/// <param name="Template">The template of its content, where the request gave none.</param>
/// <param name="OptOutsHold">See <see cref="NotificationRequested.OptOutsHold"/>.</param>
public sealed record BroadcastRequested(
    string ClientId,
    string BroadcastId,
    ClientMode Mode,
    Audience Audience,
    string Category,
    Priority Priority,
    IReadOnlyList<Channel>? Channels,
    SealedPayload Payload,
    DateTimeOffset? SendAt,
    DateTimeOffset? ExpiresAt,
    string RequestHash,
    string? TraceParent,
    DateTimeOffset At,
    PinnedTemplate? Template = null,
    [property: System.Text.Json.Serialization.JsonIgnore(Condition = System.Text.Json.Serialization.JsonIgnoreCondition.WhenWritingDefault)]
        bool OptOutsHold = false
);

/// <summary>Its notifications are being made, one for each user, in the order of their IDs.</summary>
/// <param name="Total">How many users belonged to its audience at that time.</param>
public sealed record BroadcastStarted(long Total, DateTimeOffset At);

/// <summary>No further notifications are made until it is resumed.</summary>
/// <param name="Expanded">Notifications made so far.</param>
public sealed record BroadcastPaused(long Expanded, string By, DateTimeOffset At);

/// <summary>It goes on where it was paused.</summary>
public sealed record BroadcastResumed(string By, DateTimeOffset At);

/// <summary>No further notifications are made, permanently, and the waiting deliveries of existing ones are cancelled.</summary>
/// <param name="Expanded">Notifications made before.</param>
public sealed record BroadcastCancelled(long Expanded, string By, DateTimeOffset At);

/// <summary>Its time had passed before everybody had their turn.</summary>
/// <param name="Expanded">Notifications made before; they have the same end.</param>
public sealed record BroadcastExpired(long Expanded, DateTimeOffset At);

/// <summary>Everybody had their turn.</summary>
/// <param name="Expanded">Notifications made.</param>
public sealed record BroadcastCompleted(long Expanded, DateTimeOffset At);
