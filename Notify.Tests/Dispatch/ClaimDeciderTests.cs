namespace Notify.Tests.Dispatch;

using Notify.Delivery.DeliveryQueue;
using Notify.Dispatch.Dispatching;
using Notify.Domain.Categories;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Recipients;
using static Notify.Tests.Domain.Some;

/// <summary>The last check of a claim, and the attempt that it makes.</summary>
public sealed class ClaimDeciderTests
{
    private static readonly DispatchAttempted Attempted = new(Sms, 1, "twilio", Noon);
    private static readonly DispatchOutcomeUnknown Unknown = new(Sms, 1, "twilio", Reasons.TimedOut, Noon.AddMinutes(15), Noon);
    private static readonly DeliverySuppressed Unreadable = new(Sms, Reasons.Unreadable, "key", Noon);
    private static readonly OptedOut OptedOut = new(Channel.Sms, null, "recipient", "api", Noon);

    [Fact]
    public void Waiting_delivery_is_called() => Assert.Equal(new ClaimDecision(ClaimStep.Call), Decide([]));

    [Fact]
    public void Ended_delivery_only_leaves_the_table() =>
        Assert.Equal(new ClaimDecision(ClaimStep.End), Decide([new NotificationDelivered(Sms, "twilio", Noon)]));

    [Fact]
    public void Last_check_ends_the_delivery() =>
        Assert.Equal(Reasons.OptedOut, Assert.IsType<DeliverySuppressed>(Decide([], recipient: Recipient(OptedOut)).Event).Reason);

    [Fact]
    public void Content_that_cannot_be_made_ends_the_delivery() =>
        Assert.Equal(new ClaimDecision(ClaimStep.End, Unreadable), Decide([], obstacle: Unreadable));

    [Fact]
    public void Unknown_outcome_is_asked_about_whatever_the_person_says_now() =>
        Assert.Equal(new ClaimDecision(ClaimStep.Call), Decide([Attempted, Unknown], Recipient(OptedOut), Unreadable, isQuiet: true));

    [Fact]
    public void Quiet_hours_are_decided_anew_unless_the_attempt_is_recorded()
    {
        Assert.Equal(ClaimStep.Replan, Decide([], isQuiet: true).Step);
        Assert.Equal(ClaimStep.Call, Decide([Attempted], isQuiet: true).Step);
    }

    [Fact]
    public void Attempt_is_recorded_once_before_its_call()
    {
        var first = ClaimDecider.AttemptOf(Row(), Delivery());
        Assert.Equal((new ClaimedAttempt(1, false, false), false), (first, first.IsBound));
        Assert.Equal(Attempted, ClaimDecider.Record(Row(), first, "twilio", Noon));

        var again = ClaimDecider.AttemptOf(Row(), Delivery(Attempted));
        Assert.Equal((new ClaimedAttempt(1, false, true), true), (again, again.IsBound));
        Assert.Null(ClaimDecider.Record(Row(), again, "twilio", Noon));
    }

    [Fact]
    public void Inquiry_is_no_attempt()
    {
        var inquiry = ClaimDecider.AttemptOf(Row(), Delivery(Attempted, Unknown));
        Assert.Equal((new ClaimedAttempt(1, true, false), true), (inquiry, inquiry.IsBound));
        Assert.Null(ClaimDecider.Record(Row(), inquiry, "twilio", Noon));
    }

    [Fact]
    public void Push_is_not_recorded_and_counts_by_its_row()
    {
        var row = Row() with { Id = Push, Queue = new DeliveryQueue(Lane.Apns, Priority.Normal), Attempts = 3 };
        var attempt = ClaimDecider.AttemptOf(row, Notification().Deliveries[Push]);
        Assert.Equal(4, attempt.Number);
        Assert.Null(ClaimDecider.Record(row, attempt, "apns", Noon));
    }

    [Theory]
    [InlineData(UnknownOutcome.Resend, true)]
    [InlineData(UnknownOutcome.Hold, false)]
    public void Unknown_outcome_is_sent_again_once_where_the_category_says_so(UnknownOutcome says, bool resends)
    {
        var (n, category) = (Notification(Attempted, Unknown), Category(unknownOutcome: says));
        Assert.Equal(resends ? DateTimeOffset.MaxValue : null, ClaimDecider.ResendBefore(n, n.Deliveries[Sms], category));
        var resent = Notification(
            Attempted,
            Unknown,
            new DeliveryDeferred(Sms, Noon, Reasons.ResentByPolicy, 1, "twilio", null, Noon),
            Attempted with
            {
                Attempt = 2,
            },
            Unknown with
            {
                Attempt = 2,
            }
        );
        Assert.Null(ClaimDecider.ResendBefore(resent, resent.Deliveries[Sms], category));
    }

    private static ClaimDecision Decide(object[] since, Recipient? recipient = null, object? obstacle = null, bool isQuiet = false)
    {
        var n = Notification(since);
        return ClaimDecider.Decide(n, n.Deliveries[Sms], recipient ?? Recipient(), Rules(), "phone-print", obstacle, _ => isQuiet, Noon);
    }

    private static Delivery Delivery(params object[] since) => Notification(since).Deliveries[Sms];

    private static OpenDelivery Row() => new(Sms, Key, new DeliveryQueue(Lane.Sms, Priority.Normal), OpenState.InFlight, 0, Noon, null);
}
