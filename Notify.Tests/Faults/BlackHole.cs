namespace Notify.Tests.Faults;

using System.Collections.Concurrent;
using System.Diagnostics;
using Notify.Tests.Support;

/// <summary>A provider swallows everything for a while: the others must not notice, and afterwards all must be right.</summary>
[Collection(CrowdCollection.Name)]
[Trait("Category", "Faults")]
public sealed class BlackHole : SystemTest
{
    private const int PerSecond = 30; // of each channel
    private static readonly TimeSpan Window = TimeSpan.FromSeconds(4);
    private static readonly TimeProvider Clock = TimeProvider.System;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    /// <inheritdoc />
    public override async ValueTask InitializeAsync() =>
        Installation = await NotifySystem.StartAsync(
            "black-hole",
            new() { ["Notify__Retry__AskAfter"] = "00:00:05", ["Notify__Retry__UnknownDeadline"] = "00:00:20" }
        );

    /// <inheritdoc />
    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        await Installation.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public Task Black_hole_holds_up_no_other_channel_and_loses_and_repeats_nothing() =>
        SwallowAsync(quiet: 1, during: 4, isMeasured: false);

    [Fact]
    [Trait("Category", "Long")]
    public Task Two_minutes_of_a_black_hole_do_not_slow_other_channels() => SwallowAsync(quiet: 6, during: 30, isMeasured: true);

    private async Task SwallowAsync(int quiet, int during, bool isMeasured)
    {
        var people = await Task.WhenAll(Enumerable.Range(0, 40).Select(_ => Installation.NewPersonAsync()));
        var (push, sms) = (NewId("push"), NewId("sms"));
        var asked = new ConcurrentDictionary<string, DateTimeOffset>();
        using var stop = new CancellationTokenSource();
        var steady = SteadyAsync(people, push, sms, asked, stop.Token);
        await Task.Delay(TimeSpan.FromSeconds(isMeasured ? 8 : 1), Cancellation); // the first seconds compile code

        var phases = new List<(string Name, DateTimeOffset From, DateTimeOffset To)> { await PhaseAsync("before", quiet) };
        await Sandbox.KnobsAsync("twilio", new { blackhole = true });
        phases.Add(await PhaseAsync("during", during));
        await Sandbox.BehaveAsync();
        var recovered = Clock.GetUtcNow();
        await Task.Delay(TimeSpan.FromSeconds(isMeasured ? 12 : 1), Cancellation); // waiting deliveries are sent now
        phases.Add(await PhaseAsync("after", quiet));
        await stop.CancelAsync();
        await steady;
        await Installation.QuietAsync(TimeSpan.FromSeconds(120), sms);

        var arrivals = (await Sandbox.LedgerAsync(push)).GroupBy(e => e.Text!).ToDictionary(g => g.Key, g => g.Min(e => e.ReceivedAt));
        var p99 = phases.ToDictionary(p => p.Name, p => MedianOfP99(asked, arrivals, push, p.From, p.To));
        Show(
            $"push, median of the windows' p99, ms: before {p99["before"]:0}, during {p99["during"]:0}, after {p99["after"]:0}; load average {await MachineLoad.AverageAsync()}"
        );

        // Each SMS arrived once; or it was swallowed, could not be asked about until its deadline, and is held to be failed.
        var entries = (await Sandbox.LedgerAsync(sms)).GroupBy(e => e.Text!).ToDictionary(g => g.Key, g => g.ToList());
        var taken = entries.Where(e => e.Value.Any(x => x.IsAccepted)).ToDictionary();
        var swallowed = entries.Keys.Except(taken.Keys).ToList();
        var given = asked.Keys.Where(k => k.StartsWith(sms, StringComparison.Ordinal)).ToList();
        Assert.Equal(given.Count, entries.Count);
        Assert.All(taken, t => Assert.Single(t.Value, e => e.IsAccepted));
        var resent = taken.Count(t => t.Value.Count > 1);
        var held = await Installation.ScalarAsync<long>(
            "select count(*) from events.mt_events where type = 'NotificationFailed' and data ->> 'reason' = "
                + "'OutcomeNeverKnown' and stream_id like '%:' || $1 || '%'",
            sms
        );
        Show(
            $"SMS: {given.Count} accepted, {taken.Count} sent once, of which {resent} again after they were known not to be "
                + $"there, {held} never known"
        );
        Assert.Equal(swallowed.Count, held);
        Assert.True(resent > 0);
        Assert.All(swallowed, s => Assert.True(entries[s].Max(e => e.ReceivedAt) <= recovered));
        await Installation.VerifyAsync();

        Assert.Equal(asked.Count - given.Count, arrivals.Count);
        // None waited for the SMS: pushes of the first half of the silence went out before it ended.
        var silence = phases.Single(p => p.Name == "during");
        var half = silence.From + ((silence.To - silence.From) / 2);
        var early = asked
            .Where(a => a.Key.StartsWith(push, StringComparison.Ordinal) && a.Value >= silence.From && a.Value < half)
            .ToList();
        Assert.True(early.Count > PerSecond, $"{early.Count} pushes in the silence");
        Assert.All(early, a => Assert.True(arrivals[a.Key] < recovered, $"{a.Key} waited for the end of the silence"));
        if (!isMeasured)
            return;
        var usual = Math.Max(p99["before"], p99["after"]);
        Assert.True(
            p99["during"] <= (1.1 * usual) + 10,
            $"push took {p99["during"]:0} ms while SMS were swallowed, and {usual:0} ms otherwise"
        );
    }

