namespace Notify.Tests.Faults;

using Notify.Tests.Support;

/// <summary>Many requests that read at the same time as others are accepted.</summary>
public sealed class ManyReads(FaultSystem faults) : FaultTest(faults)
{
    private const int Readers = 150,
        Requests = 30;

    [Fact]
    public async Task Reads_of_broadcasts_keep_no_acceptance_waiting()
    {
        var (topic, id) = (NewId("topic"), NewId("accepted"));
        var person = await Installation.NewPersonAsync();
        (await Client.PutAsync($"/v1/topics/{topic}", new { name = "Readers" })).Is(200);
        Assert.InRange((await Client.CallAsync(HttpMethod.Put, $"/v1/topics/{topic}/subscribers/{person.Id}")).Status, 200, 204);
        var broadcast = new
        {
            broadcastId = NewId("read"),
            topic,
            content = new { title = "x", body = "x" },
        };
        (await Client.PostAsync("/v1/broadcasts", broadcast)).Is(202);

        using var stop = new CancellationTokenSource();
        var readers = Enumerable
            .Range(0, Readers)
            .Select(async _ =>
            {
                var answers = new List<int>();
                while (!stop.IsCancellationRequested)
                {
                    var reply = await Client.GetAsync("/v1/broadcasts?limit=50");
                    if (reply.Status != 200)
                        Assert.InRange(reply.IsProblem(503, "storage_unavailable").Headers.RetryAfter!.Delta!.Value.TotalSeconds, 1, 60);
                    answers.Add(reply.Status);
                }

                return answers;
            })
            .ToList();
        var accepted = new List<int>();
        for (var i = 0; i < Requests; i++)
        {
            accepted.Add(
                (
                    await Client.SendAsync(
                        new
                        {
                            eventId = $"{id}-{i}",
                            userId = person.Id,
                            priority = "critical",
                            content = new { title = id, body = "x" },
                        }
                    )
                ).Status
            );
        }

        await stop.CancelAsync();
        var read = (await Task.WhenAll(readers)).SelectMany(r => r).ToList();

        TestContext.Current.TestOutputHelper?.WriteLine(
            $"{accepted.Count(s => s == 202)} of {Requests} accepted beside {read.Count} reads, {read.Count(s => s == 503)} turned away."
        );
        Assert.All(accepted, status => Assert.Equal(202, status));
        Assert.Contains(200, read);
    }
}
