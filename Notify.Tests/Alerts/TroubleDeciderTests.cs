namespace Notify.Tests.Alerts;

using Notify.Delivery.Monitoring;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;

public class TroubleDeciderTests
{
    private static readonly AlertRules Rules = new();
    private static readonly DateTimeOffset Start = new(2026, 5, 1, 12, 0, 0, TimeSpan.Zero);
    private static readonly DeliveryQueue Sms = new(Lane.Sms, Priority.Normal),
        Critical = new(Lane.Sms, Priority.Critical);

    /// <summary>An installation whose alerts are evaluated every ten seconds.</summary>
    private sealed class Installation
    {
        private readonly List<CallCounts> calls = [];
        private readonly List<Trouble> over = [];

        public DateTimeOffset Now { get; private set; } = Start;

        public List<Trouble> Open { get; } = [];

        public List<string> Told { get; } = [];

        public List<StandingFault> Standing { get; } = [];

        public HashSet<string> Diverted { get; } = [];

        public Trouble Only => Assert.Single(Open);

        public Installation Calls(
            long good = 0,
            long failed = 0,
            long halted = 0,
            long refused = 0,
            long dead = 0,
            string code = "503",
            DeliveryQueue? queue = null,
            string provider = "twilio"
        )
        {
            Add(CallOutcome.Answered, "", null, good);
            Add(CallOutcome.Failed, Reasons.Retry, code, failed);
            Add(CallOutcome.Halted, Reasons.ChannelHalted, code, halted);
            Add(CallOutcome.Refused, Reasons.Rejected, code, refused);
            Add(CallOutcome.DeadLettered, Reasons.AttemptsExhausted, code, dead);
            return this;

            void Add(CallOutcome outcome, string reason, string? c, long count)
            {
                if (count > 0)
                    calls.Add(new CallCounts(Now, provider, queue ?? Sms, outcome, reason, c, count));
            }
        }

        public Installation After(double seconds = 10)
        {
            for (var left = seconds; left > 0; left -= 10)
            {
                Now = Now.AddSeconds(Math.Min(10, left));
                Judge();
            }

            return this;
        }

        public Judgement Judge()
        {
            var recovered = over.GroupBy(t => t.Subject).ToDictionary(g => g.Key, g => g.Max(t => t.RecoveredAt!.Value));
            var judgement = TroubleDecider.Decide(
                Rules,
                new Evidence([.. calls.Where(c => c.Bucket > Now.AddHours(-1))], Standing, [.. Open], recovered, Diverted),
                Now
            );
            Open.Clear();
            Open.AddRange(judgement.Opened.Concat(judgement.Going));
            over.AddRange(judgement.Recovered);
            Told.AddRange(judgement.Opened.Select(t => $"+{t.Subject}").Concat(judgement.Recovered.Select(t => $"-{t.Subject}")));
            return judgement;
        }

        public Installation For(
            int tens,
            long good = 0,
            long failed = 0,
            long halted = 0,
            long refused = 0,
            long dead = 0,
            string code = "503",
            DeliveryQueue? queue = null
        )
        {
            for (var i = 0; i < tens; i++)
                Calls(good, failed, halted, refused, dead, code, queue).After();
            return this;
        }
    }

    [Fact]
    public void An_outage_is_told_once_while_it_lasts_and_once_when_it_is_over()
    {
        var house = new Installation().For(12, good: 50).For(120, failed: 50);
        Assert.Equal(["+provider:twilio"], house.Told);
        Assert.Equal(("Retry 503", 6000L, 6000L), (house.Only.FirstCause, house.Only.Failures, house.Only.Attempts));

        house.For(60, good: 50);
        Assert.Equal(["+provider:twilio", "-provider:twilio"], house.Told);
        Assert.Empty(house.Open);
    }

