namespace Notify.Tests.Dispatch;

using Notify.Delivery.DeliveryQueue;
using Notify.Dispatch.Dispatching;
using Notify.Dispatch.Providers;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;

public class OutcomeDeciderTests
{
    private static readonly DateTimeOffset Now = new(2026, 5, 4, 12, 0, 0, TimeSpan.Zero);
    private static readonly RetrySchedule Schedule = new();

    [Theory]
    [InlineData(Lane.Apns, false)]
    [InlineData(Lane.Sms, false)]
    [InlineData(Lane.Sms, true)]
    public void A_provider_s_yes_ends_it(Lane lane, bool asked)
    {
        var (e, next) = Decide(new AttemptOutcome.Accepted("m1"), lane, asked: asked, deadline: Now.AddMinutes(1));
        var dispatched = Assert.IsType<NotificationDispatched>(e);
        Assert.Equal(
            ("m1", "prov", 1, 40, Now.AddSeconds(-1)),
            (dispatched.ProviderMessageId, dispatched.Provider, dispatched.Attempt, dispatched.LatencyMs, dispatched.At)
        );
        Assert.Null(next);
    }

    [Theory]
    [InlineData(Lane.Apns)]
    [InlineData(Lane.Sms)]
    public void A_provider_s_no_ends_it(Lane lane)
    {
        var (e, next) = Decide(new AttemptOutcome.Rejected(Reasons.BadAddress, "21211"), lane);
        Assert.Equal(
            (Reasons.BadAddress, "21211", "prov"),
            (((NotificationFailed)e!).Reason, ((NotificationFailed)e).ProviderCode, ((NotificationFailed)e).Provider)
        );
        Assert.Null(next);
    }

    [Theory]
    [InlineData(0, 60)]
    [InlineData(0.5, 90)]
    public void A_halted_channel_lets_deliveries_wait(double random, double seconds)
    {
        var (e, next) = Decide(new AttemptOutcome.Halted("InvalidProviderToken"), Lane.Apns, random: random);
        var deferred = Assert.IsType<DeliveryDeferred>(e);
        Assert.Equal(
            (Reasons.ChannelHalted, "InvalidProviderToken", Now.AddSeconds(seconds)),
            (deferred.Reason, deferred.ProviderCode, deferred.Until)
        );
        Assert.Equal((OpenState.Deferred, Now.AddSeconds(seconds), Reasons.ChannelHalted), (next!.State, next.DueAt, next.Reason));
    }

    [Theory]
    [InlineData(20, 20)]
    [InlineData(600, 60)]
    public void Nothing_waits_longer_than_it_is_worth_something(int expires, int waits)
    {
        var made = Made(new AttemptOutcome.Halted("403"), Lane.Apns, 1, false, null) with { ExpiresAt = Now.AddSeconds(expires) };
        var (e, next) = OutcomeDecider.Decide(made, Schedule, Now, 0);
        Assert.Equal((Now.AddSeconds(waits), Now.AddSeconds(waits)), (((DeliveryDeferred)e!).Until, next!.DueAt));
    }

    [Fact]
    public void A_halted_channel_costs_no_delivery_its_life() =>
        Assert.IsType<DeliveryDeferred>(Decide(new AttemptOutcome.Halted("403"), Lane.Apns, attempt: 1000).Event);

    [Fact]
    public void Waiting_for_a_halted_channel_uses_up_no_attempts()
    {
        var (e, next) = Decide(new AttemptOutcome.Halted("403"), Lane.Apns, attempt: 4);
        Assert.Equal((3, 3), (((DeliveryDeferred)e!).Attempt, next!.Attempts));
    }

    [Fact]
    public void Halt_that_may_concern_one_address_ends_after_all_attempts()
    {
        var halted = new AttemptOutcome.Halted("403", IsAttempt: true);
        var (e, next) = Decide(halted, Lane.Webpush, attempt: 4);
        Assert.Equal((Reasons.ChannelHalted, 4, 4), (((DeliveryDeferred)e!).Reason, ((DeliveryDeferred)e).Attempt, next!.Attempts));
        Assert.True(next.DueAt >= Now + OutcomeDecider.HaltedWait);
        Assert.IsType<DeliveryDeadLettered>(Decide(halted, Lane.Webpush, attempt: Schedule.MaxAttempts).Event);
    }

    [Fact]
    public void Refused_parts_are_in_the_event()
    {
        var dispatched = Assert.IsType<NotificationDispatched>(Decide(new AttemptOutcome.Accepted("0A01", 1), Lane.Sms).Event);
        Assert.Equal(("0A01", 1), (dispatched.ProviderMessageId, dispatched.RefusedParts));
    }

