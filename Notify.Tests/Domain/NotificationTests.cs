namespace Notify.Tests.Domain;

using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using static Notify.Tests.Domain.Some;

public class NotificationTests
{
    [Fact]
    public void Nothing_happened_before_the_request() =>
        Assert.Null(Notify.Domain.Notifications.Notification.Fold(Key, [Planned(), new NotificationDelivered(Push, "apns", Noon)]));

    [Fact]
    public void A_request_is_not_planned_yet()
    {
        var n = Notify.Domain.Notifications.Notification.Fold(Key, [Requested(sendAt: Noon.AddHours(1))])!;
        Assert.False(n.IsPlanned);
        Assert.Empty(n.Deliveries);
        Assert.Equal(Noon.AddHours(1), n.SendAt);
        Assert.Equal(Key, n.Key);
    }

    [Fact]
    public void A_plan_holds_what_is_tried_and_what_is_left_out()
    {
        var leftOut = new LeftOutDelivery(Guid.NewGuid(), Channel.Email, null, Reasons.OptedOut, "channel email");
        var n = Notify.Domain.Notifications.Notification.Fold(Key, [Requested(), Planned(leftOut)])!;
        Assert.Equal(
            (DeliveryStatus.Queued, Channel.Push, "d_1"),
            (n.Deliveries[Push].Status, n.Deliveries[Push].Channel, n.Deliveries[Push].DeviceId)
        );
        Assert.Equal((DeliveryStatus.Queued, Channel.Sms), (n.Deliveries[Sms].Status, n.Deliveries[Sms].Channel));
        Assert.Equal((DeliveryStatus.Suppressed, Reasons.OptedOut), (n.Deliveries[leftOut.Id].Status, n.Deliveries[leftOut.Id].Reason));
        Assert.True(n.Deliveries[leftOut.Id].IsTerminal);
    }

    public static readonly TheoryData<object, DeliveryStatus> OneEvent = new()
    {
        { new DispatchAttempted(Sms, 1, "twilio", Noon), DeliveryStatus.Attempting },
        { new DeliveryDeferred(Sms, Noon.AddMinutes(1), Reasons.Retry, 1, "twilio", "20429", Noon), DeliveryStatus.Deferred },
        { new NotificationDispatched(Sms, 1, "twilio", "SM1", 12, null, Noon), DeliveryStatus.Dispatched },
        { new NotificationDelivered(Sms, "twilio", Noon), DeliveryStatus.Delivered },
        { new NotificationFailed(Sms, 1, Reasons.BadAddress, "twilio", "21211", Noon), DeliveryStatus.Failed },
        { new DispatchOutcomeUnknown(Sms, 1, "twilio", Reasons.TimedOut, Noon.AddMinutes(15), Noon), DeliveryStatus.Unknown },
        { new DeliverySuppressed(Sms, Reasons.OptedOut, "channel sms", Noon), DeliveryStatus.Suppressed },
        { new DeliveryDeadLettered(Sms, 12, Reasons.AttemptsExhausted, "twilio", "20429", Noon), DeliveryStatus.DeadLettered },
        { new DeliveryRedriven(Sms, "mended", "c_ops", Noon), DeliveryStatus.Queued },
        { new NotificationCancelled([Sms], "c_shop", Noon), DeliveryStatus.Cancelled },
        { new NotificationExpired([Sms], Noon), DeliveryStatus.Expired },
        { new NotificationOpened(Sms, "app", Noon), DeliveryStatus.Queued },
        { new NotificationRescheduled(Noon.AddHours(1), "c_shop", Noon), DeliveryStatus.Queued },
    };

    [Theory, MemberData(nameof(OneEvent))]
    public void An_event_changes_its_delivery_and_no_other(object happened, DeliveryStatus expected)
    {
        var n = Notification(happened);
        Assert.Equal(expected, n.Deliveries[Sms].Status);
        Assert.Equal(Notification().Deliveries[Push], n.Deliveries[Push]);
    }