    [Fact]
    public void A_provider_that_only_gets_tries_is_told_once_and_over_when_it_is_sent_to_again()
    {
        var house = new Installation().For(6, good: 50).For(1, failed: 5);
        house.Diverted.Add("twilio");
        for (var tries = 0; tries < 8; tries++)
            house.Calls(failed: 1).After(20 << tries);
        Assert.Equal(["+provider:twilio"], house.Told);

        // One try succeeds, the next one fails again: it lasts.
        house.Calls(good: 1).After(120).Calls(failed: 1).After(300);
        Assert.Equal(["+provider:twilio"], house.Told);

        house.Calls(good: 3);
        house.Diverted.Clear();
        house.After(10).For(60, good: 50);
        Assert.Equal(["+provider:twilio", "-provider:twilio"], house.Told);
    }

    [Fact]
    public void Every_failure_and_attempt_since_the_first_failure_is_counted_once_however_long_it_lasts()
    {
        var house = new Installation().For(12, good: 10).For(720, failed: 7, good: 1); // two hours: more than is kept
        Assert.Equal((720 * 7L, 720 * 8L), (house.Only.Failures, house.Only.Attempts));
        Assert.Equal(Start.AddSeconds(120), house.Only.FirstFailureAt);
    }

    [Fact]
    public void A_short_burst_of_failures_among_successes_is_no_trouble() =>
        Assert.Empty(new Installation().For(6, good: 50).For(1, failed: 100, good: 1).For(12, good: 50).Told);

    [Fact]
    public void A_third_of_failures_is_no_trouble_of_a_provider_s() => Assert.Empty(new Installation().For(60, good: 20, failed: 10).Told);

    [Fact]
    public void At_low_volume_five_failures_in_a_row_are_a_trouble_and_four_are_not()
    {
        var house = new Installation()
            .Calls(good: 1)
            .After(300)
            .Calls(failed: 1)
            .After(200)
            .Calls(failed: 1)
            .After(200)
            .Calls(failed: 1)
            .After(200)
            .Calls(failed: 1)
            .After(200);
        Assert.Empty(house.Told);
        house.Calls(failed: 1).After();
        Assert.Equal(["+provider:twilio"], house.Told);
        Assert.Equal(5, house.Only.Failures);
    }

    [Fact]
    public void A_success_breaks_the_row()
    {
        var house = new Installation();
        for (var i = 0; i < 10; i++)
            house.Calls(failed: 1).After(120).Calls(failed: 1).After(120).Calls(good: 1).After(120);
        Assert.Empty(house.Told);
    }

    [Fact]
    public void Without_traffic_an_open_trouble_stays_open()
    {
        var house = new Installation().For(6, failed: 20).After(3 * 3600);
        Assert.Equal(["+provider:twilio"], house.Told);
        Assert.Equal(Start.AddSeconds(50), house.Only.LastCallAt);
    }

    [Fact]
    public void One_success_after_a_quiet_time_closes_it()
    {
        var house = new Installation().For(6, failed: 20).After(2 * 3600).Calls(good: 1).After();
        Assert.Equal(["+provider:twilio", "-provider:twilio"], house.Told);
    }

    [Fact]
    public void Successes_between_many_failures_do_not_close_it() =>
        Assert.Equal(["+provider:twilio"], new Installation().For(12, failed: 20).For(60, failed: 5, good: 20).Told);

    [Fact]
    public void Provider_that_flaps_within_the_window_raises_one_alert()
    {
        var house = new Installation().For(6, failed: 20);
        for (var i = 0; i < 30; i++)
            house.For(2, good: 20).For(2, failed: 20);
        Assert.Equal(["+provider:twilio"], house.Told);
    }

    [Fact]
    public void Old_failures_do_not_open_a_trouble_again()
    {
        var house = new Installation().For(12, failed: 20).For(12, good: 20);
        Assert.Equal(2, house.Told.Count);
        house.After(1800);
        Assert.Equal(2, house.Told.Count);
        house.For(12, failed: 20);
        Assert.Equal(["+provider:twilio", "-provider:twilio", "+provider:twilio"], house.Told);
    }

