namespace Notify.Tests.Dispatch.Routing;

using Notify.Dispatch.Providers;
using Notify.Dispatch.Routing;
using Notify.Domain.Notifications;
using Notify.Domain.Routing;

public class CircuitDeciderTests
{
    private static readonly DateTimeOffset Start = new(2026, 5, 4, 12, 0, 0, TimeSpan.Zero);

    /// <summary>One provider's circuit, call by call.</summary>
    private sealed class Line
    {
        private readonly OutcomeWindow window = new();

        public Circuit Circuit { get; private set; } = new(CircuitState.Closed, Start);

        public DateTimeOffset Now { get; private set; } = Start;

        public Line Calls(string verdicts, double secondsEach = 0.1, TimeSpan ago = default)
        {
            foreach (var c in verdicts)
            {
                Now = Now.AddSeconds(secondsEach);
                Circuit = CircuitDecider.At(Circuit, Now);
                var verdict = c switch
                {
                    '+' => Verdict.Works,
                    '-' => Verdict.Fails,
                    '!' => Verdict.Refuses,
                    _ => Verdict.Throttles,
                };
                if (verdict != Verdict.Throttles)
                    window.Add(verdict != Verdict.Works, TimeSpan.FromMilliseconds(50), Now);
                var before = Circuit.State;
                Circuit = CircuitDecider.After(Circuit, window.Counts(Now), verdict, "Retry 503", Now - ago, Now);
                if (Circuit.State != before)
                    window.Clear();
            }

            return this;
        }

        public Line Wait(double seconds)
        {
            Now = Now.AddSeconds(seconds);
            Circuit = CircuitDecider.At(Circuit, Now);
            return this;
        }
    }

    [Theory]
    [InlineData("----", CircuitState.Closed)]
    [InlineData("-----", CircuitState.Open)]
    [InlineData("----+----", CircuitState.Closed)]
    [InlineData("-+-+-+-+-", CircuitState.Closed)]
    [InlineData("-+-+-+-+--", CircuitState.Open)]
    [InlineData("++++++++++----", CircuitState.Closed)]
    [InlineData("!", CircuitState.Open)]
    [InlineData("~~~~~~~~~~~~", CircuitState.Closed)]
    [InlineData("----~~~~-", CircuitState.Open)]
    public void It_opens_when_half_fail_or_five_in_a_row_or_our_configuration_is_refused(string calls, CircuitState expected) =>
        Assert.Equal(expected, new Line().Calls(calls).Circuit.State);

    [Theory]
    [InlineData(40, 5)]
    [InlineData(121, 12)]
    [InlineData(1000, 20)]
    public void A_row_that_many_calls_may_have_by_chance_opens_nothing(int before, int needed)
    {
        var line = new Line()
            .Calls(new string('+', before - needed), secondsEach: 0.01)
            .Calls(new string('-', needed - 1), secondsEach: 0.01);
        Assert.Equal(CircuitState.Closed, line.Circuit.State);
        Assert.Equal(CircuitState.Open, line.Calls("-").Circuit.State);
    }

    [Fact]
    public void Calls_older_than_the_window_are_not_counted() =>
        Assert.Equal(CircuitState.Closed, new Line().Calls("-+-+-+-+-+-+-+-+-+-+-", secondsEach: 4).Circuit.State);

    [Fact]
    public void It_says_why_and_until_when()
    {
        var line = new Line().Calls("-----");
        Assert.Equal(
            ("5 failures in a row: Retry 503", line.Now, line.Now.AddSeconds(10)),
            (line.Circuit.Reason, line.Circuit.Since, line.Circuit.Until)
        );
        Assert.Equal("5 of 10 calls failed within 30 s: Retry 503", new Line().Calls("+-+-+-+-+-").Circuit.Reason);
    }

    [Fact]
    public void Pauses_double_up_to_five_minutes_while_tries_fail()
    {
        var line = new Line().Calls("-----");
        var pauses = new List<double>();
        for (var i = 0; i < 8; i++)
        {
            var pause = (line.Circuit.Until!.Value - line.Now).TotalSeconds;
            pauses.Add(Math.Round(pause, 3));
            Assert.Equal(CircuitState.Open, line.Wait(pause - 0.1).Circuit.State);
            Assert.Equal(CircuitState.HalfOpen, line.Wait(0.2).Circuit.State);
            line.Calls("-");
        }

        Assert.Equal([10, 20, 40, 80, 160, 300, 300, 300], pauses);
    }