    [Fact]
    public void Tried_providers_reset_when_the_round_ends_and_moves_reset_at_redrive()
    {
        object[] round =
        [
            new DispatchAttempted(Sms, 1, "twilio", Noon),
            new DeliveryDeferred(Sms, Noon, Reasons.FailedOver, 1, "twilio", "503", Noon),
            new DispatchAttempted(Sms, 2, "vonage", Noon),
            new DeliveryDeferred(Sms, Noon, Reasons.FailedOver, 2, "vonage", "5", Noon),
            new DispatchAttempted(Sms, 3, "third", Noon),
        ];
        var during = Notification(round).Deliveries[Sms];
        Assert.Equal((2, 3, "third"), (during.Moves, during.Attempts, during.Provider));
        Assert.Equal(["twilio", "vonage"], during.Tried!);
        var repeated = Notification(round.SelectMany(e => new[] { e, e })).Deliveries[Sms];
        Assert.Equal((2, 3), (repeated.Moves, repeated.Attempts));
        Assert.Equal(during.Tried, repeated.Tried!);

        object paused = new DeliveryDeferred(Sms, Noon.AddMinutes(1), Reasons.Retry, 3, "third", "500", Noon);
        var after = Notification([.. round, paused]).Deliveries[Sms];
        Assert.Equal((2, null), (after.Moves, after.Tried));

        var again = Notification([
            .. round,
            paused,
            new DeliveryDeadLettered(Sms, 3, Reasons.AttemptsExhausted, "third", "500", Noon),
            new DeliveryRedriven(Sms, "mended", "c_ops", Noon),
        ]).Deliveries[Sms];
        Assert.Equal((0, 0, null), (again.Moves, again.Attempts, again.Tried));
    }

    [Theory, MemberData(nameof(OneEvent))]
    public void A_repeated_event_changes_nothing(object happened, DeliveryStatus expected)
    {
        Assert.Equal(expected, Notification(happened, happened).Deliveries[Sms].Status);
        Assert.Equal(Notification(happened).Deliveries[Sms], Notification(happened, happened).Deliveries[Sms]);
    }

    [Theory, MemberData(nameof(OneEvent))]
    public void Every_delivery_is_exactly_one_of_in_flight_unknown_and_terminal(object happened, DeliveryStatus expected)
    {
        var d = Notification(happened).Deliveries[Sms];
        Assert.Equal(1, (d.IsInFlight ? 1 : 0) + (d.Status == DeliveryStatus.Unknown ? 1 : 0) + (d.IsTerminal ? 1 : 0));
        Assert.Equal(expected, d.Status);
    }

    [Fact]
    public void Facts_about_deliveries_that_were_never_planned_change_nothing()
    {
        var stranger = Guid.NewGuid();
        var n = Notification(
            new NotificationDelivered(stranger, "apns", Noon),
            new NotificationFailed(stranger, 1, Reasons.Rejected, null, null, Noon),
            "not an event at all"
        );
        Assert.Equal(Notification().Deliveries, n.Deliveries);
    }

    // Every order in which the facts of one delivery can become known; the one that says most about the person wins.
    public static readonly TheoryData<string, DeliveryStatus> Shuffled = new()
    {
        { "dispatched delivered", DeliveryStatus.Delivered },
        { "unknown dispatched", DeliveryStatus.Dispatched },
        { "unknown delivered", DeliveryStatus.Delivered },
        { "attempted unknown dispatched", DeliveryStatus.Dispatched },
        { "attempted unknown dispatched delivered", DeliveryStatus.Delivered },
        { "dispatched delivered failed", DeliveryStatus.Delivered },
        { "attempted unknown dispatched delivered failed", DeliveryStatus.Delivered },
        { "dispatched dispatched delivered delivered opened", DeliveryStatus.Delivered },
        { "dispatched failed", DeliveryStatus.Failed },
        { "attempted unknown dispatched failed", DeliveryStatus.Failed },
        { "attempted failed", DeliveryStatus.Failed },
        { "unknown failed", DeliveryStatus.Failed },
        { "dead dispatched", DeliveryStatus.Dispatched },
        { "dead delivered", DeliveryStatus.Delivered },
        { "cancelled dispatched", DeliveryStatus.Dispatched },
        { "cancelled delivered", DeliveryStatus.Delivered },
    };

