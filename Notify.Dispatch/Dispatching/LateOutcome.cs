namespace Notify.Dispatch.Dispatching;

using Notify.Dispatch.Providers;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;

/// <summary>The consequence of an outcome whose claim was lost before it came.</summary>
public enum LateOutcome
{
    /// <summary>Nothing: the host that has the delivery now settles it, or it was settled by a commit whose answer was lost.</summary>
    Nothing,

    /// <summary>The outcome, as if the claim were still held.</summary>
    Outcome,

    /// <summary>That the provider has accepted the delivery twice.</summary>
    Duplicate,
}

/// <summary>Decides about outcomes whose claim was lost. Pure.</summary>
public static class LateOutcomes
{
    /// <summary>Decides what follows from a late outcome.</summary>
    /// <param name="delivery">The delivery now.</param>
    /// <param name="isHeldUnknown">Whether its row waits as unknown, so that no host works on it.</param>
    public static LateOutcome Decide(AttemptMade made, Delivery delivery, bool isHeldUnknown) =>
        made.Outcome switch
        {
            // A provider's acceptance is a fact, also when another host has the delivery now.
            AttemptOutcome.Accepted a => delivery.DispatchedAt is null ? LateOutcome.Outcome
            : IsTheSame(made, a, delivery) ? LateOutcome.Nothing
            : LateOutcome.Duplicate,
            // Only this host knows that the call was never made. The host that recovered the delivery had to record its outcome as unknown.
            // The number alone does not identify the attempt: a call that was not made returns it, and the next one takes it again.
            AttemptOutcome.NotSent
                when isHeldUnknown
                    && delivery.Status == DeliveryStatus.Unknown
                    && delivery.Attempts == made.Attempt
                    && delivery.AttemptedAt == made.AttemptedAt => LateOutcome.Outcome,
            _ => LateOutcome.Nothing,
        };

    // Where a repeat replaces itself, its message has the same ID at the provider; the time then distinguishes two acceptances.
    private static bool IsTheSame(AttemptMade made, AttemptOutcome.Accepted accepted, Delivery delivery) =>
        delivery.DispatchedAt == made.At
        || (
            accepted.MessageId is { } id
            && id == delivery.ProviderMessageId
            && made.Provider == delivery.Provider
            && !Lanes.RepeatReplacesItself(made.Row.Queue.Lane)
        );
}