    [Theory]
    [InlineData(Lane.Apns)]
    [InlineData(Lane.Sms)]
    public void Not_now_means_later_with_back_off(Lane lane)
    {
        var (e, next) = Decide(new AttemptOutcome.Retry(Reasons.Retry, "503"), lane, attempt: 3);
        var deferred = Assert.IsType<DeliveryDeferred>(e);
        Assert.Equal(
            (Reasons.Retry, "503", 3, Now.AddSeconds(10)),
            (deferred.Reason, deferred.ProviderCode, deferred.Attempt, deferred.Until)
        );
        Assert.Equal((OpenState.Deferred, 3, Now.AddSeconds(10)), (next!.State, next.Attempts, next.DueAt));
    }

    [Fact]
    public void The_provider_s_own_time_is_kept_and_told()
    {
        var deferred = Assert.IsType<DeliveryDeferred>(
            Decide(new AttemptOutcome.Retry(Reasons.Retry, "429", TimeSpan.FromMinutes(2)), Lane.Sms).Event
        );
        Assert.Equal((Reasons.ProviderAskedToWait, Now.AddMinutes(2).AddSeconds(2.5)), (deferred.Reason, deferred.Until));
    }

    [Theory]
    [InlineData("retry", Reasons.FailedOver, "503")]
    [InlineData("wait", Reasons.FailedOver, "429")]
    [InlineData("nameless", Reasons.FailedOver, Reasons.ConnectionLost)]
    [InlineData("halted", Reasons.FailedOver, "401")]
    public void Failed_attempt_moves_to_the_next_provider_at_once(string outcome, string reason, string code)
    {
        var made = Made(Outcome(outcome), Lane.Sms, 2, false, null) with { MayMove = true };
        var (e, next) = OutcomeDecider.Decide(made, Schedule, Now, 0.5);
        var deferred = Assert.IsType<DeliveryDeferred>(e);
        Assert.Equal(
            (reason, code, "prov", 2, Now),
            (deferred.Reason, deferred.ProviderCode, deferred.Provider, deferred.Attempt, deferred.Until)
        );
        Assert.Equal((OpenState.Deferred, Now, 2), (next!.State, next.DueAt, next.Attempts));
    }

    [Theory]
    [InlineData("unknown")]
    [InlineData("rejected")]
    [InlineData("accepted")]
    public void Unknown_rejected_or_accepted_attempt_never_moves_to_another_provider(string outcome)
    {
        var made = Made(Outcome(outcome), Lane.Sms, 1, false, null);
        Assert.Equal(
            OutcomeDecider.Decide(made, Schedule, Now, 0.5),
            OutcomeDecider.Decide(made with { MayMove = true }, Schedule, Now, 0.5)
        );
    }

    [Fact]
    public void Pause_ends_a_round_and_limits_count_rounds()
    {
        // The third round of two providers: six calls, of which three ended with a move.
        var made = Made(Outcome("retry"), Lane.Sms, 6, false, null) with
        {
            Moves = 3,
        };
        Assert.Equal((Reasons.Retry, 6, Now.AddSeconds(10)), Told(made));
        Assert.IsType<DeliveryDeadLettered>(OutcomeDecider.Decide(made with { Attempt = 24, Moves = 12 }, Schedule, Now, 0.5).Event);
        Assert.IsType<DeliveryDeferred>(OutcomeDecider.Decide(made with { Attempt = 24, Moves = 13 }, Schedule, Now, 0.5).Event);

        static (string, int, DateTimeOffset) Told(AttemptMade made)
        {
            var e = Assert.IsType<DeliveryDeferred>(OutcomeDecider.Decide(made, Schedule, Now, 0.5).Event);
            return (e.Reason, e.Attempt, e.Until);
        }
    }

    private static AttemptOutcome Outcome(string name) =>
        name switch
        {
            "retry" => new AttemptOutcome.Retry(Reasons.Retry, "503"),
            "wait" => new AttemptOutcome.Retry(Reasons.Retry, "429", TimeSpan.FromMinutes(5)),
            "nameless" => new AttemptOutcome.Retry(Reasons.ConnectionLost, null),
            "halted" => new AttemptOutcome.Halted("401"),
            "unknown" => new AttemptOutcome.Unknown(Reasons.TimedOut),
            "rejected" => new AttemptOutcome.Rejected(Reasons.BadAddress, "21211"),
            _ => new AttemptOutcome.Accepted("m"),
        };

    [Fact]
    public void A_connection_that_never_stood_is_told_as_that() =>
        Assert.Equal(
            Reasons.ConnectionLost,
            ((DeliveryDeferred)Decide(new AttemptOutcome.Retry(Reasons.ConnectionLost, "ConnectionError"), Lane.Sms).Event!).Reason
        );

