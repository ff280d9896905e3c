namespace Notify.Tests.Dispatch;

using Notify.Delivery.DeliveryQueue;
using Notify.Dispatch.Due;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using static Notify.Tests.Domain.Some;

/// <summary>Decisions for due deliveries and notifications.</summary>
public sealed class DueDeciderTests
{
    [Theory]
    [InlineData(OpenState.Deferred, OpenState.Queued, null)]
    [InlineData(OpenState.Queued, OpenState.Queued, null)]
    [InlineData(OpenState.Unknown, OpenState.Asking, Reasons.Retry)]
    [InlineData(OpenState.Asking, OpenState.Asking, Reasons.Retry)]
    public void Due_delivery_goes_back_to_its_queue(OpenState state, OpenState queued, string? reason)
    {
        var next = DueDecider.Queue(Row(state));
        Assert.Equal((queued, null, reason), (next!.State, next.DueAt, next.Reason));
    }

    [Theory]
    [InlineData(OpenState.InFlight)]
    [InlineData(OpenState.Dead)]
    [InlineData(OpenState.Scheduled)]
    public void Delivery_that_waits_for_something_else_stays(OpenState state) => Assert.Null(DueDecider.Queue(Row(state)));

    [Fact]
    public void Scheduled_notification_is_planned_when_its_time_has_come()
    {
        var scheduled = Notify.Domain.Notifications.Notification.Fold(Key, [Requested(sendAt: Noon, expiresAt: Noon.AddMinutes(1))])!;
        Assert.Equal(PlanningStep.Wait, DueDecider.Decide(scheduled, mustWait: false, Noon.AddSeconds(-1)));
        Assert.Equal(PlanningStep.Plan, DueDecider.Decide(scheduled, mustWait: false, Noon));
        Assert.Equal(PlanningStep.Wait, DueDecider.Decide(scheduled, mustWait: true, Noon));
        Assert.Equal(PlanningStep.Expire, DueDecider.Decide(scheduled, mustWait: false, Noon.AddMinutes(1)));
    }

    [Fact]
    public void Notification_that_is_planned_withdrawn_or_unknown_is_not_planned()
    {
        Assert.Equal(PlanningStep.None, DueDecider.Decide(Notification(), mustWait: false, Noon));
        Assert.Equal(PlanningStep.None, DueDecider.Decide(null, mustWait: false, Noon));
        Assert.Equal(
            PlanningStep.None,
            DueDecider.Decide(
                Notify.Domain.Notifications.Notification.Fold(
                    Key,
                    [Requested(sendAt: Noon), new NotificationCancelled([], "c_shop", Noon)]
                ),
                mustWait: false,
                Noon
            )
        );
    }

    private static OpenDelivery Row(OpenState state) =>
        new(Sms, Key, new DeliveryQueue(Lane.Sms, Priority.Normal), state, 1, Noon, Noon, Reasons.Retry);
}