    [Theory, MemberData(nameof(Shuffled))]
    public void Facts_in_any_order_end_in_the_same_state(string facts, DeliveryStatus expected)
    {
        foreach (var order in Permutations([.. facts.Split(' ')]))
            Assert.True(
                expected == Notification(order.Select(Fact)).Deliveries[Sms].Status,
                $"{string.Join(" → ", order)} ended as {Notification(order.Select(Fact)).Deliveries[Sms].Status}, not {expected}"
            );
    }

    [Fact]
    public void A_late_dispatch_leaves_the_delivery_delivered_and_adds_what_it_knows()
    {
        var d = Notification(Fact("delivered"), Fact("dispatched")).Deliveries[Sms];
        Assert.Equal((DeliveryStatus.Delivered, "SM1", "twilio"), (d.Status, d.ProviderMessageId, d.Provider));
        Assert.NotNull(d.DispatchedAt);
        Assert.NotNull(d.DeliveredAt);
    }

    [Fact]
    public void The_first_delivery_and_the_first_opening_count()
    {
        var d = Notification(
            new NotificationDelivered(Sms, "twilio", Noon),
            new NotificationDelivered(Sms, "twilio", Noon.AddHours(1)),
            new NotificationOpened(Sms, "app", Noon.AddHours(2)),
            new NotificationOpened(Sms, "app", Noon.AddHours(3))
        ).Deliveries[Sms];
        Assert.Equal((Noon, Noon.AddHours(2)), (d.DeliveredAt, d.OpenedAt));
    }

    [Fact]
    public void A_dispatch_forgets_why_earlier_attempts_failed()
    {
        var d = Notification(
            new DeliveryDeferred(Sms, Noon.AddMinutes(1), Reasons.Retry, 1, "twilio", "20429", Noon),
            Fact("dispatched")
        ).Deliveries[Sms];
        Assert.Equal((null, null, null), (d.Reason, d.ProviderCode, d.DeferredUntil));
    }

    [Fact]
    public void Ended_delivery_is_not_attempted_deferred_or_unknown_again()
    {
        foreach (var end in new[] { "dispatched", "delivered", "failed", "dead", "cancelled", "expired", "suppressed" })
        {
            foreach (var late in new[] { "attempted", "deferred", "unknown" })
                Assert.Equal(Notification(Fact(end)).Deliveries[Sms].Status, Notification(Fact(end), Fact(late)).Deliveries[Sms].Status);
        }
    }

    [Fact]
    public void Ended_delivery_is_not_cancelled_expired_or_suppressed()
    {
        foreach (var end in new[] { "dispatched", "delivered", "failed", "dead" })
        {
            foreach (var late in new[] { "cancelled", "expired", "suppressed" })
                Assert.Equal(Notification(Fact(end)).Deliveries[Sms].Status, Notification(Fact(end), Fact(late)).Deliveries[Sms].Status);
        }
    }

    [Fact]
    public void An_unknown_outcome_found_not_to_be_at_the_provider_is_tried_again() =>
        Assert.Equal(DeliveryStatus.Deferred, Notification(Fact("attempted"), Fact("unknown"), Fact("deferred")).Deliveries[Sms].Status);

    [Fact]
    public void A_message_that_turns_up_after_its_deadline_was_dispatched_all_the_same() =>
        Assert.Equal(
            DeliveryStatus.Dispatched,
            Notification(
                Fact("unknown"),
                new NotificationFailed(Sms, 1, Reasons.OutcomeNeverKnown, "twilio", null, Noon),
                Fact("dispatched")
            )
                .Deliveries[Sms]
                .Status
        );

