namespace Notify.Tests.Dispatch;

using System.Text.Json;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.Receipts;
using Notify.Dispatch.Receipts;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Infrastructure.Json;
using static Notify.Tests.Domain.Some;

/// <summary>Decisions on receipts: the rows, their deliveries and the receipts to process again.</summary>
public sealed class VerdictsTests
{
    private static readonly DispatchAttempted Attempted = new(Sms, 1, "twilio", Noon);

    [Fact]
    public void Receipt_of_an_unknown_delivery_is_retried_with_growing_delay_for_thirty_days()
    {
        foreach (
            var (age, wait) in new (TimeSpan, TimeSpan?)[]
            {
                (default, TimeSpan.FromSeconds(1)),
                (TimeSpan.FromMinutes(10), TimeSpan.FromMinutes(5)),
                (TimeSpan.FromDays(29), TimeSpan.FromDays(1)),
                (TimeSpan.FromDays(31), null),
            }
        )
        {
            var verdict = Assert.Single(Judge([Row(ReportKind.Delivered) with { ReceivedAt = Noon - age }], known: false).All);
            Assert.Equal((Noon + wait, wait is null), (verdict.Row.DueAt, verdict.WasGivenUp));
        }
    }

    [Fact]
    public void Reply_of_a_person_is_processed_at_once() =>
        Assert.Null(Assert.Single(Judge([Row(ReportKind.Inbound) with { DeliveryId = null }], known: false).All).Row.DueAt);

    [Fact]
    public void A_receipt_may_not_speak_for_a_notification_of_the_other_mode()
    {
        var verdicts = Judge([Row(ReportKind.Delivered)], mayTouch: false);
        Assert.Empty(verdicts.Events);
        var kept = Assert.Single(verdicts.All);
        Assert.Equal((null, null, false), (kept.Row.Notification, kept.Row.DueAt, kept.MayTouch));
    }

    [Theory]
    [InlineData(OpenState.Deferred, ReportKind.Delivered, true, false)]
    [InlineData(OpenState.Queued, ReportKind.Accepted, true, false)]
    [InlineData(OpenState.Dead, ReportKind.Delivered, true, false)]
    [InlineData(OpenState.InFlight, ReportKind.Delivered, false, true)]
    [InlineData(OpenState.InFlight, ReportKind.Failed, false, true)]
    [InlineData(OpenState.InFlight, ReportKind.Accepted, false, false)]
    [InlineData(OpenState.Deferred, ReportKind.Failed, false, false)]
    public void A_row_goes_when_the_delivery_has_ended_and_whoever_calls_clears_away_its_own(
        OpenState state,
        ReportKind what,
        bool removed,
        bool ended
    )
    {
        object[] since = state switch
        {
            OpenState.Dead => [Attempted, new DeliveryDeadLettered(Sms, 12, Reasons.AttemptsExhausted, "twilio", "500", Noon)],
            OpenState.InFlight => [Attempted],
            _ => [Attempted, new DeliveryDeferred(Sms, Noon, Reasons.Retry, 1, "twilio", "500", Noon)],
        };
        var verdicts = Judge([Row(what)], since, state);
        Assert.Equal((removed, ended), (verdicts.Removed.Contains(Sms), verdicts.EndedInFlight.Contains(Sms)));
        Assert.Equal(!removed && !ended, Assert.Single(verdicts.All).Row.DueAt is not null);
    }

    [Theory]
    [InlineData(OpenState.Unknown)]
    [InlineData(OpenState.Asking)]
    [InlineData(OpenState.InFlight)]
    public void An_unknown_outcome_is_known_by_any_word_even_while_the_provider_is_asked(OpenState state)
    {
        var unknown = new DispatchOutcomeUnknown(Sms, 1, "twilio", Reasons.TimedOut, Noon.AddMinutes(15), Noon);
        foreach (var what in new[] { ReportKind.Accepted, ReportKind.Delivered, ReportKind.Failed })
        {
            var verdicts = Judge([Row(what)], [Attempted, unknown], state);
            Assert.IsType<NotificationDispatched>(verdicts.Events[0].Event);
            Assert.Equal([Sms], verdicts.Removed);
        }
    }

    [Fact]
    public void Receipts_of_one_delivery_are_judged_one_upon_the_other()
    {
        var verdicts = Judge(
            [Row(ReportKind.Accepted), Row(ReportKind.Delivered), Row(ReportKind.Delivered), Row(ReportKind.Opened)],
            [Attempted, new DeliveryDeferred(Sms, Noon, Reasons.Retry, 1, "twilio", "500", Noon)],
            OpenState.Deferred
        );
        Assert.Equal(
            ["NotificationDispatched", "NotificationDelivered", "NotificationOpened"],
            verdicts.Events.Select(e => e.Event.GetType().Name)
        );
        Assert.Equal(4, verdicts.All.Count);
    }

    [Fact]
    public void Nothing_happened_before_it_was_asked_for()
    {
        var early = Row(ReportKind.Delivered);
        var verdicts = Judge([early with { Facts = early.Facts with { At = Noon.AddYears(-5) } }], [Attempted]);
        Assert.All(verdicts.Events, e => Assert.Equal(Noon, e.Event.GetType().GetProperty("At")!.GetValue(e.Event)));
    }

    [Fact]
    public void Receipt_facts_survive_serialization()
    {
        var facts = new ReceiptFacts(Noon, Reasons.HardBounced, "5.1.1", Reasons.HardBounced, null, "print");
        Assert.Equal(
            facts,
            JsonSerializer.Deserialize<ReceiptFacts>(JsonSerializer.Serialize(facts, NotifyJson.Options), NotifyJson.Options)
        );
    }

    private static ReceiptRow Row(ReportKind what) =>
        new(
            "twilio",
            $"SM1:{what}",
            Noon,
            ReceiptModes.Live,
            what,
            "SM1",
            Sms,
            null,
            new ReceiptFacts(Noon, what == ReportKind.Failed ? Reasons.Undelivered : null),
            Notify.Domain.Privacy.Sealed.None,
            null
        );

    private static Verdicts Judge(
        IReadOnlyList<ReceiptRow> rows,
        object[]? since = null,
        OpenState? state = null,
        bool known = true,
        bool mayTouch = true
    )
    {
        var notification = Notification(since ?? [Attempted, new NotificationDispatched(Sms, 1, "twilio", "SM1", 12, null, Noon)]);
        Dictionary<Guid, OpenDelivery> open = state is { } s
            ? new() { [Sms] = new OpenDelivery(Sms, Key, new DeliveryQueue(Lane.Sms, Priority.Normal), s, 1, Noon, Noon) }
            : [];
        var verdicts = new Verdicts(new Dictionary<string, Notification> { [Key] = notification }, open, Noon);
        foreach (var row in rows)
            verdicts.Add(new JudgedReceipt(row, [1]), known ? (Sms, Key) : null, (_, _) => mayTouch);
        return verdicts;
    }
}
