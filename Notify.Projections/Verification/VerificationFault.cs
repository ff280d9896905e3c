namespace Notify.Projections.Verification;

using System.Text.Json.Serialization;

/// <summary>The kinds of faults that a verification finds. The names are stored: stable permanently.</summary>
public enum VerificationFaultKind
{
    /// <summary>An event ID was accepted and its stream is missing.</summary>
    StreamMissing,

    /// <summary>A stream has no row among the event IDs, so the same event ID could be accepted again.</summary>
    EventIdMissing,

    /// <summary>A stream cannot be read.</summary>
    Unreadable,

    /// <summary>A notification is not planned, and nothing plans it.</summary>
    NotPlanned,

    /// <summary>A delivery is open in its stream, and nothing goes on with it.</summary>
    DeliveryLost,

    /// <summary>The payload of a notification that is still to be sent is missing or differs.</summary>
    PayloadMissing,

    /// <summary>A row of work does not agree with its stream.</summary>
    RowDiffers,

    /// <summary>A row of work has no stream.</summary>
    RowWithoutStream,

    /// <summary>A digest and its members do not agree.</summary>
    DigestDiffers,

    /// <summary>An SMS or email was accepted by providers more than once.</summary>
    DoubleSend,

    /// <summary>A delivery is in flight without a living host.</summary>
    ClaimOverdue,

    /// <summary>An unknown outcome is past its deadline.</summary>
    UnknownOverdue,

    /// <summary>A delivery was suppressed or has expired, and its cause does not exist.</summary>
    WithoutCause,

    /// <summary>A suppression's row does not agree with its stream.</summary>
    SuppressionDiffers,

    /// <summary>A broadcast is running, and nothing carries it on.</summary>
    BroadcastLost,

    /// <summary>A broadcast's counts and its notifications do not agree.</summary>
    BroadcastIncomplete,

    /// <summary>A stream lacks events between its first and its last version.</summary>
    VersionGap,

    /// <summary>A document that is folded from a stream does not agree with it.</summary>
    SnapshotDiffers,
}

/// <summary>A fault that a verification found.</summary>
/// <param name="Kind">The kind of fault.</param>
/// <param name="Stream">The stream key.</param>
/// <param name="DeliveryId">The delivery; <c>null</c>: the fault is of the stream as a whole.</param>
/// <param name="What">Describes the fault. Names no person.</param>
public sealed record VerificationFault(VerificationFaultKind Kind, string Stream, Guid? DeliveryId, string What)
{
    /// <summary>The next step of an operator.</summary>
    public string WhatToDo =>
        Kind switch
        {
            VerificationFaultKind.StreamMissing =>
                "restore the stream from a backup; or delete its row of notify.event_ids, and let the client request it again",
            VerificationFaultKind.EventIdMissing =>
                "insert the row of notify.event_ids again, with the requestHash of the stream's first event",
            VerificationFaultKind.Unreadable =>
                "run verify of the newest installed version; if it fails too, look at the stream's rows of events.mt_events",
            VerificationFaultKind.NotPlanned => "cancel the notification and request it under another event ID",
            VerificationFaultKind.PayloadMissing =>
                "restore the row of notify.payloads from a backup; or cancel the notification and request it under another event ID",
            VerificationFaultKind.DeliveryLost =>
                "cancel the notification and request it under another event ID, after a check at the provider",
            VerificationFaultKind.RowDiffers or VerificationFaultKind.RowWithoutStream =>
                "verify again; if it stays, delete the row of notify.open_deliveries (notify.digest_items) and report it",
            VerificationFaultKind.DigestDiffers =>
                "look at the digest's stream and at notify.digest_items; request again what no digest reports",
            VerificationFaultKind.DoubleSend => "look up both messages at the provider; the person may have received two",
            VerificationFaultKind.ClaimOverdue =>
                "see that a Dispatch host runs and recovers failed hosts' deliveries; look for errors in its log",
            VerificationFaultKind.UnknownOverdue => "see that a Dispatch host runs; look for errors in its log",
            VerificationFaultKind.WithoutCause =>
                "see that every host has every master key and the same version; if they have, an encrypted value was changed "
                    + "or moved in the "
                    + "database: find out by whom; then request the notification under another event ID",
            VerificationFaultKind.SuppressionDiffers =>
                "lift the suppression (DELETE /v1/suppressions/{id}) or set it again, so that row and stream agree",
            VerificationFaultKind.VersionGap =>
                "find out who deleted events in the database, and restore them from a backup; what follows from this stream is not proven",
            VerificationFaultKind.SnapshotDiffers => "find out who edited the database; then write it anew from its stream: "
                + $"rebuild snapshots {Stream}",
            VerificationFaultKind.BroadcastLost => "see that a Dispatch host runs; pause and resume the broadcast",
            _ => "compare the broadcast's audience with its notifications, and send to those who are missing",
        };

