namespace Notify.Tests.Dispatch;

using Notify.Delivery.DeliveryQueue;
using Notify.Dispatch.Dispatching;
using Notify.Dispatch.Providers;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using static Notify.Tests.Domain.Some;

/// <summary>Outcomes that come when another host has the delivery.</summary>
public sealed class LateOutcomesTests
{
    private static readonly DispatchAttempted Attempted = new(Sms, 1, "twilio", Noon);
    private static readonly DeliveryDeferred Freed = new(Sms, Noon, Reasons.NotAtProvider, 1, "twilio", null, Noon);
    private static readonly DispatchOutcomeUnknown Unknown = new(Sms, 1, "twilio", Reasons.HostLost, Noon.AddMinutes(15), Noon);

    [Fact]
    public void Acceptance_of_a_delivery_that_nobody_has_sent_is_its_outcome() =>
        Assert.Equal(LateOutcome.Outcome, Decide(new AttemptOutcome.Accepted("SM1"), [Attempted, Unknown]));

    [Fact]
    public void Acceptance_that_is_written_already_is_ignored() =>
        Assert.Equal(
            LateOutcome.Nothing,
            Decide(
                new AttemptOutcome.Accepted("SM1"),
                [Attempted, new NotificationDispatched(Sms, 1, "twilio", "SM1", 0, null, Noon.AddSeconds(9), "SM1:sent")]
            )
        );

    [Fact]
    public void Acceptance_of_a_delivery_that_another_host_has_sent_is_a_duplicate() =>
        Assert.Equal(
            LateOutcome.Duplicate,
            Decide(
                new AttemptOutcome.Accepted("SM1"),
                [
                    Attempted,
                    Unknown,
                    new DispatchAttempted(Sms, 2, "twilio", Noon),
                    new NotificationDispatched(Sms, 2, "twilio", "SM2", 9, null, Noon.AddSeconds(9)),
                ]
            )
        );

    [Theory]
    [InlineData(0, LateOutcome.Nothing)]
    [InlineData(9, LateOutcome.Duplicate)]
    public void Pushes_have_one_ID_at_their_provider_and_are_told_apart_by_time(int seconds, LateOutcome expected) =>
        Assert.Equal(
            expected,
            Decide(
                new AttemptOutcome.Accepted("same"),
                [new NotificationDispatched(Push, 1, "apns", "same", 9, null, Noon.AddSeconds(seconds))],
                Lane.Apns,
                "apns"
            )
        );

    [Fact]
    public void Call_that_was_not_made_ends_an_unknown_outcome_that_nobody_works_on()
    {
        Assert.Equal(LateOutcome.Outcome, Decide(new AttemptOutcome.NotSent("lease ended"), [Attempted, Unknown], isHeldUnknown: true));
        Assert.Equal(LateOutcome.Nothing, Decide(new AttemptOutcome.NotSent("lease ended"), [Attempted, Unknown], isHeldUnknown: false));
        Assert.Equal(
            LateOutcome.Nothing,
            Decide(
                new AttemptOutcome.NotSent("lease ended"),
                [Attempted, Unknown, Freed, new DispatchAttempted(Sms, 2, "twilio", Noon), Unknown with { Attempt = 2 }],
                isHeldUnknown: true
            )
        );
    }

    // The commit that gave the attempt back was made, its answer was lost, and it is written again; another host has sent meanwhile.
    [Fact]
    public void Call_that_was_not_made_says_nothing_about_a_later_attempt_of_its_number()
    {
        var (back, again) = (new DeliveryDeferred(Sms, Noon, Reasons.CallNotMade, 0, "twilio", null, Noon), Noon.AddSeconds(1));
        object[] since = [Attempted, back, Attempted with { At = again }, Unknown with { At = again }];

        Assert.Equal(LateOutcome.Nothing, Decide(new AttemptOutcome.NotSent("lease ended"), since, isHeldUnknown: true));
    }

    [Fact]
    public void Failure_is_left_to_the_host_that_has_the_delivery() =>
        Assert.Equal(
            LateOutcome.Nothing,
            Decide(new AttemptOutcome.Rejected(Reasons.BadAddress, "21211"), [Attempted, Unknown], isHeldUnknown: true)
        );

    [Fact]
    public void Duplicate_changes_nothing_about_its_delivery()
    {
        var dispatched = Notification(Attempted, new NotificationDispatched(Sms, 1, "twilio", "SM1", 9, null, Noon));
        Assert.Equal(
            dispatched,
            Notify.Domain.Notifications.Notification.Evolve(dispatched, Key, new DuplicateDispatchDetected(Sms, 2, "twilio", "SM2", Noon))
        );
    }

    [Fact]
    public void Call_that_was_not_made_is_no_attempt_and_its_round_goes_on()
    {
        var failedOver = Notification(
            Attempted,
            new DeliveryDeferred(Sms, Noon, Reasons.FailedOver, 1, "twilio", "503", Noon),
            new DispatchAttempted(Sms, 2, "vonage", Noon)
        );
        var made = Made(new AttemptOutcome.NotSent("lease ended"), Lane.Sms, "vonage") with { Attempt = 2 };

        var (e, next) = OutcomeDecider.Decide(made, new RetrySchedule(), Noon, 0);

        var back = Notify.Domain.Notifications.Notification.Evolve(failedOver, Key, e!)!.Deliveries[Sms];
        Assert.Equal((DeliveryStatus.Deferred, 1, Reasons.CallNotMade), (back.Status, back.Attempts, back.Reason));
        Assert.Equal(["twilio"], back.Tried);
        Assert.Equal((OpenState.Deferred, 1, Noon), (next!.State, next.Attempts, next.DueAt));
    }

    [Fact]
    public void Push_that_was_not_sent_goes_back_without_an_event()
    {
        var (e, next) = OutcomeDecider.Decide(Made(new AttemptOutcome.NotSent("expired"), Lane.Apns, "apns"), new RetrySchedule(), Noon, 0);
        Assert.Null(e);
        Assert.Equal((OpenState.Deferred, 0, Noon), (next!.State, next.Attempts, next.DueAt));
    }

    private static LateOutcome Decide(
        AttemptOutcome outcome,
        object[] since,
        Lane lane = Lane.Sms,
        string provider = "twilio",
        bool isHeldUnknown = false
    ) => LateOutcomes.Decide(Made(outcome, lane, provider), Notification(since).Deliveries[lane == Lane.Sms ? Sms : Push], isHeldUnknown);

    private static AttemptMade Made(AttemptOutcome outcome, Lane lane, string provider) =>
        new(
            new OpenDelivery(
                lane == Lane.Sms ? Sms : Push,
                Key,
                new DeliveryQueue(lane, Priority.Normal),
                OpenState.InFlight,
                0,
                Noon,
                Noon
            ),
            Guid.NewGuid(),
            1,
            provider,
            outcome,
            TimeSpan.Zero,
            null,
            Noon,
            AttemptedAt: lane == Lane.Sms ? Noon : null
        );
}
