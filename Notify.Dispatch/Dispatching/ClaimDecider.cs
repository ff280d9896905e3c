namespace Notify.Dispatch.Dispatching;

using Notify.Delivery.DeliveryQueue;
using Notify.Domain.Categories;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Domain.Recipients;

/// <summary>The next step for a delivery that is being claimed.</summary>
public enum ClaimStep
{
    /// <summary>Its row goes: it has ended, or ends with the decision's event.</summary>
    End,

    /// <summary>It is late: its place under the caps, or the person's quiet hours, are decided anew.</summary>
    Replan,

    /// <summary>It goes to its provider.</summary>
    Call,
}

/// <summary>A decision about a delivery that is being claimed.</summary>
/// <param name="Event">The event that ends it; <c>null</c>: none.</param>
public readonly record struct ClaimDecision(ClaimStep Step, object? Event = null);

/// <summary>The attempt that a claim makes.</summary>
/// <param name="Number">From 1; of an inquiry, the attempt that it is about.</param>
/// <param name="IsInquiry">Whether the provider is only asked about it.</param>
/// <param name="IsRecorded">Whether the stream has it already, because the answer to the claim's commit was lost.</param>
public readonly record struct ClaimedAttempt(int Number, bool IsInquiry, bool IsRecorded)
{
    /// <summary>Whether only the provider that was called before can be called.</summary>
    public bool IsBound => IsInquiry || IsRecorded;
}

/// <summary>Decides about deliveries that are being claimed. Pure.</summary>
public static class ClaimDecider
{
    /// <summary>Whether a delivery has ended by its stream, or is not there at all.</summary>
    public static bool HasEnded(Delivery? delivery) => delivery is null or { IsTerminal: true };

    /// <summary>Makes the last check.</summary>
    /// <param name="obstacle">The event of a delivery whose content cannot be made; <c>null</c>: it can.</param>
    /// <param name="isQuiet">Whether the person is not to be disturbed at a time.</param>
    public static ClaimDecision Decide(
        Notification notification,
        Delivery delivery,
        Recipient? recipient,
        ReachRules rules,
        string? fingerprint,
        object? obstacle,
        Func<DateTimeOffset, bool> isQuiet,
        DateTimeOffset now
    )
    {
        if (HasEnded(delivery))
            return new(ClaimStep.End);
        if (delivery.Status == DeliveryStatus.Unknown)
            return new(ClaimStep.Call);
        if ((NotificationDecider.LastCheck(notification, delivery, recipient, rules, fingerprint, now) ?? obstacle) is { } instead)
            return new(ClaimStep.End, instead);
        if (delivery.Status == DeliveryStatus.Attempting)
            return new(ClaimStep.Call);
        var category = rules.Of(notification.Request);
        return isQuiet(now) || CapDecider.IsPlacePast(delivery.Channel, category, delivery.PlaceAt, now)
            ? new(ClaimStep.Replan)
            : new(ClaimStep.Call);
    }

    /// <summary>The attempt that is made now.</summary>
    public static ClaimedAttempt AttemptOf(OpenDelivery row, Delivery delivery) =>
        delivery.Status switch
        {
            DeliveryStatus.Unknown => new(delivery.Attempts, IsInquiry: true, IsRecorded: false),
            DeliveryStatus.Attempting => new(delivery.Attempts, IsInquiry: false, IsRecorded: true),
            _ => new(Math.Max(row.Attempts, delivery.Attempts) + 1, IsInquiry: false, IsRecorded: false),
        };

    /// <summary>The event that records an attempt before its call; <c>null</c>: none, its repeat replaces itself or it is
    /// recorded.</summary>
    /// <param name="provider">The provider that is called; <c>null</c>: no provider carries the lane.</param>
    public static DispatchAttempted? Record(OpenDelivery row, ClaimedAttempt attempt, string? provider, DateTimeOffset now) =>
        attempt.IsBound || provider is null || Lanes.RepeatReplacesItself(row.Queue.Lane)
            ? null
            : new DispatchAttempted(row.Id, attempt.Number, provider, now);

    /// <summary>Until when an unknown outcome may be sent again, as the category says; <c>null</c>: it may not.</summary>
    public static DateTimeOffset? ResendBefore(Notification notification, Delivery delivery, Category category) =>
        delivery is { Status: DeliveryStatus.Unknown, WasResent: false } && category.UnknownOutcome == UnknownOutcome.Resend
            ? notification.Request.ExpiresAt ?? DateTimeOffset.MaxValue
            : null;
}
