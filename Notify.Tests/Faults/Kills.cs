using System.Diagnostics;
using Notify.Tests.Support;

namespace Notify.Tests.Faults;

/// <summary>Hosts and the database die under load: what was accepted is not lost, no SMS goes twice, pushes repeat only under their collapse ID.</summary>
[Trait("Category", "Faults")]
public sealed class Kills(FaultSystem faults) : FaultTest(faults)
{
    private static readonly TimeProvider Clock = TimeProvider.System;

    [Fact]
    public async Task Api_killed_under_load_loses_nothing_it_accepted()
    {
        var load = await Load.StartAsync(Installation);
        for (var kill = 0; kill < 4; kill++)
        {
            await load.GoOnAsync(300);
            await Installation.Api.KillAsync();
            await Installation.StartApiAsync();
        }

        await load.GoOnAsync(200);
        await load.StopAsync();

        var balance = await Balance.OfAsync(Installation, load, TimeSpan.FromSeconds(40));
        Assert.Empty(balance.Repeats); // nothing that sends was killed
        Assert.True(load.Answers.GetValueOrDefault(0) > 0, "no caller was cut off: the kills missed");
        Show(load, balance);
    }

    [Fact]
    public async Task Dispatch_killed_with_calls_in_flight_loses_nothing_and_sends_no_SMS_twice()
    {
        await Sandbox.KnobsAsync("apns", new { latencyMs = 200, jitter = 0.5 });
        await Sandbox.KnobsAsync("twilio", new { latencyMs = 200, jitter = 0.5 });
        var load = await Load.StartAsync(Installation);
        var kills = new List<DateTimeOffset>();
        for (var kill = 0; kill < 4; kill++)
        {
            await load.GoOnAsync(200);
            await Eventually.Becomes(() => InFlightAsync(load), n => n >= 10, "calls are in flight");
            await Installation.KillDispatchAsync();
            kills.Add(Clock.GetUtcNow());
            await Installation.StartDispatchAsync();
        }

        await load.GoOnAsync(200);
        await load.StopAsync();

        var balance = await Balance.OfAsync(Installation, load, TimeSpan.FromSeconds(60));
        balance.RepeatsWereInFlightAt(kills);
        Assert.NotEmpty(balance.Repeats); // the kills did hit calls in flight
        Assert.True(await UnknownsAsync(load) > 0, "no SMS was in flight: the kills missed");
        Show(load, balance);
    }

    [Fact]
    public async Task PostgreSQL_restarted_under_load_loses_nothing_and_repeats_nothing()
    {
        await Sandbox.KnobsAsync("apns", new { latencyMs = 200, jitter = 0.5 });
        await Sandbox.KnobsAsync("twilio", new { latencyMs = 200, jitter = 0.5 });
        var load = await Load.StartAsync(Installation);
        for (var restart = 0; restart < 3; restart++)
        {
            await load.GoOnAsync(300);
            await Eventually.Becomes(() => InFlightAsync(load), n => n >= 10, "calls are in flight");
            await Installation.Cluster.RestartAsync("immediate");
        }

        await load.GoOnAsync(300);
        await load.StopAsync();

        var balance = await Balance.OfAsync(Installation, load, TimeSpan.FromSeconds(60));
        Assert.Empty(balance.Repeats); // the host lived on, and wrote down what it knew when the database was back
        Assert.True(load.Answers.GetValueOrDefault(503) > 0, "no caller was told to come again: the restarts missed");
        Show(load, balance);
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
            await Eventually.Becomes(() => InFlightAsync(load), n => n >= 10, "calls are in flight");
            var host = Installation.Dispatchers[0];
            var watch = Stopwatch.StartNew();
            host.Terminate();
            Assert.Equal(0, await host.EndAsync(TimeSpan.FromSeconds(30)));
            TestContext.Current.TestOutputHelper?.WriteLine($"Dispatch stopped in {watch.Elapsed}.");
            await Installation.ReplaceDispatchAsync(host);
        }

        await load.GoOnAsync(200);
        await load.StopAsync();

