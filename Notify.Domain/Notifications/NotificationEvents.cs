namespace Notify.Domain.Notifications;

using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;

// Everything that can happen to a notification. Facts, in the past tense, with who and when; none is ever changed.
// The names are the vocabulary of API, tables and metrics alike. `At` is the clock of the host that saw it happen.

/// <summary>A client requested a notification, and its request was accepted.</summary>
/// <param name="ClientId">The client that requested it.</param>
/// <param name="EventId">The idempotency key that the client chose; permanently unique per client.</param>
/// <param name="UserRef">The user (<see cref="Recipients.UserRef"/>); <c>null</c>: <paramref name="Payload"/> contains <c>to</c>.</param>
/// <param name="Subject">The subject whose key encrypts the payload.</param>
/// <param name="Mode">Live or test; a test client's notifications go to the sandbox alone.</param>
/// <param name="Channels">Requested channels, in order; <c>null</c>: all that the person can be reached by.</param>
/// <param name="Payload">The reference to content, <c>to</c> and metadata, which are stored encrypted in <c>notify.payloads</c>.</param>
/// <param name="RequestHash">Keyed hash of the request as received, canonicalised.</param>
/// <param name="TraceParent">W3C trace context of the accepting request.</param>
/// <param name="Template">The template of its content, where the request gave none.</param>
/// <param name="Through"><c>app:{clientId}</c>: the user's app requested it with a client token; <c>null</c>: the client itself.</param>
/// <param name="OptOutsHold">Whether opt-outs and quiet hours apply also in a required category, because the client is not permitted to
/// override them.</param>
public sealed record NotificationRequested(
    string ClientId,
    string EventId,
    [property: System.Text.Json.Serialization.JsonPropertyName("userId")] string? UserRef,
    string Subject,
    ClientMode Mode,
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
    string? Through = null,
    [property: System.Text.Json.Serialization.JsonIgnore(Condition = System.Text.Json.Serialization.JsonIgnoreCondition.WhenWritingDefault)]
        bool OptOutsHold = false
);

/// <summary>The template version that a notification was accepted with. This version is rendered, also after later changes.</summary>
/// <param name="Locale">The locale that the request named; <c>null</c>: the person's own.</param>
/// <param name="Channels">Those that the version has texts for.</param>
/// <param name="Layouts">Those that emails are set into, from the inside out.</param>
public sealed record PinnedTemplate(
    string Key,
    int Version,
    string? Locale,
    IReadOnlyList<Channel> Channels,
    IReadOnlyList<PinnedLayout> Layouts
);

/// <summary>A layout as a notification was accepted with.</summary>
public sealed record PinnedLayout(string Key, int Version);

/// <summary>It was decided how the person will be reached, and how not, with the reasons.</summary>
/// <param name="Deliveries">Each will end in exactly one outcome.</param>
/// <param name="LeftOut">Considered and not tried.</param>
/// <param name="RecipientVersion">Version of the recipient's stream that was decided upon; 0: unregistered or unknown.</param>
/// <param name="CategoryVersion">Version of the category's stream that was decided upon; 0: nobody has defined it.</param>
/// <param name="Locale">The locale that a template is rendered in, as far as it has it; <c>null</c>: its default.</param>
public sealed record DeliveriesPlanned(
    IReadOnlyList<PlannedDelivery> Deliveries,
    IReadOnlyList<LeftOutDelivery> LeftOut,
    long RecipientVersion,
    DateTimeOffset At,
    long CategoryVersion = 0,
    string? Locale = null
);

/// <summary>One contact point that will be tried.</summary>
/// <param name="Id">Follows from the notification and the contact point; see <see cref="DeterministicId"/>.</param>
/// <param name="DeviceId">The registered device, for push.</param>
/// <param name="Address">Token, number or address, encrypted.</param>
/// <param name="Rule">The rule that passed over the person's no; <c>null</c>: there was none.</param>
/// <param name="App">The app that the device names; <c>null</c>: none.</param>
public sealed record PlannedDelivery(Guid Id, Lane Lane, string? DeviceId, Sealed Address, string? Rule = null, DeviceApp? App = null);

/// <summary>One contact point or channel that will not be tried.</summary>
/// <param name="Reason">One of <see cref="Reasons"/>.</param>
/// <param name="Rule">The rule that decided, and its input.</param>
public sealed record LeftOutDelivery(Guid Id, Channel Channel, string? DeviceId, string Reason, string Rule);

/// <summary>A delivery waits until a later time.</summary>
/// <param name="DeliveryId"><c>null</c>: the whole notification, before it is planned.</param>
/// <param name="Attempt">Attempts made so far.</param>
/// <param name="ProviderCode">The provider's own code.</param>
/// <param name="Rule">The rule that put it off, and its input; <c>null</c> where an attempt's outcome did.</param>
public sealed record DeliveryDeferred(
    Guid? DeliveryId,
    DateTimeOffset Until,
    string Reason,
    int Attempt,
    string? Provider,
    string? ProviderCode,
    DateTimeOffset At,
    string? Rule = null
);

/// <summary>The user's number or address changed before the delivery went out: it goes to the new one.</summary>
/// <param name="Address">The new number or address, encrypted.</param>
/// <param name="RecipientVersion">Version of the recipient's stream that it was taken from.</param>
public sealed record DeliveryReaddressed(Guid DeliveryId, Sealed Address, long RecipientVersion, DateTimeOffset At);

