namespace Notify.Tests.Domain;

using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Domain.Recipients;
using static Notify.Tests.Domain.Some;

public class NotificationDeciderTests
{
    private static readonly DateTimeOffset Later = Noon.AddHours(1);

    [Fact]
    public void The_last_check_lets_go_what_nothing_speaks_against()
    {
        Assert.Null(
            NotificationDecider.LastCheck(Notification(), Notification().Deliveries[Push], Recipient(), ReachRules.None, null, Later)
        );
        Assert.Null(
            NotificationDecider.LastCheck(Notification(), Notification().Deliveries[Sms], null, ReachRules.None, "phone-print", Later)
        );
    }

    [Theory]
    [InlineData(-1, false)]
    [InlineData(0, true)]
    [InlineData(1, true)]
    public void Expired_delivery_is_not_sent(int secondsAfter, bool expires)
    {
        var n = Notify.Domain.Notifications.Notification.Fold(Key, [Requested(expiresAt: Later), Planned()])!;
        var decided = NotificationDecider.LastCheck(
            n,
            n.Deliveries[Sms],
            Recipient(),
            ReachRules.None,
            null,
            Later.AddSeconds(secondsAfter)
        );
        if (expires)
            Assert.Equal([Sms], Assert.IsType<NotificationExpired>(decided).Deliveries);
        else
            Assert.Null(decided);
    }

    [Fact]
    public void User_who_opted_out_after_planning_is_not_reached()
    {
        var e = Suppressed(Sms, Recipient(new OptedOut(Channel.Sms, "shipping", "u", "api", Noon)));
        Assert.Equal((Reasons.OptedOut, "category shipping on sms"), (e.Reason, e.Rule));
    }

    [Fact]
    public void User_who_replied_stop_after_planning_is_not_reached() =>
        Assert.Equal(Reasons.SuppressedAddress, Suppressed(Sms, Recipient(), Rules([Suppression("phone-print")])).Reason);

    [Fact]
    public void The_number_that_is_about_to_be_used_counts_also_of_the_unregistered()
    {
        Assert.Equal(Reasons.SuppressedAddress, Suppressed(Sms, null, Rules([Suppression("phone-print")])).Reason);
        Assert.Null(
            NotificationDecider.LastCheck(
                Notification(),
                Notification().Deliveries[Sms],
                null,
                Rules([Suppression("other-print")]),
                "phone-print",
                Later
            )
        );
        Assert.Null(
            NotificationDecider.LastCheck(
                Notification(),
                Notification().Deliveries[Sms],
                null,
                Rules([Suppression("phone-print", expiresAt: Later)]),
                "phone-print",
                Later
            )
        );
    }

    [Fact]
    public void Required_category_overrides_an_opt_out_but_no_suppression_at_the_last_check()
    {
        var optedOut = Recipient(new OptedOut(Channel.Sms, null, "u", "api", Noon));
        Assert.Null(
            NotificationDecider.LastCheck(
                Notification(),
                Notification().Deliveries[Sms],
                optedOut,
                Rules(null, Category(required: true)),
                "phone-print",
                Later
            )
        );
        Assert.Equal(
            Reasons.SuppressedAddress,
            Suppressed(Sms, optedOut, Rules([Suppression("phone-print")], Category(required: true))).Reason
        );
    }

    [Fact]
    public void User_who_was_erased_after_planning_is_not_reached() =>
        Assert.Equal(Reasons.Erased, Suppressed(Sms, Recipient(new UserErased("c", Noon))).Reason);

    [Fact]
    public void A_device_that_was_removed_since_is_not_reached() =>
        Assert.Equal(
            Reasons.DeviceRemoved,
            Suppressed(Push, Recipient(new DeviceRemoved("d_1", DeviceRemovalReasons.MovedToAnotherUser, "c", Noon))).Reason
        );