    private async Task SteadyAsync(
        Person[] people,
        string push,
        string sms,
        ConcurrentDictionary<string, DateTimeOffset> asked,
        CancellationToken stop
    )
    {
        var calls = new List<Task>();
        var watch = Stopwatch.StartNew();
        for (var n = 0; !stop.IsCancellationRequested; n++)
        {
            if (TimeSpan.FromSeconds((double)n / PerSecond) - watch.Elapsed is { Ticks: > 0 } wait)
                await Task.Delay(wait, CancellationToken.None);
            foreach (var (mark, channel) in new[] { (push, "push"), (sms, "sms") })
            {
                var id = $"{mark}-{n}.";
                asked[id] = Clock.GetUtcNow();
                calls.Add(
                    Client
                        .SendAsync(
                            new
                            {
                                eventId = id,
                                userId = people[n % people.Length].Id,
                                channels = new[] { channel },
                                content = new { body = id },
                            }
                        )
                        .ContinueWith(r => r.Result.Is(202), TaskScheduler.Default)
                );
            }
        }

        await Task.WhenAll(calls);
    }

    private static async Task<(string, DateTimeOffset, DateTimeOffset)> PhaseAsync(string name, int windows)
    {
        var from = Clock.GetUtcNow();
        await Task.Delay(windows * Window);
        return (name, from, Clock.GetUtcNow());
    }

    // One bad second of the machine spoils one window, not the figure.
    private static double MedianOfP99(
        ConcurrentDictionary<string, DateTimeOffset> asked,
        Dictionary<string, DateTimeOffset> arrivals,
        string push,
        DateTimeOffset from,
        DateTimeOffset to
    )
    {
        var windows = asked
            .Where(a => a.Key.StartsWith(push, StringComparison.Ordinal) && a.Value >= from && a.Value < to)
            .GroupBy(a => (long)((a.Value - from) / Window), a => (arrivals[a.Key] - a.Value).TotalMilliseconds)
            .Where(g => g.Count() > PerSecond)
            .Select(g => g.Order().ElementAt((int)Math.Ceiling(g.Count() * 0.99) - 1))
            .Order()
            .ToList();
        return windows[windows.Count / 2];
    }

    private static void Show(string what) => TestContext.Current.TestOutputHelper!.WriteLine(what);
}