    [Fact]
    public void Wrong_credentials_are_told_at_the_first_refusal()
    {
        var house = new Installation().For(6, good: 100).Calls(good: 100, halted: 1, code: "20003").After();
        Assert.Equal(["+halted:twilio"], house.Told);
        Assert.Equal("ChannelHalted 20003", house.Only.FirstCause);
        house.For(12, good: 100);
        Assert.Single(house.Told);
        house.For(12, good: 100);
        Assert.Equal(["+halted:twilio", "-halted:twilio"], house.Told);
    }

    [Fact]
    public void Answered_calls_raise_no_alert() => Assert.Empty(new Installation().For(60, good: 100).Told);

    [Fact]
    public void Dead_letters_of_an_outage_are_the_outage_s_and_not_told_again()
    {
        var house = new Installation().For(6, good: 20).For(60, failed: 20, dead: 5).For(30, good: 50);
        Assert.Equal(["+provider:twilio", "-provider:twilio"], house.Told);
    }

    [Fact]
    public void Deliveries_that_keep_dying_while_most_arrive_are_told()
    {
        var house = new Installation().For(30, good: 20, failed: 5, dead: 1, queue: Critical);
        Assert.Equal(["+dead-letters:sms_critical"], house.Told);
        Assert.Equal((Lane.Sms, Priority.Critical), (house.Only.Lane, house.Only.Priority));
        house.For(70, good: 20, queue: Critical);
        Assert.Equal(["+dead-letters:sms_critical", "-dead-letters:sms_critical"], house.Told);
    }

    [Fact]
    public void A_few_dead_letters_among_very_many_deliveries_are_no_trouble() =>
        Assert.Empty(new Installation().For(60, good: 1000, dead: 1).Told);

    [Fact]
    public void A_class_that_fails_while_its_provider_works_is_told_by_its_name()
    {
        var house = new Installation();
        for (var i = 0; i < 12; i++)
            house.Calls(good: 100).Calls(failed: 10, queue: Critical).After();
        Assert.Equal(["+deliveries:sms_critical"], house.Told);
        for (var i = 0; i < 12; i++)
            house.Calls(good: 100).Calls(failed: 10, dead: 3, queue: Critical).After();
        Assert.Single(house.Told); // and its dead letters are its own
    }

    [Fact]
    public void Messages_refused_for_one_reason_are_told_with_it()
    {
        var house = new Installation().For(12, refused: 10, good: 1, code: "21408");
        Assert.Equal(["+refused:twilio:sms:Rejected"], house.Told);
        Assert.Equal("Rejected 21408", house.Only.FirstCause);
        house.After(2 * 3600).For(12, good: 5); // its counts are long gone
        Assert.Equal(["+refused:twilio:sms:Rejected", "-refused:twilio:sms:Rejected"], house.Told);
    }

    [Fact]
    public void Two_providers_have_troubles_of_their_own()
    {
        var house = new Installation();
        for (var i = 0; i < 12; i++)
            house.Calls(failed: 20).Calls(failed: 20, provider: "apns", queue: new DeliveryQueue(Lane.Apns, Priority.Bulk)).After();
        Assert.Equal(["+provider:apns", "+provider:twilio"], house.Told.Order());
    }

    [Fact]
    public void A_standing_fault_is_told_once_and_its_end_once_and_between_nothing_changes()
    {
        var house = new Installation();
        Stand(true, 1).After(60);
        Stand(true, 3).After(60);
        Assert.Equal(3, house.Only.Failures);
        Stand(null, 0).After(60);
        Assert.Equal(["+messages:dispatch_messages"], house.Told);
        Stand(false, 0).After(60);
        Assert.Equal(["+messages:dispatch_messages", "-messages:dispatch_messages"], house.Told);

        Installation Stand(bool? bad, long count)
        {
            house.Standing.Clear();
            house.Standing.Add(
                new StandingFault("messages:dispatch_messages", TroubleKind.MessageFailed, bad, "SomeException", count, house.Now)
            );
            return house;
        }
    }

    [Fact]
    public void Judging_twice_at_the_same_time_names_the_same_trouble()
    {
        Installation House() => new Installation().For(3, failed: 20);
        Assert.Equal(House().Only.Id, House().Only.Id);
    }
}