        var balance = await Balance.OfAsync(Installation, load, TimeSpan.FromSeconds(60));
        Assert.Empty(balance.Repeats);
        Assert.Equal(0, await UnknownsAsync(load));
        Show(load, balance);
    }

    [Fact]
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

        var balance = await Balance.OfAsync(Installation, load, TimeSpan.FromSeconds(40));
        Assert.Empty(balance.Repeats);
        Show(load, balance);
    }

    [Fact]
    public async Task One_of_two_Dispatch_hosts_killed_is_taken_over_within_seconds()
    {
        var second = await Installation.StartDispatchAsync();
        await Sandbox.KnobsAsync("apns", new { latencyMs = 200 });
        await Sandbox.KnobsAsync("twilio", new { latencyMs = 200 });
        var load = await Load.StartAsync(Installation);
        await load.GoOnAsync(400);
        await Eventually.Becomes(() => InFlightAsync(load), n => n >= 10, "calls are in flight");

        await Installation.KillDispatchAsync();
        var kill = Clock.GetUtcNow();
        await load.StopAsync();

        var balance = await Balance.OfAsync(Installation, load, TimeSpan.FromSeconds(30));
        var quiet = Clock.GetUtcNow();
        balance.RepeatsWereInFlightAt([kill]);
        Assert.False(second.HasEnded);
        // Pushes of the dead host go out again a takeover later; what it had in its queues, a sweep later.
        var last = balance.Pushes.Values.Max(p => p.Max(e => e.ReceivedAt));
        Assert.True(last - kill < NotifySystem.Takeover + TimeSpan.FromSeconds(10), $"the last push went out {last - kill} after the kill, {quiet - kill} until all was quiet");
        Show(load, balance);
    }

    [Fact]
    public async Task All_hosts_killed_at_once_lose_nothing()
    {
        await Sandbox.KnobsAsync("apns", new { latencyMs = 200 });
        await Sandbox.KnobsAsync("twilio", new { latencyMs = 200 });
        var load = await Load.StartAsync(Installation);
        await load.GoOnAsync(400);
        await Eventually.Becomes(() => InFlightAsync(load), n => n >= 10, "calls are in flight");

        await Task.WhenAll(Installation.Api.KillAsync(), Installation.KillDispatchAsync(), Installation.Projections.KillAsync(), Installation.Cluster.StopAsync("immediate"));
        var kill = Clock.GetUtcNow();
        await Installation.Cluster.StartAgainAsync();
        await Task.WhenAll(Installation.StartApiAsync(), Installation.StartDispatchAsync(), Installation.StartProjectionsAsync());

        await load.GoOnAsync(200);
        await load.StopAsync();
        var balance = await Balance.OfAsync(Installation, load, TimeSpan.FromSeconds(60));
        balance.RepeatsWereInFlightAt([kill]);
        Show(load, balance);
    }

    [Fact]
    public async Task The_hosts_have_logged_no_address_and_no_text_through_all_of_this()
    {
        var person = await Installation.NewPersonAsync();
        var id = NewId("quiet-log");
        (await Client.SendAsync(new { eventId = NewId("log"), userId = person.Id, content = new { title = $"title {id}", body = $"body {id}" } })).Is(202);
        await Eventually.Becomes(() => Sandbox.CountAsync(id), c => c.Accepted == 2, "both are sent");
        var logs = await Installation.LogsAsync();

        Assert.DoesNotContain(id, logs, StringComparison.Ordinal);
        Assert.DoesNotContain("+8210", logs, StringComparison.Ordinal);
        Assert.All(Person.EveryToken, t => Assert.DoesNotContain(t, logs, StringComparison.OrdinalIgnoreCase));
        Assert.DoesNotContain(TestRun.Secrets["Notify__Pepper"], logs, StringComparison.Ordinal);
    }

    private Task<long> InFlightAsync(Load load) =>
        Installation.ScalarAsync<long>("select count(*) from notify.open_deliveries where state = 1 and notification like '%:' || $1 || '%'", load.Mark);

    private Task<long> UnknownsAsync(Load load) =>
        Installation.ScalarAsync<long>("select count(*) from events.mt_events where type = 'DispatchOutcomeUnknown' and stream_id like '%:' || $1 || '%'", load.Mark);

    private static void Show(Load load, Balance balance) => TestContext.Current.TestOutputHelper?.WriteLine(
        $"{load.Accepted.Count} accepted ({string.Join(", ", load.Answers.OrderBy(a => a.Key).Select(a => $"{a.Key}: {a.Value}"))}; {load.Repeated} asked again), {balance.Sms} SMS, {balance.Pushes.Count} pushes, {balance.Repeats.Count} of them repeated, 0 lost, 0 SMS twice.");
}
