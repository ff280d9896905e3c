namespace Notify.Tests.Faults;

using System.Diagnostics;
using Notify.Tests.Support;

/// <summary>
/// Hosts and the database are killed under load: no accepted notification is lost, no SMS is sent twice, pushes repeat only under
/// their collapse ID.
/// </summary>
[Trait("Category", "Faults")]
public sealed class Kills(FaultSystem faults) : FaultTest(faults)
{
    private static readonly TimeProvider Clock = TimeProvider.System;

    [Fact]
    public async Task Api_killed_under_load_loses_nothing_it_accepted()
    {
        var load = await Load.StartAsync(Installation);
        for (var kill = 0; kill < 2; kill++)
        {
            await load.GoOnAsync(300);
            await Installation.Api.KillAsync();
            await Installation.StartApiAsync();
        }

        await load.GoOnAsync(200);
        await load.StopAsync();

        var balance = await Balance.OfAsync(Installation, load);
        Assert.Empty(balance.Repeats); // nothing that sends was killed
        Assert.True(load.Answers.GetValueOrDefault(0) > 0, "no caller was cut off: the kills missed");
        balance.Show(load);
    }

    [Fact]
    public async Task Dispatch_stopped_under_load_finishes_what_is_in_flight_and_repeats_nothing()
    {
        await Sandbox.KnobsAsync("apns", new { latencyMs = 300 });
        await Sandbox.KnobsAsync("twilio", new { latencyMs = 300 });
        var load = await Load.StartAsync(Installation);
        for (var stop = 0; stop < 2; stop++)
        {
            await load.GoOnAsync(300);
            await load.IsInFlightAsync();
            var host = Installation.Dispatchers[0];
            var watch = Stopwatch.StartNew();
            host.Terminate();
            Assert.Equal(0, await host.EndAsync(TimeSpan.FromSeconds(30)));
            TestContext.Current.TestOutputHelper?.WriteLine($"Dispatch stopped in {watch.Elapsed}.");
            await Installation.ReplaceDispatchAsync(host);
        }

        await load.GoOnAsync(200);
        await load.StopAsync();

        var balance = await Balance.OfAsync(Installation, load);
        Assert.Empty(balance.Repeats);
        Assert.Equal(0, await load.UnknownsAsync());
        balance.Show(load);
    }

    [Fact]
    [Trait("Category", "Long")]
    public async Task Api_stopped_under_load_answers_what_it_has_taken_and_ends_in_time()
    {
        var load = await Load.StartAsync(Installation);
        for (var stop = 0; stop < 2; stop++)
        {
            await load.GoOnAsync(300);
            Installation.Api.Terminate();
            Assert.Equal(0, await Installation.Api.EndAsync(TimeSpan.FromSeconds(30)));
            await Installation.StartApiAsync();
        }

        await load.GoOnAsync(200);
        await load.StopAsync();

        var balance = await Balance.OfAsync(Installation, load);
        Assert.Empty(balance.Repeats);
        balance.Show(load);
    }

    [Fact]
    public async Task All_hosts_killed_at_once_lose_nothing()
    {
        await Sandbox.KnobsAsync("apns", new { latencyMs = 200 });
        await Sandbox.KnobsAsync("twilio", new { latencyMs = 200 });
        var load = await Load.StartAsync(Installation);
        await load.GoOnAsync(400);
        await load.IsInFlightAsync();

        await Task.WhenAll(
            Installation.Api.KillAsync(),
            Installation.KillDispatchAsync(),
            Installation.Projections.KillAsync(),
            Installation.Cluster.StopAsync("immediate")
        );
        var kill = Clock.GetUtcNow();
        await Installation.Cluster.StartAgainAsync();
        await Task.WhenAll(Installation.StartApiAsync(), Installation.StartDispatchAsync(), Installation.StartProjectionsAsync());

        await load.GoOnAsync(200);
        await load.StopAsync();
        var balance = await Balance.OfAsync(Installation, load);
        balance.RepeatsWereInFlightAt([kill]);
        balance.Show(load);
    }

    [Fact]
    [Trait("Category", "Long")]
    public async Task One_of_two_Projections_hosts_killed_leaves_the_read_models_to_the_other()
    {
        const string Nodes = "select count(*) from projections_messages.wolverine_nodes";
        var first = Installation.Projections;
        await Installation.StartProjectionsAsync();
        await Eventually.Becomes(() => Installation.ScalarAsync<long>(Nodes), n => n == 2, "there are two");
        var load = await Load.StartAsync(Installation);
        await load.GoOnAsync(200);

        await first.KillAsync();
        await load.GoOnAsync(200);
        await load.StopAsync();

        var balance = await Balance.OfAsync(Installation, load); // the list has all
        Assert.Empty(balance.Repeats);
        await Eventually.Becomes(() => Installation.ScalarAsync<long>(Nodes), n => n == 1, "the dead one is forgotten");
    }

    [Fact]
    public async Task The_hosts_have_logged_no_address_and_no_text_through_all_of_this()
    {
        var person = await Installation.NewPersonAsync();
        var id = NewId("quiet-log");
        (
            await Client.SendAsync(
                new
                {
                    eventId = NewId("log"),
                    userId = person.Id,
                    content = new { title = $"title {id}", body = $"body {id}" },
                }
            )
        ).Is(202);
        await Eventually.Becomes(() => Sandbox.CountAsync(id), c => c.Accepted == 2, "both are sent");
        var logs = await Installation.LogsAsync();

        Assert.DoesNotContain(id, logs, StringComparison.Ordinal);
        Assert.DoesNotContain("+8210", logs, StringComparison.Ordinal);
        Assert.All(Person.EveryToken, t => Assert.DoesNotContain(t, logs, StringComparison.OrdinalIgnoreCase));
        Assert.DoesNotContain(TestRun.Secrets["Notify__Pepper"], logs, StringComparison.Ordinal);
    }
}
