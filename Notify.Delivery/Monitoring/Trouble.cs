namespace Notify.Delivery.Monitoring;

using Notify.Domain.Channels;

/// <summary>The kind of an alert. The numbers are stored: permanently stable.</summary>
public enum TroubleKind : short
{
    /// <summary>A provider fails or does not answer.</summary>
    ProviderFailing = 0,

    /// <summary>A provider rejects our credentials or configuration.</summary>
    ProviderHalted = 1,

    /// <summary>A provider refuses messages for one reason that is not the persons'; or no provider carries a lane.</summary>
    MessagesRefused = 2,

    /// <summary>The deliveries of one lane and priority fail, while their provider as a whole does not.</summary>
    DeliveriesFailing = 3,

    /// <summary>Deliveries of one lane and priority become dead letters, while their provider as a whole does not fail.</summary>
    DeadLettering = 4,

    /// <summary>A message lies in a host's own dead letters: a bug.</summary>
    MessageFailed = 5,

    /// <summary>A read model stopped or fell behind.</summary>
    ProjectionBehind = 6,

    /// <summary>A host cannot read the streams of some notifications; the work on them is set aside.</summary>
    StreamUnreadable = 20,

    /// <summary>A host lacks a master key that is in use.</summary>
    MasterKeyMissing = 21,

    /// <summary>A master key that may still unwrap the keys of erased people was kept past its schedule.</summary>
    MasterKeyOverdue = 22,

    /// <summary>A crash or a failover of PostgreSQL loses commits.</summary>
    CommitsAtRisk = 30,

    /// <summary>A verification found faults in the store.</summary>
    VerificationFailed = 60,
}

/// <summary>An alert from its opening to its recovery: a row of <c>notify.troubles</c>. It names no person.</summary>
/// <param name="Subject">The subject of the alert; at most one alert is open per subject.</param>
/// <param name="FirstCause">The reason and the provider's code of the first failure, or the fault that was found.</param>
/// <param name="FirstFailureAt">The time of the first failure, to the precision of the counts.</param>
/// <param name="LastCallAt">The last time that anything was tried; <c>null</c> where nothing is.</param>
/// <param name="Failures">Failures since then.</param>
/// <param name="Attempts">Attempts since then, the failed ones among them.</param>
/// <param name="Counted">The part of the counts that will not change any more, and up to which bucket.</param>
/// <param name="RecoveredAt"><c>null</c> while it lasts.</param>
public sealed record Trouble(
    Guid Id,
    string Subject,
    TroubleKind Kind,
    string? Provider,
    Lane? Lane,
    Priority? Priority,
    string FirstCause,
    DateTimeOffset OpenedAt,
    DateTimeOffset FirstFailureAt,
    DateTimeOffset LastFailureAt,
    DateTimeOffset? LastCallAt,
    long Failures,
    long Attempts,
    (long Failures, long Attempts, DateTimeOffset To) Counted,
    DateTimeOffset? RecoveredAt = null
);
