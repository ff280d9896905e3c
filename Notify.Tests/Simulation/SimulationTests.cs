namespace Notify.Tests.Simulation;

using System.Globalization;

/// <summary>The product's decisions under hosts, a database and providers that fail in every order.</summary>
public sealed class SimulationTests
{
    /// <summary>Seeds of the short form.</summary>
    private const int ShortSeeds = 300;

    /// <summary>Seeds of the long form.</summary>
    private const int LongSeeds = 10_000;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public void Promises_hold_for_every_seed_of_the_short_form() => Hold(1, ShortSeeds);

    [Fact]
    [Trait("Category", "Long")]
    public void Promises_hold_for_every_seed_of_the_long_form() => Hold(1, LongSeeds);

    [Fact]
    public void Same_seed_gives_the_same_run()
    {
        foreach (var seed in new ulong[] { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 })
            Assert.Equal(new Simulation(seed).Run().Hash, new Simulation(seed).Run().Hash);
        Assert.NotEqual(new Simulation(1).Run().Hash, new Simulation(2).Run().Hash);
    }

    [Theory]
    [InlineData("PermitIsIgnored", "is sent")]
    [InlineData("UnknownIsRetried", "reaches the person 2 times")]
    [InlineData("LostClaimSettles", "")]
    [InlineData("NothingIsTakenOver", "does not come to rest")]
    public void Rule_that_is_switched_off_is_noticed_and_replays_identically(string mutation, string noticed)
    {
        var switchedOff = Enum.Parse<Mutation>(mutation);
        for (ulong seed = 1; seed <= 100; seed++)
        {
            var failed = new Simulation(seed, switchedOff).Run();
            if (failed.Failure?.Contains(noticed, StringComparison.Ordinal) != true)
                continue;
            var again = new Simulation(seed, switchedOff).Run();
            Assert.Equal((failed.Failure, failed.Hash, failed.LastSteps), (again.Failure, again.Hash, again.LastSteps));
            return;
        }

        Assert.Fail($"100 seeds passed with {mutation}.");
    }

    // One seed alone: NOTIFY_SIMULATION_SEED.
    private static void Hold(ulong from, int count)
    {
        if (Environment.GetEnvironmentVariable("NOTIFY_SIMULATION_SEED") is { Length: > 0 } only)
            (from, count) = (ulong.Parse(only, CultureInfo.InvariantCulture), 1);
        var failed = new List<Simulation>();
        for (var seed = from; seed < from + (ulong)count && !Cancellation.IsCancellationRequested; seed++)
        {
            var run = new Simulation(seed).Run();
            if (run.Failure is not null)
                failed.Add(run);
        }

        if (failed.Count == 0)
            return;
        Assert.Fail(
            $"{failed.Count} of {count} seeds failed: {string.Join(", ", failed.Take(20).Select(f => f.Seed))}.\n"
                + $"Replay with NOTIFY_SIMULATION_SEED={failed[0].Seed}. {failed[0].Failure}. The last steps:\n{failed[0].LastSteps}"
        );
    }
}