    [Fact]
    public void Three_successes_close_it_and_a_failure_between_them_does_not()
    {
        Assert.Equal(CircuitState.HalfOpen, new Line().Calls("-----").Wait(10).Calls("++").Circuit.State);
        Assert.Equal(CircuitState.Closed, new Line().Calls("-----").Wait(10).Calls("+++").Circuit.State);
        Assert.Equal(
            (CircuitState.Open, 2),
            (
                new Line().Calls("-----").Wait(10).Calls("++-").Circuit.State,
                new Line().Calls("-----").Wait(10).Calls("++-").Circuit.Openings
            )
        );
    }

    [Fact]
    public void Circuit_that_reopens_soon_counts_another_opening_and_later_counts_from_one()
    {
        Assert.Equal(2, new Line().Calls("-----").Wait(10).Calls("+++-----").Circuit.Openings);
        Assert.Equal(1, new Line().Calls("-----").Wait(10).Calls("+++").Wait(120).Calls("-----").Circuit.Openings);
    }

    [Fact]
    public void Calls_that_began_before_the_circuit_changed_say_nothing_about_now()
    {
        var line = new Line().Calls("-----").Wait(10).Calls("--++", ago: TimeSpan.FromSeconds(8));
        Assert.Equal((CircuitState.HalfOpen, 0), (line.Circuit.State, line.Circuit.Successes));
    }

    [Fact]
    public void Successes_in_a_row_of_what_was_sent_all_the_same_are_signs_of_life()
    {
        var line = new Line().Calls("-----").Wait(10).Calls("-"); // open for 20 s
        Assert.Equal(CircuitState.Open, line.Calls("++++++").Circuit.State); // too soon
        Assert.Equal(CircuitState.Open, line.Wait(10).Calls("-++++").Circuit.State); // too few
        Assert.Equal(CircuitState.HalfOpen, line.Calls("+").Circuit.State);
        Assert.Equal(CircuitState.Closed, line.Calls("+++").Circuit.State);
    }

    [Fact]
    public void An_outcome_says_of_the_provider_whether_it_works()
    {
        var provider = new StubProvider("p");
        Assert.Equal(Verdict.Works, CircuitDecider.Judge(provider, new AttemptOutcome.Accepted("m")));
        Assert.Equal(
            Verdict.Works,
            CircuitDecider.Judge(provider, new AttemptOutcome.Rejected(Reasons.Unregistered, "410", AddressVerdict.Dead))
        );
        Assert.Equal(Verdict.Works, CircuitDecider.Judge(provider, new AttemptOutcome.Rejected(Reasons.TooLarge, "413")));
        Assert.Equal(Verdict.Refuses, CircuitDecider.Judge(provider, new AttemptOutcome.Halted("401")));
        Assert.Equal(Verdict.Fails, CircuitDecider.Judge(provider, new AttemptOutcome.Unknown(Reasons.TimedOut)));
        Assert.Equal(
            Verdict.Fails,
            CircuitDecider.Judge(provider, new AttemptOutcome.Retry(Reasons.Retry, "503", TimeSpan.FromSeconds(5)))
        );
        Assert.Equal(Verdict.Fails, CircuitDecider.Judge(provider, new AttemptOutcome.Retry(Reasons.Retry, "429")));
        Assert.Equal(
            Verdict.Throttles,
            CircuitDecider.Judge(provider, new AttemptOutcome.Retry(Reasons.Retry, "20429", TimeSpan.FromSeconds(5)))
        );
    }

    [Fact]
    public void A_change_of_state_is_told_and_nothing_else()
    {
        var (closed, open) = (new Circuit(CircuitState.Closed, Start), new Line().Calls("-----").Circuit);
        Assert.Equal(new CircuitOpened("p", open.Reason!, open.Until!.Value, open.Since), CircuitDecider.Told("p", closed, open));
        var half = CircuitDecider.At(open, open.Until.Value);
        Assert.Equal(new CircuitHalfOpened("p", "tried again after 10 s", open.Until.Value), CircuitDecider.Told("p", open, half));
        Assert.Null(CircuitDecider.Told("p", half, half with { Successes = 2 }));
    }
}
