namespace Notify.Tests.Domain;

using Notify.Domain.Notifications;
using static Notify.Tests.Domain.Some;

/// <summary>Receipts in any order and any number.</summary>
public sealed class ReportDeciderTests
{
    private static readonly DispatchAttempted Attempted = new(Sms, 1, "twilio", Noon);
    private static readonly NotificationDispatched Dispatched = new(Sms, 1, "twilio", "SM1", 12, "hash", Noon);
    private static readonly DispatchOutcomeUnknown Unknown = new(Sms, 1, "twilio", Reasons.TimedOut, Noon.AddMinutes(15), Noon);

    public static TheoryData<string, DeliveryStatus, string?> Sets =>
        new()
        {
            { "queued", DeliveryStatus.Dispatched, null },
            { "queued sent", DeliveryStatus.Dispatched, null },
            { "queued sent delivered", DeliveryStatus.Delivered, null },
            { "delivered", DeliveryStatus.Delivered, null },
            { "queued failed", DeliveryStatus.Failed, Reasons.Undelivered },
            { "failed", DeliveryStatus.Failed, Reasons.Undelivered },
            { "failed other", DeliveryStatus.Failed, Reasons.BadAddress },
            { "queued failed delivered", DeliveryStatus.Delivered, null },
            { "delivered bounced", DeliveryStatus.Failed, Reasons.HardBounced },
            { "queued delivered bounced failed", DeliveryStatus.Failed, Reasons.HardBounced },
            { "opened", DeliveryStatus.Delivered, null },
            { "queued opened complained unsubscribed", DeliveryStatus.Delivered, null },
        };

    [Theory, MemberData(nameof(Sets))]
    public void Receipts_in_any_order_and_twice_end_in_one_state(string receipts, DeliveryStatus status, string? reason)
    {
        foreach (var answer in new[] { "accepted", "lost" })
        {
            var ends = new HashSet<string>();
            foreach (var order in Orders([.. receipts.Split(' '), answer]))
            {
                var once = new World();
                foreach (var step in order)
                    once.Take(step);
                var twice = new World();
                foreach (var step in order)
                {
                    twice.Take(step);
                    if (step != answer)
                        twice.Take(step);
                }

                foreach (var world in new[] { once, twice })
                {
                    world.LookAgain();
                    var d = world.Delivery;
                    Assert.True((status, reason) == (d.Status, d.Reason), $"{string.Join(" → ", order)} ended as {d.Status} {d.Reason}");
                    Assert.False(world.IsOpen, $"{string.Join(" → ", order)}: it has ended, and is still worked on");
                    ends.Add(
                        $"{d.Status} {d.Reason} {d.ProviderCode} {d.Provider} {d.DeliveredAt} {d.OpenedAt} {d.ComplainedAt} "
                            + $"{d.UnsubscribedAt}"
                            + (answer == "accepted" ? $"{d.ProviderMessageId} {d.DispatchedAt} {d.Attempts}" : "")
                    );
                }
            }

            Assert.Single(ends);
        }
    }

    [Fact]
    public void A_repeated_receipt_is_no_event()
    {
        foreach (var step in new[] { "queued", "sent", "delivered", "failed", "bounced", "opened", "complained", "unsubscribed" })
        {
            var world = new World();
            world.Take("accepted");
            world.Take(step);
            var events = world.Events;
            world.Take(step);
            Assert.Equal(events, world.Events);
        }
    }

    [Fact]
    public void Delivery_that_waits_for_a_retry_ends_when_a_receipt_reports_arrival()
    {
        foreach (
            var state in new object[]
            {
                new DeliveryDeferred(Sms, Noon.AddMinutes(1), Reasons.Retry, 1, "twilio", "500", Noon),
                new DeliveryDeadLettered(Sms, 12, Reasons.AttemptsExhausted, "twilio", "500", Noon),
            }
        )
        {
            foreach (
                var (what, status) in new[]
                {
                    (ReportKind.Accepted, DeliveryStatus.Dispatched),
                    (ReportKind.Delivered, DeliveryStatus.Delivered),
                }
            )
                Assert.Equal(status, Decide(Notification(Attempted, state), Report(what)).Delivery.Status);
        }
    }

    [Fact]
    public void A_failure_of_what_is_tried_again_anyway_waits_until_it_is_known_which_message_it_was()
    {
        var deferred = Notification(Attempted, new DeliveryDeferred(Sms, Noon.AddMinutes(1), Reasons.Retry, 1, "twilio", "500", Noon));
        var failed = Report(ReportKind.Failed, reason: Reasons.Undelivered);
        Assert.True(Decide(deferred, failed) is { IsEarly: true, Events.Count: 0 });
        var again = Notification(
            Attempted,
            new DispatchAttempted(Sms, 2, "twilio", Noon),
            new NotificationDispatched(Sms, 2, "twilio", "SM2", 12, null, Noon)
        );
        Assert.Empty(Decide(again, failed).Events);
        Assert.Equal(DeliveryStatus.Failed, Decide(again, failed with { MessageId = "SM2" }).Delivery.Status);
    }

