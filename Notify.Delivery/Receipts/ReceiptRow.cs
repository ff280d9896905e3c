namespace Notify.Delivery.Receipts;

using Notify.Domain.Notifications;
using Notify.Domain.Privacy;

/// <summary>
/// The notifications that a receipt may change: those of the mode whose key verified it. The numbers are stored: permanently stable.
/// </summary>
[Flags]
public enum ReceiptModes : short
{
    None = 0,

    /// <summary>A key under <c>Providers</c> verified it.</summary>
    Live = 1,

    /// <summary>A key under <c>TestProviders</c> did.</summary>
    Test = 2,
}

/// <summary>The facts of a receipt, without personal data.</summary>
/// <param name="At">The time of the reported fact by the provider's clock, or else the time of the receipt's arrival.</param>
/// <param name="Reason">Of a failure; one of <see cref="Reasons"/>.</param>
/// <param name="Code">The provider's own code.</param>
/// <param name="Suppress">Why the address must not be used any more; <c>null</c>: it may.</param>
/// <param name="Lift">Why a suppressed address may be used again.</param>
/// <param name="Fingerprint">Keyed hash of the address, where the receipt names it.</param>
public sealed record ReceiptFacts(
    DateTimeOffset At,
    string? Reason = null,
    string? Code = null,
    string? Suppress = null,
    string? Lift = null,
    string? Fingerprint = null
);

/// <summary>A row of <c>notify.receipts</c>.</summary>
/// <param name="EventId">The provider's own ID of the receipt; permanently unique with the provider.</param>
/// <param name="Notification">The stream key; <c>null</c> until it is known.</param>
/// <param name="Raw">As received, encrypted; <see cref="Sealed.None"/> where the person had been erased before.</param>
/// <param name="DueAt">When it is processed again; <c>null</c>: it is settled, or was given up.</param>
public sealed record ReceiptRow(
    string Provider,
    string EventId,
    DateTimeOffset ReceivedAt,
    ReceiptModes Modes,
    ReportKind What,
    string? MessageId,
    Guid? DeliveryId,
    string? Notification,
    ReceiptFacts Facts,
    Sealed Raw,
    DateTimeOffset? DueAt
);