    [Fact]
    public void A_redriven_delivery_begins_anew()
    {
        var d = Notification(Fact("dead"), new DeliveryRedriven(Sms, "mended", "c_ops", Noon)).Deliveries[Sms];
        Assert.Equal((DeliveryStatus.Queued, 0, null, null), (d.Status, d.Attempts, d.Reason, d.ProviderCode));
    }

    [Fact]
    public void Only_dead_letters_are_redriven() =>
        Assert.Equal(
            DeliveryStatus.Failed,
            Notification(Fact("failed"), new DeliveryRedriven(Sms, "mended", "c_ops", Noon)).Deliveries[Sms].Status
        );

    [Fact]
    public void Cancelling_before_planning_cancels_the_whole()
    {
        var n = Notify.Domain.Notifications.Notification.Fold(
            Key,
            [Requested(sendAt: Noon.AddHours(1)), new NotificationCancelled([], "c_shop", Noon)]
        )!;
        Assert.True(n.IsCancelled);
    }

    [Fact]
    public void Cancelling_a_part_does_not_cancel_the_whole() =>
        Assert.False(Notification(new NotificationCancelled([Sms], "c_shop", Noon)).IsCancelled);

    [Fact]
    public void Expiring_before_planning_expires_the_whole() =>
        Assert.True(Notify.Domain.Notifications.Notification.Fold(Key, [Requested(), new NotificationExpired([], Noon)])!.IsExpired);

    [Fact]
    public void Rescheduling_and_deferring_the_whole_move_its_time()
    {
        Assert.Equal(
            Noon.AddHours(2),
            Notify
                .Domain.Notifications.Notification.Fold(
                    Key,
                    [Requested(sendAt: Noon.AddHours(1)), new NotificationRescheduled(Noon.AddHours(2), "c_shop", Noon)]
                )!
                .SendAt
        );
        Assert.Equal(
            Noon.AddHours(3),
            Notify
                .Domain.Notifications.Notification.Fold(
                    Key,
                    [Requested(), new DeliveryDeferred(null, Noon.AddHours(3), Reasons.Scheduled, 0, null, null, Noon)]
                )!
                .SendAt
        );
    }

    [Fact]
    public void Folding_never_changes_an_earlier_state()
    {
        var before = Notification();
        var deliveries = before.Deliveries;
        Notify.Domain.Notifications.Notification.Evolve(before, Key, Fact("dispatched"));
        Assert.Same(deliveries, before.Deliveries);
        Assert.Equal(DeliveryStatus.Queued, before.Deliveries[Sms].Status);
    }

    private static object Fact(string name) =>
        name switch
        {
            "attempted" => new DispatchAttempted(Sms, 1, "twilio", Noon),
            "deferred" => new DeliveryDeferred(Sms, Noon.AddMinutes(1), Reasons.Retry, 1, "twilio", "20429", Noon),
            "unknown" => new DispatchOutcomeUnknown(Sms, 1, "twilio", Reasons.TimedOut, Noon.AddMinutes(15), Noon),
            "dispatched" => new NotificationDispatched(Sms, 1, "twilio", "SM1", 12, null, Noon),
            "delivered" => new NotificationDelivered(Sms, "twilio", Noon),
            "failed" => new NotificationFailed(Sms, 1, Reasons.Rejected, "twilio", "30005", Noon),
            "dead" => new DeliveryDeadLettered(Sms, 12, Reasons.AttemptsExhausted, "twilio", "20429", Noon),
            "cancelled" => new NotificationCancelled([Sms], "c_shop", Noon),
            "expired" => new NotificationExpired([Sms], Noon),
            "suppressed" => new DeliverySuppressed(Sms, Reasons.OptedOut, "channel sms", Noon),
            "opened" => new NotificationOpened(Sms, "app", Noon),
            _ => throw new ArgumentException(name),
        };

    private static IEnumerable<string[]> Permutations(string[] items) =>
        items.Length <= 1
            ? [items]
            : items.SelectMany((item, i) => Permutations([.. items[..i], .. items[(i + 1)..]]).Select(rest => (string[])[item, .. rest]));
}
