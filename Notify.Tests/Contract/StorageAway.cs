namespace Notify.Tests.Contract;

using Notify.Tests.Support;

/// <summary>PostgreSQL goes away and comes back.</summary>
public sealed class StorageAway(FaultSystem faults) : FaultTest(faults)
{
    [Fact]
    public async Task Callers_are_told_to_come_again_and_nothing_is_lost()
    {
        var person = await Installation.NewPersonAsync();
        var (before, during) = (NewId("before"), NewId("during"));
        (
            await Client.SendAsync(
                new
                {
                    eventId = before,
                    userId = person.Id,
                    sendAt = TimeProvider.System.GetUtcNow().AddSeconds(2),
                    content = new { body = before },
                }
            )
        ).Is(202);
        var request = new
        {
            eventId = during,
            userId = person.Id,
            content = new { body = during },
        };

        await Installation.Cluster.StopAsync("fast");
        try
        {
            foreach (
                var reply in new[]
                {
                    await Client.SendAsync(request),
                    await Client.SendAsync(request),
                    await Client.GetAsync($"/v1/notifications/{before}"),
                    await Client.GetAsync("/v1/notifications"),
                    await Client.PutAsync($"/v1/users/{person.Id}", new { person.Phone }),
                    await Client.GetAsync("/v1/queues"),
                    await Client.CancelAsync(before),
                }
            )
            {
                reply.IsProblem(503, "storage_unavailable");
                Assert.InRange(reply.Headers.RetryAfter!.Delta!.Value.TotalSeconds, 1, 60);
            }

            var batch = await Client.PostAsync("/v1/notifications/batch", new { notifications = new[] { request } });
            Assert.True(
                batch.Status == 503 || batch.Json["results"]![0]!["error"]!["code"]!.ToString() == "storage_unavailable",
                batch.ToString()
            );

            foreach (var url in new[] { Installation.ApiUrl, Installation.DispatchUrl, Installation.ProjectionsUrl })
            {
                using var host = new NotifyClient(url, null, null);
                (await host.GetAsync("/health/live")).Is(200);
                (await host.GetAsync("/health/ready")).Is(503);
            }
        }
        finally
        {
            await Installation.Cluster.StartAgainAsync();
        }

        await Eventually.Becomes(() => Client.SendAsync(request), r => r.Status == 202, "the same request is accepted");
        await Client.BecomesAsync(during, "dispatched");
        await Client.BecomesAsync(before, "dispatched");
        Assert.Equal((2, 2), await Sandbox.CountAsync(before));
        Assert.Equal((2, 2), await Sandbox.CountAsync(during));
        foreach (var url in new[] { Installation.ApiUrl, Installation.DispatchUrl, Installation.ProjectionsUrl })
        {
            using var host = new NotifyClient(url, null, null);
            await Eventually.Becomes(() => host.GetAsync("/health/ready"), r => r.Status == 200, $"{url} is ready again");
        }

        await Eventually.Passes(async () =>
            Assert.Equal(2, (await Client.GetAsync($"/v1/notifications?userId={person.Id}")).Is(200).Json["items"]!.AsArray().Count)
        );
    }
}
