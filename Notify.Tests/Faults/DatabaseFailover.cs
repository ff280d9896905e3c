namespace Notify.Tests.Faults;

using System.Diagnostics;
using System.Globalization;
using Notify.Tests.Support;

/// <summary>PostgreSQL fails over to an asynchronous standby that lacks the last commits.</summary>
[Collection(CrowdCollection.Name)]
[Trait("Category", "Long")]
public sealed class DatabaseFailover : SystemTest
{
    private const int Count = 5;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    /// <inheritdoc />
    public override async ValueTask InitializeAsync() =>
        Installation = await NotifySystem.StartAsync("failover", ownCluster: true, standby: true);

    /// <inheritdoc />
    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        await Installation.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task Failover_repeats_no_SMS_and_read_models_go_on()
    {
        using (var api = new NotifyClient(Installation.ApiUrl, null, null))
        {
            var ready = await Eventually.Becomes(
                () => api.GetAsync("/health/ready"),
                r => r.Text.Contains("none of them synchronous", StringComparison.Ordinal),
                "an asynchronous standby is reported"
            );
            Assert.Equal("Degraded", ready.Is(200)["status"]);
        }

        var person = await Installation.NewPersonAsync();
        var (before, after) = (NewId("before"), NewId("after"));
        await Installation.StopDispatchAsync();
        foreach (var id in Ids(before))
            Assert.Equal(202, await SendAsync(id));
        await Eventually.Becomes(
            () => Installation.ScalarAsync<bool>("select bool_and(replay_lsn >= pg_current_wal_lsn()) from pg_stat_replication"),
            caughtUp => caughtUp,
            "the standby has all that was accepted"
        );
        Signal("STOP", await Installation.ScalarAsync<int>("select pid from pg_stat_replication limit 1")); // commits stay on the primary
        await Installation.StartDispatchAsync();
        await Eventually.Becomes(() => Sandbox.CountAsync(before), c => c.Accepted == Count, "the provider has all");
        foreach (var id in Ids(before))
            await SentAsync(id);

        await Installation.Cluster.StopAsync("immediate");
        await Installation.Standby!.PromoteAsync();
        var watch = Stopwatch.StartNew();
        await Eventually.Becomes(() => SendAsync(after), status => status == 202, "requests are accepted again", TimeSpan.FromSeconds(60));
        Show($"Accepted {watch.Elapsed.TotalSeconds:0.0} s after the promotion.");

        foreach (var id in Ids(before).Append(after))
            await SentAsync(id);
        await Installation.QuietAsync(TimeSpan.FromSeconds(60));
        Assert.Equal((Count, Count), await Sandbox.CountAsync(before));
        Assert.Equal((1, 1), await Sandbox.CountAsync(after));
        await Eventually.Becomes(
            async () =>
                (await Client.GetAsync($"/v1/notifications?userId={person.Id}")).Is(200).Json["items"]!
                    .AsArray()
                    .Count(n => n!["status"]!.ToString() is "dispatched" or "delivered"),
            shown => shown == Count + 1,
            "the read model shows all as sent",
            TimeSpan.FromSeconds(60)
        );
        await Installation.VerifyAsync();

        Task SentAsync(string id) =>
            Eventually.Becomes(
                () => Client.GetAsync($"/v1/notifications/{id}"),
                r => r.Status == 200 && r["status"] is ("dispatched" or "delivered"),
                $"{id} is sent",
                TimeSpan.FromSeconds(60)
            );

        async Task<int> SendAsync(string id) =>
            (
                await Client.SendAsync(
                    new
                    {
                        eventId = id,
                        userId = person.Id,
                        channels = new[] { "sms" },
                        content = new { body = id },
                    }
                )
            ).Status;
    }

    private static IEnumerable<string> Ids(string mark) => Enumerable.Range(0, Count).Select(i => $"{mark}-{i}");

    private static void Signal(string signal, int pid)
    {
        using var kill = Process.Start("kill", [$"-{signal}", pid.ToString(CultureInfo.InvariantCulture)]);
        kill.WaitForExit();
    }

    private static void Show(string text) => TestContext.Current.TestOutputHelper?.WriteLine(text);
}
