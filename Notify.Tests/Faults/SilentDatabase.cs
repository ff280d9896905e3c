namespace Notify.Tests.Faults;

using Notify.Tests.Support;

/// <summary>
/// PostgreSQL is silent for longer than a message's execution time-out: its connections stay open, and nothing is answered.
/// </summary>
[Trait("Category", "Long")]
public sealed class SilentDatabase(FaultSystem faults) : FaultTest(faults)
{
    private const int Count = 300;
    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(90);

    [Fact]
    public async Task Silence_dead_letters_no_message_and_each_SMS_goes_out_once_soon_after_it()
    {
        var mark = NewId("silent");
        var people = await Task.WhenAll(Enumerable.Range(0, 10).Select(_ => Installation.NewPersonAsync(devices: 0)));
        await Sandbox.KnobsAsync("twilio", new { latencyMs = 300 });
        var sms = Enumerable
            .Range(0, Count)
            .Select(i => new
            {
                eventId = $"{mark}-{i}",
                userId = people[i % people.Length].Id,
                channels = new[] { "sms" },
                content = new { body = $"{mark}-{i}" },
            });
        (await Client.PostAsync("/v1/notifications/batch", new { notifications = sms })).Is(200);
        await Eventually.Becomes(() => Sandbox.CountAsync(mark), c => c.Accepted >= 20, "some are sent");
        await Installation.Cluster.PauseAsync();
        try
        {
            await Task.Delay(Silence, TestContext.Current.CancellationToken); // the silence itself
        }
        finally
        {
            await Installation.Cluster.ResumeAsync();
        }

        await Installation.QuietAsync(TimeSpan.FromMinutes(2), mark);
        Assert.Equal((Count, Count), await Sandbox.CountAsync(mark));
        Assert.Equal(0, await Installation.ScalarAsync<long>("select count(*) from dispatch_messages.wolverine_dead_letters"));
        await Installation.VerifyAsync();
    }
}