/// <summary>A delivery goes out after the window that it was planned for, and took its place under its category's caps in the present
/// one.</summary>
/// <param name="Rule">The caps, and when it was to go out.</param>
public sealed record CapPlaceMoved(Guid DeliveryId, string Rule, DateTimeOffset At);

/// <summary>A provider is about to be called for a delivery that must not reach the person twice; committed before the call.</summary>
public sealed record DispatchAttempted(Guid DeliveryId, int Attempt, string Provider, DateTimeOffset At);

/// <summary>A provider accepted the delivery.</summary>
/// <param name="LatencyMs">Milliseconds from call to answer.</param>
/// <param name="ContentHash">Keyed hash of what was sent.</param>
/// <param name="Segments">Parts of an SMS, each of which is paid for; <c>null</c> elsewhere.</param>
/// <param name="Receipt">Where a receipt said so and no answer to the call: its ID, under which it is kept as it came.</param>
/// <param name="RefusedParts">Parts of an SMS that the provider refused while it took others; <c>null</c>: it took all.</param>
public sealed record NotificationDispatched(
    Guid DeliveryId,
    int Attempt,
    string Provider,
    string? ProviderMessageId,
    int LatencyMs,
    string? ContentHash,
    DateTimeOffset At,
    string? Receipt = null,
    int? Segments = null,
    int? RefusedParts = null
);

/// <summary>
/// A provider accepted a delivery that was already sent, by another attempt: a host went on whose deliveries had been taken
/// over.
/// </summary>
/// <remarks>It changes nothing about the delivery. Where a repeat does not replace itself, the person has it twice.</remarks>
/// <param name="ProviderMessageId">The provider's ID of the second message.</param>
public sealed record DuplicateDispatchDetected(Guid DeliveryId, int Attempt, string Provider, string? ProviderMessageId, DateTimeOffset At);

/// <summary>A provider or the app reported that the person's device has it.</summary>
/// <param name="Receipt">The receipt's ID, where a provider said so.</param>
public sealed record NotificationDelivered(Guid DeliveryId, string Source, DateTimeOffset At, string? Receipt = null);

/// <summary>A delivery failed permanently.</summary>
/// <param name="Reason">Normalised; one of <see cref="Reasons"/>.</param>
/// <param name="ProviderCode">The provider's own code, never its text, which may contain an address.</param>
/// <param name="Receipt">Where a receipt said so after the provider had accepted: its ID.</param>
public sealed record NotificationFailed(
    Guid DeliveryId,
    int Attempt,
    string Reason,
    string? Provider,
    string? ProviderCode,
    DateTimeOffset At,
    string? Receipt = null
);

/// <summary>It is not known whether the provider accepted; nothing is repeated until that is found out or the deadline has
/// passed.</summary>
public sealed record DispatchOutcomeUnknown(
    Guid DeliveryId,
    int Attempt,
    string Provider,
    string Reason,
    DateTimeOffset Deadline,
    DateTimeOffset At
);

/// <summary>A planned delivery was skipped at the last check before the call.</summary>
public sealed record DeliverySuppressed(Guid DeliveryId, string Reason, string Rule, DateTimeOffset At);

/// <summary>A delivery used up its attempts and waits for a person to decide.</summary>
public sealed record DeliveryDeadLettered(
    Guid DeliveryId,
    int Attempts,
    string Reason,
    string? Provider,
    string? ProviderCode,
    DateTimeOffset At
);

/// <summary>Someone sent a dead-lettered delivery on its way again.</summary>
public sealed record DeliveryRedriven(Guid DeliveryId, string Reason, string By, DateTimeOffset At);

/// <summary>The client cancelled the deliveries that were not yet in flight.</summary>
/// <param name="Deliveries">The cancelled deliveries; empty where none had been planned yet.</param>
public sealed record NotificationCancelled(IReadOnlyList<Guid> Deliveries, string By, DateTimeOffset At);

/// <summary>The client chose another time for a notification that was not yet due.</summary>
public sealed record NotificationRescheduled(DateTimeOffset SendAt, string By, DateTimeOffset At);

/// <summary>The notification expired before these deliveries were made.</summary>
/// <param name="Deliveries">The expired deliveries; empty where none had been planned yet.</param>
public sealed record NotificationExpired(IReadOnlyList<Guid> Deliveries, DateTimeOffset At);

/// <summary>The person opened it: the first time per delivery.</summary>
/// <param name="Receipt">The receipt's ID, where a provider said so.</param>
public sealed record NotificationOpened(Guid DeliveryId, string Source, DateTimeOffset At, string? Receipt = null);

/// <summary>The person followed a link of it: the first time per delivery and link.</summary>
/// <param name="Link">The number of the delivery's link, from 0.</param>
/// <param name="Source">The provider or component that reported it.</param>
public sealed record LinkClicked(Guid DeliveryId, int Link, string Source, DateTimeOffset At);

/// <summary>The person marked it as unwanted in their mail program: the first time per delivery.</summary>
/// <param name="Receipt">The receipt's ID, where a provider reported it.</param>
public sealed record Complained(Guid DeliveryId, string Source, DateTimeOffset At, string? Receipt = null);

/// <summary>The person wants no more emails of this category, and said so in this one: the first time per delivery.</summary>
/// <param name="Source">How: one of <see cref="UnsubscribeSources"/>, or the provider that says so.</param>
/// <param name="Receipt">The receipt's ID, where a provider said so.</param>
public sealed record Unsubscribed(Guid DeliveryId, string Source, DateTimeOffset At, string? Receipt = null);
