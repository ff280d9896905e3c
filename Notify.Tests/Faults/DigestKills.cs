namespace Notify.Tests.Faults;

using Notify.Tests.EndToEnd;
using Notify.Tests.Support;

/// <summary>Hosts are killed while digests are filled and closed: no notification is lost or in two digests.</summary>
[Trait("Category", "Faults")]
public sealed class DigestKills(FaultSystem faults) : FaultTest(faults)
{
    private const int People = 30,
        Each = 20;

    [Fact]
    public async Task Dispatch_killed_while_digests_close_tells_each_once()
    {
        var (category, mark) = ($"collected-{Guid.NewGuid():N}", NewId("k"));
        (await Client.PutAsync($"/v1/categories/{category}", new { digest = new { windowSeconds = 1 } })).Is(200);
        var people = await Task.WhenAll(Enumerable.Range(0, People).Select(_ => Installation.NewPersonAsync(devices: 0)));
        for (var kill = 0; kill < 3; kill++)
        {
            var from = kill * People * Each / 3;
            await Parallel.ForEachAsync(
                Enumerable.Range(from, People * Each / 3),
                new ParallelOptions { MaxDegreeOfParallelism = 20 },
                async (i, _) =>
                    (
                        await Client.SendAsync(
                            new
                            {
                                eventId = $"{mark}-{i:0000}",
                                userId = people[i % People].Id,
                                category,
                                content = new { body = $"{mark}-{i:0000}" },
                            }
                        )
                    ).Is(202)
            );
            var closed = await Digests.ClosedAsync(Installation, category);
            await Eventually.Becomes(() => Digests.ClosedAsync(Installation, category), n => n > closed, "digests are being closed");
            await Installation.KillDispatchAsync();
            await Installation.StartDispatchAsync();
        }

        await Eventually.Becomes(
            () => Installation.ScalarAsync<long>("select count(*) from notify.digest_items where category = $1", category),
            n => n == 0,
            "all digests have closed",
            TimeSpan.FromSeconds(60)
        );
        await Digests.ExactlyOnceAsync(Installation, category, mark, People * Each);
        await Installation.QuietAsync(TimeSpan.FromSeconds(60), "digest=");
        await Installation.VerifyAsync();
    }
}