    [Theory]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public void Whose_number_is_not_known_any_more_is_not_reached_at_it(bool hasEmail, bool hasPhone)
    {
        var now = Recipient(
            new ContactDetailsGiven(
                Sealed("details"),
                hasEmail,
                hasPhone,
                hasEmail ? "email-print" : null,
                hasPhone ? "phone-print" : null,
                "c_shop",
                Noon
            )
        );
        var decided = NotificationDecider.LastCheck(
            Notification(),
            Notification().Deliveries[Sms],
            now,
            ReachRules.None,
            "phone-print",
            Later
        );
        if (hasPhone)
            Assert.Null(decided);
        else
            Assert.Equal(
                (Reasons.NoContact, "details"),
                (Assert.IsType<DeliverySuppressed>(decided).Reason, ((DeliverySuppressed)decided).Rule)
            );
    }

    [Fact]
    public void An_sms_does_not_mind_which_devices_there_are() =>
        Assert.Null(
            NotificationDecider.LastCheck(
                Notification(),
                Notification().Deliveries[Sms],
                Recipient(new DeviceRemoved("d_1", DeviceRemovalReasons.ByRequest, "c", Noon)),
                ReachRules.None,
                null,
                Later
            )
        );

    [Fact]
    public void Cancelling_stops_what_still_waits() =>
        Assert.Equal([Push, Sms], NotificationDecider.Cancel(Notification(), [Push, Sms], "c_shop", Later)!.Deliveries);

    [Fact]
    public void Cancelling_leaves_out_what_has_ended_or_is_unknown()
    {
        var n = Notification(
            new NotificationDispatched(Push, 1, "apns", null, 1, null, Noon),
            new DispatchOutcomeUnknown(Sms, 1, "twilio", Reasons.TimedOut, Later, Noon)
        );
        Assert.Null(NotificationDecider.Cancel(n, [Push, Sms], "c_shop", Later));
    }

    [Fact]
    public void Cancelling_ignores_deliveries_of_others() =>
        Assert.Null(NotificationDecider.Cancel(Notification(), [Guid.NewGuid()], "c_shop", Later));

    [Fact]
    public void Cancelling_twice_yields_nothing_the_second_time()
    {
        var planned = Notification(new NotificationCancelled([Push, Sms], "c_shop", Noon));
        Assert.Null(NotificationDecider.Cancel(planned, [Push, Sms], "c_shop", Later));
        var waiting = Waiting(new NotificationCancelled([], "c_shop", Noon));
        Assert.Null(NotificationDecider.Cancel(waiting, [], "c_shop", Later));
    }

    [Fact]
    public void Partly_cancelled_notification_is_cancelled()
    {
        Assert.False(NotificationDecider.IsCancelled(Notification()));
        var partly = Notification(
            new NotificationDispatched(Push, 1, "apns", null, 1, null, Noon),
            new NotificationCancelled([Sms], "c_shop", Noon)
        );
        Assert.True(NotificationDecider.IsCancelled(partly));
        Assert.Null(NotificationDecider.Cancel(partly, [], "c_shop", Later));
        Assert.True(NotificationDecider.IsCancelled(Waiting(new NotificationCancelled([], "c_shop", Noon))));
        Assert.False(NotificationDecider.IsCancelled(Waiting()));
    }

    [Fact]
    public void Unplanned_notification_is_cancelled_as_a_whole() =>
        Assert.Empty(NotificationDecider.Cancel(Waiting(), [], "c_shop", Noon)!.Deliveries);

    [Fact]
    public void Expired_notification_is_not_cancelled() =>
        Assert.Null(NotificationDecider.Cancel(Waiting(new NotificationExpired([], Noon)), [], "c_shop", Noon));

    [Fact]
    public void Notification_that_is_not_due_is_rescheduled() =>
        Assert.Equal(Noon.AddDays(2), NotificationDecider.Reschedule(Waiting(), Noon.AddDays(2), "c_shop", Noon)!.SendAt);

