namespace Notify.Delivery.EventStore;

using Notify.Domain.Broadcasts;
using Notify.Domain.Categories;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;
using Notify.Domain.Routing;
using Notify.Domain.Suppressions;
using Notify.Domain.Templates;
using Notify.Domain.Topics;

/// <summary>The types of events in the store.</summary>
public static class EventTypes
{
    /// <summary>Every event there is; its type's name is its name in the store, the API and the tables.</summary>
    public static IReadOnlyList<Type> All { get; } =
    [
        typeof(NotificationRequested),
        typeof(DeliveriesPlanned),
        typeof(DeliveryDeferred),
        typeof(DeliveryReaddressed),
        typeof(CapPlaceMoved),
        typeof(DispatchAttempted),
        typeof(NotificationDispatched),
        typeof(DuplicateDispatchDetected),
        typeof(NotificationDelivered),
        typeof(NotificationFailed),
        typeof(DispatchOutcomeUnknown),
        typeof(DeliverySuppressed),
        typeof(DeliveryDeadLettered),
        typeof(DeliveryRedriven),
        typeof(NotificationCancelled),
        typeof(NotificationRescheduled),
        typeof(NotificationExpired),
        typeof(NotificationOpened),
        typeof(LinkClicked),
        typeof(Complained),
        typeof(Unsubscribed),
        typeof(NotificationCollected),
        typeof(NotificationDigested),
        typeof(DigestOpened),
        typeof(DigestClosed),
        typeof(ContactDetailsGiven),
        typeof(DeviceRegistered),
        typeof(DeviceRemoved),
        typeof(OptedIn),
        typeof(OptedOut),
        typeof(PreferenceWithdrawn),
        typeof(QuietHoursSet),
        typeof(QuietHoursWithdrawn),
        typeof(UserErased),
        typeof(AddressSuppressed),
        typeof(SuppressionLifted),
        typeof(CategoryDefined),
        typeof(TemplateDefined),
        typeof(TemplateArchived),
        typeof(LayoutDefined),
        typeof(TopicDefined),
        typeof(TopicJoined),
        typeof(TopicLeft),
        typeof(BroadcastRequested),
        typeof(BroadcastStarted),
        typeof(BroadcastPaused),
        typeof(BroadcastResumed),
        typeof(BroadcastCancelled),
        typeof(BroadcastExpired),
        typeof(BroadcastCompleted),
        typeof(ClientRegistered),
        typeof(SecretIssued),
        typeof(SecretRevoked),
        typeof(ClientDisabled),
        typeof(ClientPowersChanged),
        typeof(AccessRecorded),
        typeof(AddressOptedOut),
        typeof(AddressOptedIn),
        typeof(DataKeyRotationStarted),
        typeof(DataKeysRotated),
        typeof(PepperCarriedOver),
        typeof(PepperDropped),
        typeof(SecretRehashed),
        typeof(PersonErased),
        typeof(MasterKeyRetired),
        typeof(MasterKeyDestroyed),
        typeof(CircuitOpened),
        typeof(CircuitHalfOpened),
        typeof(CircuitClosed),
        typeof(ProviderWeightChanged),
    ];
}