    [Theory]
    [InlineData(Lane.Apns)]
    [InlineData(Lane.Sms)]
    public void The_last_attempt_makes_a_dead_letter(Lane lane)
    {
        var (e, next) = Decide(new AttemptOutcome.Retry(Reasons.Retry, "503"), lane, attempt: Schedule.MaxAttempts);
        var dead = Assert.IsType<DeliveryDeadLettered>(e);
        Assert.Equal((Schedule.MaxAttempts, Reasons.AttemptsExhausted, "503"), (dead.Attempts, dead.Reason, dead.ProviderCode));
        Assert.Equal((OpenState.Dead, null, "503"), (next!.State, next.DueAt, next.Reason));
    }

    [Fact]
    public void An_unclear_push_is_sent_again_since_it_replaces_itself() =>
        Assert.Equal(
            Reasons.TimedOut,
            Assert.IsType<DeliveryDeferred>(Decide(new AttemptOutcome.Unknown(Reasons.TimedOut), Lane.Apns).Event).Reason
        );

    [Fact]
    public void An_unclear_sms_is_not_repeated_but_asked_for()
    {
        var (e, next) = Decide(new AttemptOutcome.Unknown(Reasons.ConnectionLost), Lane.Sms);
        var unknown = Assert.IsType<DispatchOutcomeUnknown>(e);
        Assert.Equal((Reasons.ConnectionLost, Now + Schedule.UnknownDeadline), (unknown.Reason, unknown.Deadline));
        Assert.Equal((OpenState.Unknown, Now + Schedule.AskAfter), (next!.State, next.DueAt));
    }

    [Fact]
    public void An_unclear_sms_is_asked_for_even_after_the_last_attempt() =>
        Assert.IsType<DispatchOutcomeUnknown>(
            Decide(new AttemptOutcome.Unknown(Reasons.TimedOut), Lane.Sms, attempt: Schedule.MaxAttempts).Event
        );