    [Fact]
    public void Due_planned_cancelled_expired_or_unscheduled_notification_is_not_rescheduled()
    {
        Assert.Null(NotificationDecider.Reschedule(Waiting(), Noon.AddDays(2), "c_shop", Noon.AddDays(1)));
        Assert.Null(NotificationDecider.Reschedule(Waiting(Planned()), Noon.AddDays(2), "c_shop", Noon));
        Assert.Null(NotificationDecider.Reschedule(Waiting(new NotificationCancelled([], "c", Noon)), Noon.AddDays(2), "c_shop", Noon));
        Assert.Null(NotificationDecider.Reschedule(Waiting(new NotificationExpired([], Noon)), Noon.AddDays(2), "c_shop", Noon));
        Assert.Null(
            NotificationDecider.Reschedule(
                Notify.Domain.Notifications.Notification.Fold(Key, [Requested()])!,
                Noon.AddDays(2),
                "c_shop",
                Noon
            )
        );
    }

    [Fact]
    public void A_rescheduled_notification_moves_again() =>
        Assert.Equal(
            Noon.AddDays(3),
            NotificationDecider
                .Reschedule(Waiting(new NotificationRescheduled(Noon.AddDays(2), "c", Noon)), Noon.AddDays(3), "c_shop", Noon.AddDays(1))!
                .SendAt
        );

    [Fact]
    public void A_dead_letter_goes_on_its_way_again()
    {
        var (e, hindrance) = NotificationDecider.Redrive(Dead(), Sms, Recipient(), ReachRules.None, null, "mended", "c_ops", Later);
        Assert.Null(hindrance);
        Assert.Equal((Sms, "mended", "c_ops", Later), (e!.DeliveryId, e.Reason, e.By, e.At));
    }

    [Fact]
    public void Only_a_dead_letter_is_redriven()
    {
        Assert.Equal(
            (null, "NotDeadLettered"),
            NotificationDecider.Redrive(Notification(), Sms, Recipient(), ReachRules.None, null, "r", "c", Later)
        );
        Assert.Equal(
            (null, "NotDeadLettered"),
            NotificationDecider.Redrive(Dead(), Guid.NewGuid(), Recipient(), ReachRules.None, null, "r", "c", Later)
        );
        Assert.Equal(
            (null, "NotDeadLettered"),
            NotificationDecider.Redrive(
                Dead(new DeliveryRedriven(Sms, "r", "c", Noon)),
                Sms,
                Recipient(),
                ReachRules.None,
                null,
                "r",
                "c",
                Later
            )
        );
    }

    [Fact]
    public void A_suppression_speaks_against_a_redrive() =>
        Assert.Equal(
            (null, Reasons.SuppressedAddress),
            NotificationDecider.Redrive(Dead(), Sms, Recipient(), Rules([Suppression("phone-print")]), "phone-print", "r", "c", Later)
        );

    [Fact]
    public void Opt_out_and_expiry_speak_against_a_redrive_too()
    {
        Assert.Equal(
            (null, Reasons.OptedOut),
            NotificationDecider.Redrive(
                Dead(),
                Sms,
                Recipient(new OptedOut(Channel.Sms, null, "u", "api", Noon)),
                ReachRules.None,
                null,
                "r",
                "c",
                Later
            )
        );
        var expiring = Notify.Domain.Notifications.Notification.Fold(Key, [Requested(expiresAt: Noon), Planned(), DeadLettered])!;
        Assert.Equal((null, "Expired"), NotificationDecider.Redrive(expiring, Sms, Recipient(), ReachRules.None, null, "r", "c", Later));
    }

    private static readonly DeliveryDeadLettered DeadLettered = new(Sms, 12, Reasons.AttemptsExhausted, "twilio", "20429", Noon);

    private static Notification Dead(params object[] since) => Notification([DeadLettered, .. since]);

    private static Notification Waiting(params object[] since) =>
        Notify.Domain.Notifications.Notification.Fold(Key, [Requested(sendAt: Noon.AddDays(1)), .. since])!;

    private static DeliverySuppressed Suppressed(Guid delivery, Recipient? recipient, ReachRules? rules = null) =>
        Assert.IsType<DeliverySuppressed>(
            NotificationDecider.LastCheck(
                Notification(),
                Notification().Deliveries[delivery],
                recipient,
                rules ?? ReachRules.None,
                delivery == Sms ? "phone-print" : null,
                Later
            )
        );
}
