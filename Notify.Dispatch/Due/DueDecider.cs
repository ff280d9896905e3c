namespace Notify.Dispatch.Due;

using Notify.Delivery.DeliveryQueue;
using Notify.Domain.Notifications;

/// <summary>The next step for a notification whose time to be planned has come.</summary>
public enum PlanningStep
{
    /// <summary>None: it is planned already, withdrawn, or in a digest.</summary>
    None,

    /// <summary>It waits longer: it was rescheduled.</summary>
    Wait,

    /// <summary>It expired before it was planned.</summary>
    Expire,

    /// <summary>It is planned now.</summary>
    Plan,
}

/// <summary>Decides about what is due. Pure.</summary>
public static class DueDecider
{
    /// <summary>A due delivery, back in its queue to be sent or asked about; <c>null</c> for what waits for neither.</summary>
    public static OpenDelivery? Queue(OpenDelivery row) =>
        row.State switch
        {
            OpenState.Deferred or OpenState.Queued => row with { State = OpenState.Queued, DueAt = null, Reason = null },
            OpenState.Unknown or OpenState.Asking => row with { State = OpenState.Asking, DueAt = null },
            _ => null,
        };

    /// <summary>Decides about a scheduled notification that is due.</summary>
    /// <param name="mustWait">Whether something else than its time keeps it from being planned.</param>
    public static PlanningStep Decide(Notification? notification, bool mustWait, DateTimeOffset now) =>
        notification switch
        {
            not { IsToBePlanned: true } => PlanningStep.None,
            _ when mustWait || notification.SendAt > now => PlanningStep.Wait,
            _ when notification.Request.ExpiresAt <= now => PlanningStep.Expire,
            _ => PlanningStep.Plan,
        };
}