    [Theory]
    [InlineData("unknown")]
    [InlineData("not found")]
    public void Before_the_deadline_it_is_asked_again_and_nothing_is_written(string answer)
    {
        var (e, next) = Decide(Asked(answer), Lane.Sms, asked: true, deadline: Now.AddMinutes(10));
        Assert.Null(e);
        Assert.Equal(OpenState.Unknown, next!.State);
        Assert.InRange(next.DueAt!.Value, Now.AddSeconds(1), Now.AddMinutes(10));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-5)]
    public void At_the_deadline_what_the_provider_never_had_is_sent(int minutes)
    {
        var (e, next) = Decide(new AttemptOutcome.NotFound(), Lane.Sms, asked: true, deadline: Now.AddMinutes(minutes));
        Assert.Equal(Reasons.NotAtProvider, Assert.IsType<DeliveryDeferred>(e).Reason);
        Assert.Equal(OpenState.Deferred, next!.State);
    }

    [Fact]
    public void At_the_deadline_what_the_provider_never_had_becomes_a_dead_letter_if_it_was_the_last_attempt() =>
        Assert.IsType<DeliveryDeadLettered>(
            Decide(new AttemptOutcome.NotFound(), Lane.Sms, asked: true, deadline: Now, attempt: Schedule.MaxAttempts).Event
        );

    [Fact]
    public void At_the_deadline_what_nobody_can_tell_has_failed_and_is_not_repeated()
    {
        var (e, next) = Decide(new AttemptOutcome.Unknown(Reasons.TimedOut), Lane.Sms, asked: true, deadline: Now);
        Assert.Equal(Reasons.OutcomeNeverKnown, Assert.IsType<NotificationFailed>(e).Reason);
        Assert.Null(next);
    }

    [Fact]
    public void An_unclear_email_waits_for_its_deadline_when_the_provider_cannot_be_asked()
    {
        var deadline = Now + Schedule.UnknownDeadline;
        var (e, next) = OutcomeDecider.Decide(
            Made(new AttemptOutcome.Unknown(Reasons.TimedOut), Lane.Email, 1, false, null) with
            {
                CanBeAsked = false,
            },
            Schedule,
            Now,
            0.5
        );
        Assert.Equal((Reasons.TimedOut, deadline), (((DispatchOutcomeUnknown)e!).Reason, ((DispatchOutcomeUnknown)e).Deadline));
        Assert.Equal((OpenState.Unknown, deadline), (next!.State, next.DueAt));

        // Looked at before, as after a takeover: it goes on waiting, and nothing is written.
        var looked = Made(new AttemptOutcome.Unknown(Reasons.TimedOut), Lane.Email, 1, true, deadline) with
        {
            CanBeAsked = false,
        };
        (e, next) = OutcomeDecider.Decide(looked, Schedule, Now.AddMinutes(1), 0.5);
        Assert.Null(e);
        Assert.Equal((OpenState.Unknown, deadline), (next!.State, next.DueAt));

        (e, next) = OutcomeDecider.Decide(looked, Schedule, deadline, 0.5);
        Assert.Equal(Reasons.OutcomeNeverKnown, Assert.IsType<NotificationFailed>(e).Reason);
        Assert.Null(next);
    }

    [Theory]
    [InlineData(Lane.Sms)]
    [InlineData(Lane.Email)]
    public void At_the_deadline_what_nobody_can_tell_is_sent_again_at_once_if_its_category_says_so(Lane lane)
    {
        var (e, next) = Resendable(lane, attempt: 2, before: DateTimeOffset.MaxValue);
        var deferred = Assert.IsType<DeliveryDeferred>(e);
        Assert.Equal((Reasons.ResentByPolicy, Now, 2), (deferred.Reason, deferred.Until, deferred.Attempt));
        Assert.Equal((OpenState.Deferred, Now, 2), (next!.State, next.DueAt, next.Attempts));
    }

    [Fact]
    public void Nothing_is_sent_again_before_the_deadline() =>
        Assert.Null(
            OutcomeDecider
                .Decide(
                    Made(new AttemptOutcome.Unknown(Reasons.TimedOut), Lane.Sms, 1, true, Now.AddMinutes(1)) with
                    {
                        ResendBefore = DateTimeOffset.MaxValue,
                    },
                    Schedule,
                    Now,
                    0.5
                )
                .Event
        );

    [Fact]
    public void Unknown_delivery_that_expired_or_used_all_attempts_is_not_resent()
    {
        Assert.Equal(Reasons.OutcomeNeverKnown, Assert.IsType<NotificationFailed>(Resendable(Lane.Sms, 1, before: Now).Event).Reason);
        Assert.Equal(
            Reasons.OutcomeNeverKnown,
            Assert.IsType<NotificationFailed>(Resendable(Lane.Sms, Schedule.MaxAttempts, before: DateTimeOffset.MaxValue).Event).Reason
        );
    }

    private static Settled Resendable(Lane lane, int attempt, DateTimeOffset before) =>
        OutcomeDecider.Decide(
            Made(new AttemptOutcome.Unknown(Reasons.TimedOut), lane, attempt, true, Now) with
            {
                ResendBefore = before,
            },
            Schedule,
            Now,
            0.5
        );

    [Fact]
    public void Asking_comes_to_an_end()
    {
        var (now, deadline, asked) = (Now, Now + Schedule.UnknownDeadline, 0);
        while (
            OutcomeDecider
                .Decide(Made(new AttemptOutcome.Unknown(Reasons.TimedOut), Lane.Sms, 1, asked: true, deadline), Schedule, now, 0.5)
                .Next
                is { } next
        )
        {
            now = next.DueAt!.Value;
            Assert.InRange(++asked, 1, 100);
        }
    }

    [Fact]
    public void A_send_that_says_not_found_is_a_bug() =>
        Assert.Throws<ArgumentException>(() => Decide(new AttemptOutcome.NotFound(), Lane.Sms));

    [Fact]
    public void Deferred_delivery_keeps_its_queue_and_its_age()
    {
        var next = Decide(new AttemptOutcome.Retry(Reasons.Retry, "503"), Lane.Sms).Next!;
        var row = Row(Lane.Sms);
        Assert.Equal((row.Notification, row.Queue, row.EnqueuedAt), (next.Notification, next.Queue, next.EnqueuedAt));
    }

    private static AttemptOutcome Asked(string answer) =>
        answer == "unknown" ? new AttemptOutcome.Unknown(Reasons.TimedOut) : new AttemptOutcome.NotFound();

    private static Settled Decide(
        AttemptOutcome outcome,
        Lane lane,
        int attempt = 1,
        bool asked = false,
        DateTimeOffset? deadline = null,
        double random = 0.5
    ) => OutcomeDecider.Decide(Made(outcome, lane, attempt, asked, deadline), Schedule, Now, random);

    private static AttemptMade Made(AttemptOutcome outcome, Lane lane, int attempt, bool asked, DateTimeOffset? deadline) =>
        new(Row(lane), Guid.Empty, attempt, "prov", outcome, TimeSpan.FromMilliseconds(40), null, Now.AddSeconds(-1), asked, deadline);

    private static OpenDelivery Row(Lane lane) =>
        new(
            DeterministicId.OfDelivery("n/c:e", "x"),
            "n/c:e",
            new DeliveryQueue(lane, Priority.Normal),
            OpenState.InFlight,
            0,
            Now.AddMinutes(-1),
            Now.AddMinutes(9)
        );
}
