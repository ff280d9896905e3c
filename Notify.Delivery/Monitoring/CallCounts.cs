namespace Notify.Delivery.Monitoring;

using Notify.Domain.Channels;
using Notify.Domain.Notifications;

/// <summary>The outcome of a provider call, as a measure of the provider. The numbers are stored: permanently stable.</summary>
public enum CallOutcome : short
{
    /// <summary>It answered as it should: it accepted, or reported that the address is invalid or the person opted out.</summary>
    Answered = 0,

    /// <summary>It failed, did not answer in time, or the connection broke.</summary>
    Failed = 1,

    /// <summary>It refuses our credentials or configuration.</summary>
    Halted = 2,

    /// <summary>
    /// It rejects the message permanently, for a reason that is ours and not the person's; or no provider carries the lane.
    /// </summary>
    Refused = 3,

    /// <summary>No call: a delivery used up its attempts.</summary>
    DeadLettered = 4,
}

/// <summary>Calls of one bucket of time that came to the same end, over all hosts.</summary>
/// <param name="Bucket">Start of the bucket.</param>
/// <param name="Provider">Its name; <c>none</c> where no provider carries the lane.</param>
/// <param name="Reason">One of <see cref="Reasons"/>; empty for <see cref="CallOutcome.Answered"/>.</param>
/// <param name="Code">The provider's own code, the last one seen.</param>
public sealed record CallCounts(
    DateTimeOffset Bucket,
    string Provider,
    DeliveryQueue Queue,
    CallOutcome Outcome,
    string Reason,
    string? Code,
    long Calls
)
{
    /// <summary>The provider's name where there is none.</summary>
    public const string NoProvider = "none";
}
