namespace Notify.Tests.Faults;

using System.Diagnostics;
using Notify.Tests.Support;

/// <summary>The hosts that make a broadcast's notifications are killed: each user gets exactly one.</summary>
[Trait("Category", "Faults")]
public sealed class BroadcastKills(BroadcastSystem broadcasts) : CrowdTest(broadcasts)
{
    [Fact]
    public async Task Killed_twice_every_follower_gets_it_exactly_once()
    {
        const int Followers = 5_000;
        var id = await BroadcastAsync(await CrowdAsync(Followers), "killed");
        var watch = Stopwatch.StartNew();
        foreach (var reached in new[] { 700, 2_500 })
        {
            await ReachesAsync(id, reached);
            await Installation.KillDispatchAsync();
            Assert.InRange(await ExpandedAsync(id), reached, Followers - 1);
            await Installation.StartDispatchAsync();
        }

        await ReachesAsync(id, Followers);
        TestContext.Current.TestOutputHelper?.WriteLine($"Expanded in {watch.Elapsed}, with two kills.");
        await Installation.QuietAsync(TimeSpan.FromMinutes(3), id);
        await ReachedOnceAsync(id, Followers);
    }

    [Fact]
    public async Task Two_hosts_share_broadcasts_and_when_one_is_killed_the_other_goes_on()
    {
        const int Followers = 1_200;
        await Installation.StartDispatchAsync();
        try
        {
            var topic = await CrowdAsync(Followers);
            string[] ids =
            [
                await BroadcastAsync(topic, "first"),
                await BroadcastAsync(topic, "second"),
                await BroadcastAsync(await CrowdAsync(Followers), "third"),
            ];
            await Eventually.Holds(
                async () => (await Task.WhenAll(ids.Select(ExpandedAsync))).Sum() >= Followers,
                "a third of them are made",
                TimeSpan.FromMinutes(1)
            );
            await Installation.KillDispatchAsync();
            Assert.InRange((await Task.WhenAll(ids.Select(ExpandedAsync))).Sum(), Followers, 3 * Followers - 1);
            foreach (var id in ids)
            {
                await ReachesAsync(id, Followers);
                await Installation.QuietAsync(TimeSpan.FromMinutes(2), id);
                await ReachedOnceAsync(id, Followers);
            }
        }
        finally
        {
            while (Installation.Dispatchers.Count > 1)
                await Installation.KillDispatchAsync();
        }
    }
}
