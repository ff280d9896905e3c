namespace Notify.Tests.Dispatch.Routing;

using Notify.Dispatch.Routing;

public class WeightDeciderTests
{
    private static readonly DateTimeOffset Start = new(2026, 5, 4, 12, 0, 0, TimeSpan.Zero);
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(10);

    [Theory]
    [InlineData(0, 1)]
    [InlineData(0.04, 1)]
    [InlineData(0.05, 0.75)]
    [InlineData(0.2, 0.5)]
    [InlineData(0.4, 0.25)]
    [InlineData(0.9, 0.1)]
    public void Errors_take_weight_at_once(double rate, double expected) => Assert.Equal(expected, After(rate, 100).Factor);

    [Theory]
    [InlineData(100, 1)] // twice the usual, and still quick
    [InlineData(400, 1)]
    [InlineData(700, 0.75)]
    [InlineData(1200, 0.5)]
    [InlineData(1800, 0.25)]
    [InlineData(3000, 0.1)]
    public void And_so_does_being_slower_than_usual(double p95, double expected) =>
        Assert.Equal(expected, After(0, p95, usual: p95 <= 100 ? 40 : 300).Factor);

    [Theory]
    [InlineData(4900, 1)]
    [InlineData(5100, 0.5)]
    [InlineData(8100, 0.1)]
    public void And_coming_near_the_time_out_even_if_that_is_usual(double p95, double expected) =>
        Assert.Equal(expected, After(0, p95, usual: p95).Factor);

    [Fact]
    public void A_few_calls_take_nothing() => Assert.Equal(1, After(1, 100, calls: 9).Factor);

    [Fact]
    public void It_comes_back_a_step_for_each_half_minute_of_health_and_says_why()
    {
        var (weight, now, steps) = (new WeightFactor(0.1, Start, "all failed"), Start, new List<(double, double)>());
        for (var i = 0; i < 200; i++)
        {
            now = now.AddSeconds(1);
            var next = WeightDecider.Decide(weight, new WindowCounts(50, 0, 0, 40), 40, Timeout, now);
            if (next != weight)
                steps.Add(((now - Start).TotalSeconds, next.Factor));
            weight = next;
        }

        Assert.Equal([(30, 0.25), (60, 0.5), (90, 0.75), (120, 1)], steps);
        Assert.Equal("30 s without reason for less", weight.Reason);
        Assert.Equal("40% of 100 calls failed", After(0.4, 100).Reason);
        Assert.Equal("p95 is 3000 ms, usually 300 ms", After(0, 3000, usual: 300).Reason);
    }

    [Fact]
    public void A_rate_that_dances_around_a_threshold_changes_little()
    {
        var (weight, now, changes) = (new WeightFactor(1, Start), Start, 0);
        for (var i = 0; i < 300; i++)
        {
            now = now.AddSeconds(1);
            var next = WeightDecider.Decide(weight, new WindowCounts(100, i % 2 == 0 ? 4 : 6, 0, 40), 40, Timeout, now);
            if (next.Factor != weight.Factor)
                changes++;
            weight = next;
        }

        Assert.InRange(changes, 1, 20); // five minutes
    }

    [Fact]
    public void Without_calls_nothing_is_known_and_nothing_changes() =>
        Assert.Equal(0.1, WeightDecider.Decide(new WeightFactor(0.1, Start), default, 40, Timeout, Start.AddHours(1)).Factor);

    [Fact]
    public void Permanently_higher_latency_becomes_the_usual_one()
    {
        double? usual = 300;
        for (var i = 0; i < 1800; i++)
            usual = WeightDecider.Usual(usual, new WindowCounts(50, 0, 0, 1000), TimeSpan.FromSeconds(1));
        Assert.InRange(usual!.Value, 900, 1000);
        Assert.Equal(300, WeightDecider.Usual(300, new WindowCounts(3, 0, 0, 9000), TimeSpan.FromSeconds(1)));
        Assert.InRange(WeightDecider.Usual(300, new WindowCounts(50, 0, 0, 9000), TimeSpan.FromSeconds(1))!.Value, 300, 320);
    }

    private static WeightFactor After(double rate, double p95, double usual = 100, long calls = 100) =>
        WeightDecider.Decide(
            new WeightFactor(1, Start),
            new WindowCounts(calls, (long)Math.Round(rate * calls), 0, p95),
            usual,
            Timeout,
            Start.AddSeconds(60)
        );
}
