namespace Notify.Tests.Dispatch;

using Notify.Delivery.DeliveryQueue;
using Notify.Dispatch.Due;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using static Notify.Tests.Domain.Some;

/// <summary>Deliveries whose host has failed.</summary>
public sealed class TakeoverDeciderTests
{
    private static readonly RetrySchedule Schedule = new();
    private static readonly DispatchAttempted Attempted = new(Sms, 2, "twilio", Noon);
    private static readonly DispatchOutcomeUnknown Unknown = new(Sms, 2, "twilio", Reasons.TimedOut, Noon.AddMinutes(15), Noon);

    [Fact]
    public void Recorded_attempt_of_failed_host_is_unknown_and_asked_about()
    {
        var (e, next) = Decide(Sms, Attempted);
        Assert.Equal(new DispatchOutcomeUnknown(Sms, 2, "twilio", Reasons.HostLost, Noon + Schedule.UnknownDeadline, Noon), e);
        Assert.Equal(
            (OpenState.Unknown, Noon + Schedule.AskAfter, 2, Reasons.HostLost),
            (next!.State, next.DueAt, next.Attempts, next.Reason)
        );
    }

    [Fact]
    public void Inquiry_of_failed_host_is_made_again_at_once()
    {
        var (e, next) = Decide(Sms, Attempted, Unknown);
        Assert.Null(e);
        Assert.Equal((OpenState.Unknown, Noon), (next!.State, next.DueAt));
    }

    [Fact]
    public void Push_of_failed_host_is_sent_again()
    {
        var (e, next) = Decide(Push);
        Assert.Null(e);
        Assert.Equal((OpenState.Deferred, Noon, 1), (next!.State, next.DueAt, next.Attempts));
    }

    [Fact]
    public void Delivery_that_has_ended_meanwhile_leaves_the_table() =>
        Assert.Equal((null, null), Decide(Push, new NotificationDelivered(Push, "app", Noon)));

    private static (object?, OpenDelivery?) Decide(Guid id, params object[] since)
    {
        var row = new OpenDelivery(
            id,
            Key,
            new DeliveryQueue(id == Sms ? Lane.Sms : Lane.Apns, Priority.Normal),
            OpenState.InFlight,
            1,
            Noon,
            null
        );
        var (e, next) = TakeoverDecider.Decide(row, Notification(since).Deliveries[id], Schedule, Noon);
        return (e, next);
    }
}