    /// <summary>The fault in one line.</summary>
    public override string ToString() => $"{Stream}{(DeliveryId is { } id ? $" {id}" : "")}: {What}. To do: {WhatToDo}.";
}

/// <summary>The counts of a verification.</summary>
/// <param name="Notifications">Notifications that were checked.</param>
/// <param name="Waiting">Those without deliveries of their own: scheduled, collected, or cancelled or expired before.</param>
/// <param name="Digested">Those of them that a digest has reported.</param>
/// <param name="Deliveries">Planned and skipped deliveries.</param>
/// <param name="Terminal">Deliveries that have ended.</param>
/// <param name="InFlight">Deliveries that wait or are being attempted.</param>
/// <param name="Unknown">Deliveries that a provider may or may not have accepted.</param>
/// <param name="DeadLetters">Terminal deliveries that wait for an operator.</param>
/// <param name="DoubleSends">SMS and emails that providers accepted more than once, with and without leave.</param>
/// <param name="AllowedRepeats">Those of them that a category's policy or an operator asked for.</param>
/// <param name="Broadcasts">Broadcasts that were checked.</param>
/// <param name="Suppressions">Suppressions that were checked.</param>
/// <param name="Faults">All faults, also those that are not listed.</param>
/// <param name="Snapshots">Documents of clients, users, templates, layouts, categories, topics and accesses that were compared.</param>
public sealed record VerificationCounts(
    long Notifications = 0,
    long Waiting = 0,
    long Digested = 0,
    long Deliveries = 0,
    long Terminal = 0,
    long InFlight = 0,
    long Unknown = 0,
    long DeadLetters = 0,
    long DoubleSends = 0,
    long AllowedRepeats = 0,
    long Broadcasts = 0,
    long Suppressions = 0,
    long Faults = 0,
    long Snapshots = 0
)
{
    /// <summary>Whether every delivery is exactly one of terminal, in flight and unknown.</summary>
    [JsonIgnore]
    public bool Agree => Deliveries == Terminal + InFlight + Unknown;

    /// <summary>Adds the counts of a page.</summary>
    public static VerificationCounts operator +(VerificationCounts a, VerificationCounts b) =>
        new(
            a.Notifications + b.Notifications,
            a.Waiting + b.Waiting,
            a.Digested + b.Digested,
            a.Deliveries + b.Deliveries,
            a.Terminal + b.Terminal,
            a.InFlight + b.InFlight,
            a.Unknown + b.Unknown,
            a.DeadLetters + b.DeadLetters,
            a.DoubleSends + b.DoubleSends,
            a.AllowedRepeats + b.AllowedRepeats,
            a.Broadcasts + b.Broadcasts,
            a.Suppressions + b.Suppressions,
            a.Faults + b.Faults,
            a.Snapshots + b.Snapshots
        );

    /// <summary>Adds the counts of a page.</summary>
    public static VerificationCounts Add(VerificationCounts left, VerificationCounts right) => left + right;
}

/// <summary>The result of a verification.</summary>
/// <param name="Since">The event sequence from which on streams were checked; 0: all.</param>
/// <param name="Position">The event sequence up to which the store was checked.</param>
/// <param name="Faults">The first faults; <see cref="VerificationCounts.Faults"/> counts all.</param>
/// <param name="LargestPage">The largest number of streams that was in memory at once.</param>
public sealed record VerificationResult(
    long Since,
    long Position,
    VerificationCounts Counts,
    IReadOnlyList<VerificationFault> Faults,
    int LargestPage
);
