namespace Notify.Tests.Dispatch.Routing;

using Notify.Dispatch.Routing;

public class RouteDeciderTests
{
    [Theory]
    [InlineData("a b c", "", "a")]
    [InlineData("-a b c", "", "b")]
    [InlineData("a b c", "a", "b")]
    [InlineData("a -b c", "a", "c")]
    [InlineData("a b", "a b", "a")]
    [InlineData("-a b", "b", "b")]
    [InlineData("-a -b", "", "a")] // nobody is usable: the first all the same
    [InlineData("-a -b", "a", "b")]
    [InlineData("-a", "", "a")]
    public void In_order_the_first_usable_one_that_was_not_tried(string route, string tried, string expected) =>
        Assert.Equal(expected, Choose(route, tried, weighted: false, 0.99));

    [Theory]
    [InlineData("a=70 b=30", "", 0, "a")]
    [InlineData("a=70 b=30", "", 0.69, "a")]
    [InlineData("a=70 b=30", "", 0.71, "b")]
    [InlineData("a=70 b=30", "a", 0, "b")]
    [InlineData("-a=70 b=30 c=10", "", 0.5, "b")]
    [InlineData("-a=70 b=30 c=10", "", 0.8, "c")]
    [InlineData("a=7 b=30", "", 0.9999999, "b")]
    [InlineData("~a=70 b=30", "", 0, "b")] // at its rate's limit
    [InlineData("~a=70 ~b=30", "", 0, "a")]
    public void By_weight_among_those_that_are_usable(string route, string tried, double random, string expected) =>
        Assert.Equal(expected, Choose(route, tried, weighted: true, random));

    [Fact]
    public void Shares_are_as_configured()
    {
        var random = new Random(7);
        var counts = Enumerable
            .Range(0, 10_000)
            .Select(_ => Choose("a=70 b=20 c=10", "", true, random.NextDouble()))
            .CountBy(c => c)
            .ToDictionary();
        Assert.InRange(counts["a"], 6800, 7200);
        Assert.InRange(counts["b"], 1800, 2200);
        Assert.InRange(counts["c"], 800, 1200);
    }

    [Theory]
    [InlineData("a b", "a", true)]
    [InlineData("a -b", "a", false)]
    [InlineData("a ~b", "a", false)]
    [InlineData("a b", "a b", false)]
    [InlineData("a", "a", false)]
    public void Another_one_is_there_if_it_is_usable_and_was_not_tried(string route, string tried, bool expected) =>
        Assert.Equal(expected, RouteDecider.HasAnother(Candidates(route), Words(tried)));

    private static string Choose(string route, string tried, bool weighted, double random)
    {
        var candidates = Candidates(route);
        return candidates[RouteDecider.Choose(candidates, weighted, Words(tried), random)].Name;
    }

    private static Candidate[] Candidates(string route) =>
        [
            .. Words(route)
                .Select(w =>
                {
                    var parts = w.TrimStart('-', '~').Split('=');
                    return new Candidate(parts[0], w[0] != '-', parts.Length > 1 ? double.Parse(parts[1]) : 1, w[0] != '~');
                }),
        ];

    private static string[] Words(string text) => text.Split(' ', StringSplitOptions.RemoveEmptyEntries);
}