    [Fact]
    public void Report_of_an_earlier_provider_is_ignored_unless_the_message_arrived()
    {
        var moved = Notification(
            Attempted,
            new DeliveryDeferred(Sms, Noon, Reasons.Retry, 1, "twilio", "500", Noon),
            new DispatchAttempted(Sms, 2, "vonage", Noon),
            new NotificationDispatched(Sms, 2, "vonage", "V1", 12, null, Noon)
        );
        Assert.Empty(Decide(moved, Report(ReportKind.Failed, reason: Reasons.Undelivered)).Events);
        Assert.Empty(Decide(moved, Report(ReportKind.Accepted)).Events);
        Assert.Equal(
            (DeliveryStatus.Delivered, "vonage", "V1"),
            Decide(moved, Report(ReportKind.Delivered)).Delivery is var d ? (d.Status, d.Provider, d.ProviderMessageId) : default
        );
        var late = Notify.Domain.Notifications.Notification.Evolve(
            moved,
            Key,
            new NotificationFailed(Sms, 1, Reasons.Undelivered, "twilio", "30003", Noon, "SM1:failed")
        )!;
        Assert.Equal(DeliveryStatus.Dispatched, late.Deliveries[Sms].Status);
    }

    [Fact]
    public void Word_that_comes_after_the_deadline_is_welcome()
    {
        var given = Notification(Attempted, Unknown, new NotificationFailed(Sms, 1, Reasons.OutcomeNeverKnown, "twilio", null, Noon));
        Assert.Equal(DeliveryStatus.Dispatched, Decide(given, Report(ReportKind.Accepted)).Delivery.Status);
        Assert.Equal(DeliveryStatus.Delivered, Decide(given, Report(ReportKind.Delivered)).Delivery.Status);
        Assert.Equal(
            (DeliveryStatus.Failed, Reasons.BadAddress),
            Decide(given, Report(ReportKind.Failed, reason: Reasons.BadAddress)).Delivery is var d ? (d.Status, d.Reason) : default
        );
    }

    [Fact]
    public void Suppressed_delivery_becomes_delivered_when_a_receipt_reports_arrival() =>
        Assert.Equal(
            DeliveryStatus.Delivered,
            Decide(
                Notification(Attempted, new DeliverySuppressed(Sms, Reasons.OptedOut, "channel sms", Noon)),
                Report(ReportKind.Delivered)
            ).Delivery.Status
        );

    [Fact]
    public void Events_name_the_receipt_that_they_follow_from()
    {
        var events = Decide(Notification(Attempted, Unknown), Report(ReportKind.Delivered)).Events;
        Assert.Equal(
            [
                new NotificationDispatched(Sms, 1, "twilio", "SM1", 0, null, Noon, "SM1:x"),
                new NotificationDelivered(Sms, "twilio", Noon, "SM1:x"),
            ],
            events
        );
    }

    [Fact]
    public void An_app_s_word_says_nothing_of_a_provider() =>
        Assert.Equal(
            [new NotificationDelivered(Push, "app", Noon), new NotificationOpened(Push, "app", Noon)],
            ReportDecider
                .Decide(
                    Notification(),
                    Notification().Deliveries[Push],
                    new DeliveryReport(ReportKind.Opened, DeliveryReport.App, Noon),
                    isCalling: false
                )
                .Events
        );

    private static Reported Decide(Notification n, DeliveryReport report, bool isCalling = false) =>
        ReportDecider.Decide(n, n.Deliveries[Sms], report, isCalling);

    private static DeliveryReport Report(ReportKind what, string? reason = null, string? code = null) =>
        new(what, "twilio", Noon, "SM1:x", "SM1", reason, code);

    private static DeliveryReport ReportOf(string name) =>
        name switch
        {
            "queued" or "sent" => Report(ReportKind.Accepted),
            "delivered" => Report(ReportKind.Delivered),
            "failed" => Report(ReportKind.Failed, Reasons.Undelivered, "30003"),
            "other" => Report(ReportKind.Failed, Reasons.BadAddress, "30005"),
            "bounced" => Report(ReportKind.Failed, Reasons.HardBounced, "5.1.1"),
            "opened" => Report(ReportKind.Opened),
            "complained" => Report(ReportKind.Complained),
            "unsubscribed" => Report(ReportKind.Unsubscribed),
            _ => throw new ArgumentException(name),
        };

    private static IEnumerable<string[]> Orders(string[] items) =>
        items.Length <= 1
            ? [items]
            : items.SelectMany((item, i) => Orders([.. items[..i], .. items[(i + 1)..]]).Select(rest => (string[])[item, .. rest]));

    // One delivery whose provider is being called, the row that it is worked on by, and the receipts that came too early.
    private sealed class World
    {
        private readonly List<string> early = [];
        private Notification state = Notification(Attempted);
        private bool isCalling = true,
            hasEnded;

        public bool IsOpen { get; private set; } = true;

        public int Events { get; private set; }

        public Delivery Delivery => state.Deliveries[Sms];

        public void Take(string step)
        {
            if (step is "accepted" or "lost")
                Answer(step);
            else
                Receive(step);
        }

        public void LookAgain()
        {
            for (var i = 0; i < 3; i++)
            {
                var waiting = early.ToList();
                early.Clear();
                foreach (var step in waiting)
                    Receive(step);
            }
        }

        private void Receive(string step)
        {
            var reported = Decide(state, ReportOf(step), isCalling);
            if (reported.IsEarly)
                early.Add(step);
            foreach (var e in reported.Events)
                state = Notify.Domain.Notifications.Notification.Evolve(state, Key, e)!;
            Events += reported.Events.Count;
            if (reported.Events.Count == 0 || !Delivery.IsTerminal)
                return;
            if (isCalling)
                hasEnded = true;
            else
                IsOpen = false;
        }

        private void Answer(string step)
        {
            isCalling = false;
            if (step == "lost" && !hasEnded)
                state = Notify.Domain.Notifications.Notification.Evolve(state, Key, Unknown)!;
            else
                IsOpen = false;
            if (step == "accepted")
                state = Notify.Domain.Notifications.Notification.Evolve(state, Key, Dispatched)!;
        }
    }
}
