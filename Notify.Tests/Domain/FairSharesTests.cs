namespace Notify.Tests.Domain;

using Notify.Domain.Planning;

public class FairSharesTests
{
    [Theory]
    [InlineData(25, 1)]
    [InlineData(25, 2)]
    [InlineData(25, 7)]
    [InlineData(25, 100)]
    [InlineData(1, 3)]
    [InlineData(200, 200)]
    public void All_places_are_given_and_nobody_has_more_than_one_above_another(int places, int clients)
    {
        var names = Names(clients);
        var shares = FairShares.Divide(places, names, 11);
        Assert.Equal(places, shares.Sum(s => s.Places));
        Assert.Equal(shares.Count, shares.Select(s => s.Client).Distinct().Count());
        var each = names.Select(n => shares.FirstOrDefault(s => s.Client == n).Places).ToList();
        Assert.InRange(each.Max() - each.Min(), 0, 1);
        Assert.All(shares, s => Assert.True(s.Places > 0));
    }

    [Theory]
    [InlineData(10, 3)]
    [InlineData(2, 5)]
    [InlineData(25, 100)]
    public void Over_as_many_turns_as_there_are_clients_all_get_the_same(int places, int clients)
    {
        var names = Names(clients);
        var total = names.ToDictionary(n => n, _ => 0);
        for (var turn = 0u; turn < 20 * clients; turn++)
        {
            foreach (var share in FairShares.Divide(places, names, turn))
                total[share.Client] += share.Places;
        }

        Assert.Single(total.Values.Distinct());
    }

    [Fact]
    public void Nobody_waits_or_nothing_is_free_and_nothing_is_given()
    {
        Assert.Empty(FairShares.Divide(10, [], 0));
        Assert.Empty(FairShares.Divide(0, ["a"], 0));
    }

    private static List<string> Names(int count) => [.. Enumerable.Range(0, count).Select(i => $"c_{i:000}")];
}
