namespace Notify.Tests.Reliability;

using Notify.Tests.Support;

/// <summary>One run of a case: its loads and faults, and what was counted so far.</summary>
internal sealed class FaultRun(ReliabilitySystem hosts, FaultFigures figures, TimeSpan quiet)
{
    private static readonly TimeProvider Clock = TimeProvider.System;
    private readonly string mark = $"rel-{Guid.NewGuid():N}";
    private readonly List<FaultWindow> windows = [];
    private readonly List<string> others = [];
    private readonly List<string> examples = [];
    private readonly Dictionary<(string Channel, bool During), List<double>> latencies = [];
    private long since;
    private int segments;
    private FaultLoad? running;

    private NotifySystem System => hosts.System;

    /// <summary>Notes where the store stands, and clears the ledger.</summary>
    public async Task StartAsync()
    {
        since = await System.ScalarAsync<long>("select coalesce(max(seq_id), 0) from events.mt_events");
        await System.Sandbox.ClearAsync();
    }

    /// <summary>Begins a load.</summary>
    public FaultLoad Begin(int perSecond, bool isPlain = false)
    {
        windows.Clear();
        return running = new FaultLoad(hosts.Clients, hosts.People, $"{mark}-{segments++}", perSecond, isPlain);
    }

    /// <summary>Makes a fault, and notes its time.</summary>
    public async Task DuringAsync(Func<Task> fault)
    {
        await MarkAsync(fault);
        figures.Rounds++;
    }

    /// <summary>Notes the time of a step of a fault.</summary>
    public async Task MarkAsync(Func<Task> step)
    {
        var from = Clock.GetUtcNow();
        await step();
        windows.Add(new FaultWindow(from, Clock.GetUtcNow()));
    }

    /// <summary>Ends the load of a run that has failed.</summary>
    public Task AbandonAsync() => running?.AbandonAsync() ?? Task.CompletedTask;

    /// <summary>Leaves texts with this mark to the case, which counts them itself.</summary>
    public void Leave(string of) => others.Add(of);

    /// <summary>Ends a load, waits until all of it has ended, and counts it.</summary>
    public async Task EndAsync(FaultLoad load)
    {
        await load.StopAsync();
        running = null;
        await QuietAsync(load.Mark);
        var account = new FaultAccount(System, load, windows, others);
        await account.AddToAsync(figures);
        examples.AddRange(account.Examples);
        foreach (var (key, values) in account.Latencies)
        {
            if (!latencies.TryGetValue(key, out var all))
                latencies[key] = all = [];
            all.AddRange(values);
        }

        foreach (var ((channel, during), values) in latencies)
            (during ? figures.P99During : figures.P99)[channel] = P99(values);
        Show($"{load.Accepted} accepted; answers {string.Join(", ", load.Answers.OrderBy(a => a.Key).Select(a => $"{a.Key}: {a.Value}"))}");
        Show(account.Slowest);
        foreach (var example in account.Examples)
            Show(example);
        examples.AddRange(load.Refused.Take(3));
        figures.Refused += load.Refused.Count;
        await System.Sandbox.ClearAsync();
    }

    /// <summary>Runs <c>verify</c> on all that is new since the run began.</summary>
    public async Task VerifyAsync()
    {
        var (_, output, _) = await HostProcess.RunAsync(
            "verify",
            Repository.Program("Notify.Projections"),
            ["verify", "--since", $"{since}"],
            System.Environment(new Uri($"http://127.0.0.1:{HostProcess.FreePort()}")),
            TestRun.Log($"verify-{Guid.NewGuid():N}"),
            TimeSpan.FromMinutes(15)
        );
        figures.VerifyFaults = output.Split('\n').Count(line => line.StartsWith("FAULT", StringComparison.Ordinal));
        Show(output);
        Assert.True(
            figures.VerifyFaults > 0 || output.Contains("verified: accepted = terminal + in flight + unknown", StringComparison.Ordinal),
            output
        );
    }

    /// <summary>Asserts what was promised.</summary>
    public void Judge()
    {
        var broken = new[]
        {
            (figures.Lost, "lost"),
            (figures.SmsTwice, "SMS twice"),
            (figures.MailTwice, "emails twice"),
            (figures.CancelledSent, "cancelled and sent"),
            (figures.ExpiredSent, "expired and sent"),
            (figures.Early, "early"),
            (figures.Refused, "requests refused"),
            (figures.Strangers, "never accepted, or sent again after their round"),
            (figures.VerifyFaults, "faults of verify"),
            (figures.PushRepeatsOutside, "pushes repeated that were not in flight"),
            (figures.PushRepeatsUncollapsed, "pushes repeated without their collapse ID"),
        }
            .Where(b => b.Item1 > 0)
            .Select(b => $"{b.Item1} {b.Item2}")
            .ToList();
        if (broken.Count == 0)
            return;
        figures.Outcome = $"failed: {string.Join(", ", broken)}";
        Assert.Fail($"{figures.Outcome}\n{string.Join('\n', examples)}");
    }

    private static double P99(List<double> values) => values.Order().ElementAt((int)Math.Ceiling(values.Count * 0.99) - 1);

    private static void Show(string text) => TestContext.Current.TestOutputHelper?.WriteLine(text);

    // Nothing of it is open any more but dead letters, which count as lost.
    private async Task QuietAsync(string of)
    {
        try
        {
            await Eventually.Becomes(
                () =>
                    System.ScalarAsync<string>(
                        """
                        select coalesce(string_agg(state || ': ' || n, ', '), '') from (
                            select state, count(*) n from notify.open_deliveries
                            where state <> 4 and notification like '%:' || $1 || '%' group by state order by state) t
                        """,
                        of
                    ),
                left => left.Length == 0,
                "nothing is open",
                quiet
            );
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            Show(await System.WhereaboutsAsync());
            throw;
        }
    }
}
