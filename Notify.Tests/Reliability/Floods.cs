namespace Notify.Tests.Reliability;

using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using Notify.Tests.Support;

/// <summary>Loads that are too much, too often the same, or long; a provider that swallows everything.</summary>
public abstract partial class Reliability
{
    private const double MaxGrowth = 0.25; // Of a host's memory, from the second quarter of the soak to the last.

    [Fact]
    public Task Provider_black_holed_under_load() =>
        RunAsync(
            "Twilio black hole",
            1,
            FaultPlan.BlackHole.TotalSeconds,
            async _ =>
            {
                await Sandbox.KnobsAsync("twilio", new { blackhole = true });
                try
                {
                    await Task.Delay(FaultPlan.BlackHole, Stop);
                }
                finally
                {
                    await Sandbox.BehaveAsync();
                }
            }
        );

    [Fact]
    public async Task Duplicate_storm_sends_each_once()
    {
        const int Ids = 400;
        Assert.SkipUnless(FaultPlan.IsChosen("duplicate storm"), "not among NOTIFY_FAULT_CASES");
        var figures = Figures("duplicate storm", FaultPlan.Flood, FaultPlan.Rate);
        await CountAsync(
            figures,
            async run =>
            {
                var load = run.Begin(FaultPlan.Rate);
                await load.GoOnAsync(2 * FaultPlan.Rate);
                var mark = NewId("storm");
                var answers = new ConcurrentDictionary<int, int>();
                await run.DuringAsync(async () =>
                {
                    var (watch, calls, sent) = (Stopwatch.StartNew(), new ConcurrentDictionary<int, Task>(), 0);
                    while (watch.Elapsed < FaultPlan.Flood)
                    {
                        for (; sent < watch.Elapsed.TotalSeconds * FaultPlan.StormRate && calls.Count < 1000; sent++)
                        {
                            var n = sent;
                            var call = StormAsync(mark, n, Ids, answers);
                            calls[n] = call;
                            _ = call.ContinueWith(_ => calls.TryRemove(n, out var _), TaskScheduler.Default);
                        }

                        await Task.Delay(5, Stop);
                    }

                    await Task.WhenAll(calls.Values);
                    figures.Note = string.Create(
                        CultureInfo.InvariantCulture,
                        $"{sent / watch.Elapsed.TotalSeconds:0} requests a second of {Ids} IDs"
                    );
                });
                await load.GoOnAsync(2 * FaultPlan.Rate);

                // Each ID was taken by some request; asked once more, all answer so.
                await Installation.QuietAsync(TimeSpan.FromMinutes(3), mark);
                var byId = (await Sandbox.LedgerAsync(mark)).Where(e => e.IsAccepted).CountBy(e => e.Text!).ToDictionary();
                figures.Note += $"; {byId.Count} sent; answers {Listed(answers)}";
                figures.Lost += Ids - byId.Count;
                figures.SmsTwice += byId.Count(e => e.Value > 1);
                figures.Refused += answers.Where(a => a.Key is not (0 or 200 or 202 or 409 or 429 or 503)).Sum(a => a.Value);
                run.Leave(mark);
                await run.EndAsync(load);
            }
        );
    }

    [Fact]
    public async Task Ten_times_the_load_is_answered_and_what_is_accepted_is_sent()
    {
        Assert.SkipUnless(FaultPlan.IsChosen("ten times the load"), "not among NOTIFY_FAULT_CASES");
        var figures = Figures("ten times the load", FaultPlan.Flood, FaultPlan.Rate * FaultPlan.FloodFactor);
        await CountAsync(
            figures,
            async run =>
            {
                var load = run.Begin(FaultPlan.Rate * FaultPlan.FloodFactor);
                await run.DuringAsync(() => Task.Delay(FaultPlan.Flood, Stop));
                figures.Note = string.Create(
                    CultureInfo.InvariantCulture,
                    $"{load.Accepted / FaultPlan.Flood.TotalSeconds:0} accepted a second; answers {Listed(load.Answers)}"
                );
                await run.EndAsync(load);
            }
        );
    }

    [Fact]
    public async Task Soak_has_no_slope_in_memory()
    {
        Assert.SkipUnless(FaultPlan.IsChosen("soak"), "not among NOTIFY_FAULT_CASES");
        var figures = Figures("soak", FaultPlan.Soak, FaultPlan.Rate);
        await CountAsync(
            figures,
            async run =>
            {
                string[] kinds = ["api", "dispatch", "projections"];
                var hosts = kinds.ToDictionary(kind => kind, kind => (Hosts.Host(kind, 0), new List<double>()));
                var load = run.Begin(FaultPlan.Rate);
                var watch = Stopwatch.StartNew();
                while (watch.Elapsed < FaultPlan.Soak)
                {
                    foreach (var (host, megabytes) in hosts.Values)
                        megabytes.Add(Memory(host));
                    await Task.Delay(TimeSpan.FromSeconds(Math.Max(1, FaultPlan.Soak.TotalSeconds / 120)), Stop);
                }

                await run.EndAsync(load);
                var grown = hosts.ToDictionary(h => h.Key, h => Quarters(h.Value.Item2));
                figures.Note = string.Join(
                    ", ",
                    grown.Select(g => string.Create(CultureInfo.InvariantCulture, $"{g.Key} {g.Value.Second:0} → {g.Value.Last:0} MB"))
                );
                foreach (var (kind, (second, last)) in grown)
                    Assert.True(last <= (second * (1 + MaxGrowth)) + 20, $"{kind} grew: {figures.Note}");
            }
        );
    }

    private FaultFigures Figures(string name, TimeSpan during, int rate) =>
        new()
        {
            Case = name,
            Transport = Hosts.Transport,
            Seconds = during.TotalSeconds,
            Rate = rate,
        };

    // Every tenth request of an ID has another payload, which must be refused and change nothing.
    private async Task StormAsync(string mark, int n, int ids, ConcurrentDictionary<int, int> answers)
    {
        var id = $"{mark}-{n % ids}.";
        var body = n >= ids && n / ids % 10 == 9 ? $"{id} otherwise" : id;
        var status = 0;
        try
        {
            status = (
                await Hosts
                    .Clients[n % Hosts.Clients.Count]
                    .SendAsync(
                        new
                        {
                            eventId = id,
                            userId = Hosts.People[n % ids % Hosts.People.Count].Id,
                            channels = new[] { "sms" },
                            content = new { body },
                        }
                    )
            ).Status;
        }
        catch (Exception e) when (e is HttpRequestException or OperationCanceledException)
        {
            // No answer in time: some other request of the storm has the same ID.
        }

        answers.AddOrUpdate(status, 1, (_, count) => count + 1);
    }

    private static string Listed(IReadOnlyDictionary<int, int> answers) =>
        string.Join(", ", answers.OrderBy(a => a.Key).Select(a => $"{a.Key}: {a.Value}"));

    private static double Memory(HostProcess host)
    {
        var line = File.ReadLines($"/proc/{host.Id}/status").First(l => l.StartsWith("VmRSS:", StringComparison.Ordinal));
        return double.Parse(line["VmRSS:".Length..^"kB".Length], CultureInfo.InvariantCulture) / 1024;
    }

    // The first quarter warms up.
    private static (double Second, double Last) Quarters(List<double> megabytes)
    {
        var quarter = megabytes.Count / 4;
        return (megabytes.Skip(quarter).Take(quarter).Average(), megabytes.TakeLast(quarter).Average());
    }
}
