namespace Notify.Bench;

using System.Diagnostics;
using System.Runtime.InteropServices;
using Npgsql;

/// <summary>Runs the scenarios one after the other and prints their tables.</summary>
internal sealed class BenchRun(BenchSettings settings)
{
    private readonly Stopwatch watch = Stopwatch.StartNew();

    /// <returns>0, or 1 when anything was lost, sent twice or refused.</returns>
    public async Task<int> RunAsync()
    {
        try
        {
            return await MeasureAsync() ? 0 : 1;
        }
        catch (Exception e) when (e is HttpRequestException or NpgsqlException or IOException or BenchException)
        {
            Console.Error.WriteLine($"notify-bench: {e.Message.Split('\n')[0]}");
            return 1;
        }
    }

    private async Task<bool> MeasureAsync()
    {
        await using var database = NpgsqlDataSource.Create(settings.Database);
        using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(30) };
        var ledger = new Ledger(http, settings.Sandbox);
        var usage = new UsageMeter(settings, http, database);
        var load = new Load(settings);

        if (settings.Scenarios.Any(s => s is not ("physical" or "accept")))
        {
            Tell($"{settings.Users:N0} users, each with an iOS device and a phone");
            await new BenchUsers(settings, http).RegisterAsync();
            Tell("warming up");
            await ledger.ClearAsync();
            var warmUp = Requests.Push("w" + Requests.NewMarker(), settings.Users);
            await load.PostAsync(warmUp, Math.Min(2_000, settings.Count), settings.Connections);
            await load.PostAsync(
                Requests.Sms("v" + Requests.NewMarker(), settings.Users),
                Math.Min(500, settings.SmsCount),
                settings.Connections
            );
            await ledger.DrainAsync(Math.Min(2_000, settings.Count) + Math.Min(500, settings.SmsCount));
            await usage.ViewsCompleteAsync();
        }

        var rates = new List<EndToEnd.Result>();
        foreach (var scenario in settings.Scenarios.Where(s => s is "accept" or "push" or "batch" or "sms"))
        {
            Tell(scenario);
            rates.Add(await new EndToEnd(settings, load, ledger, usage).MeasureAsync(scenario));
        }

        Latency.Result? latency = null;
        if (settings.Scenarios.Contains("latency"))
        {
            Tell($"latency at {settings.Rate}/s for {settings.Seconds} s");
            await ledger.ClearAsync();
            latency = await new Latency(settings, ledger).MeasureAsync();
        }

        var crowds = new List<Crowd.Result>();
        foreach (var scenario in settings.Scenarios.Where(s => s is "crowd" or "muted"))
        {
            Tell($"{scenario}: a broadcast to {settings.Count:N0}");
            crowds.Add(await new Crowd(settings, http, database, ledger, usage).MeasureAsync(scenario == "muted"));
        }

        var due = new List<Due.Result>();
        if (settings.Scenarios.Contains("due"))
        {
            foreach (var onTheSecond in new[] { false, true })
            {
                Tell($"{settings.DueRate:N0} due a second for {settings.DueSeconds} s, {(onTheSecond ? "on the second" : "evenly")}");
                due.Add(await new Due(settings, load, ledger, usage).MeasureAsync(onTheSecond));
            }
        }

        double? physical = null;
        if (settings.Scenarios.Contains("physical"))
        {
            Tell("physical limit");
            physical = await new PhysicalLimit(database).MeasureAsync(settings.Count);
        }

        Report(rates, latency, due, physical);
        Report(crowds);
        return crowds.All(c => c.IsExact)
            && rates.All(r => r is { Lost: 0, Twice: 0, Refused: 0 })
            && latency is null or { Lost: 0, Twice: 0, Refused: 0 }
            && due.All(d => d is { Lost: 0, Twice: 0, Refused: 0, Early: 0 });
    }

    private void Report(List<EndToEnd.Result> rates, Latency.Result? latency, List<Due.Result> due, double? physical)
    {
        var memory = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / (1024.0 * 1024 * 1024);
        Console.WriteLine(
            $"{Environment.ProcessorCount} cores, {memory:N0} GiB, {RuntimeInformation.OSDescription}, "
                + $"{RuntimeInformation.FrameworkDescription}; load generator, providers, database and hosts on the same machine."
        );
        Console.WriteLine();
        if (rates.Count > 0)
        {
            Table
                .Of(
                    rates,
                    ("scenario", r => r.Name),
                    ("count", r => $"{r.Count:N0}"),
                    ("accepted/s", r => $"{r.AcceptedRate:N0}"),
                    ("end to end/s", r => r.EndToEndRate is { } rate ? $"{rate:N0}" : "–"),
                    ("lost", r => $"{r.Lost}"),
                    ("twice", r => $"{r.Twice}"),
                    ("refused", r => $"{r.Refused}"),
                    ("views complete after", r => r.ViewsAfter is { } s ? $"{s:N1} s" : "–")
                )
                .Write(settings.Markdown);
            Table
                .Of(
                    rates,
                    [
                        ("per 1,000", r => r.Name),
                        ("database commits", r => $"{r.Usage.Commits:N0}"),
                        ("envelopes", r => r.Usage.Of("envelopes") is { } n ? $"{n:N1}" : "–"),
                        .. rates
                            .SelectMany(r => r.Usage.CommitKinds)
                            .Distinct()
                            .Order(StringComparer.Ordinal)
                            .Select(kind =>
                                ($"{kind} commits", (Func<EndToEnd.Result, string>)(r => $"{r.Usage.Of("commits " + kind) ?? 0:N1}"))
                            ),
                    ]
                )
                .Write(settings.Markdown);
            Table
                .Of(
                    rates,
                    [
                        ("CPU s per 1,000", r => r.Name),
                        .. UsageMeter
                            .Processes.Where(p => rates.Any(r => r.Usage.Cpu.ContainsKey(p)))
                            .Select(p =>
                                (p, (Func<EndToEnd.Result, string>)(r => r.Usage.Cpu.TryGetValue(p, out var s) ? $"{s:N3}" : "–"))
                            ),
                        ("all", r => $"{r.Usage.Cpu.Values.Sum():N3}"),
                    ]
                )
                .Write(settings.Markdown);
        }

        if (latency is not null)
        {
            Console.WriteLine(
                $"Open loop, {latency.Rate:N0}/s, {latency.Count:N0} pushes: {latency.Lost} lost, {latency.Twice} twice, "
                    + $"{latency.Refused} refused."
            );
            Console.WriteLine();
            Table
                .Of(
                    [("accept", latency.Accept), ("accept to provider", latency.AcceptToProvider)],
                    ("ms", l => l.Item1),
                    ("p50", l => $"{l.Item2.At(0.50):N1}"),
                    ("p95", l => $"{l.Item2.At(0.95):N1}"),
                    ("p99", l => $"{l.Item2.At(0.99):N1}"),
                    ("max", l => $"{l.Item2.At(1):N1}")
                )
                .Write(settings.Markdown);
        }

        if (due.Count > 0)
        {
            Table
                .Of(
                    due,
                    ("due", d => d.Name),
                    ("count", d => $"{d.Count:N0}"),
                    ("late ms p50", d => $"{d.Late.At(0.50):N0}"),
                    ("p95", d => $"{d.Late.At(0.95):N0}"),
                    ("p99", d => $"{d.Late.At(0.99):N0}"),
                    ("max", d => $"{d.Late.At(1):N0}"),
                    ("lost", d => $"{d.Lost}"),
                    ("twice", d => $"{d.Twice}"),
                    ("refused", d => $"{d.Refused}"),
                    ("early", d => $"{d.Early}"),
                    ("CPU s per 1,000", d => $"{d.Usage.Cpu.Values.Sum():N3}"),
                    ("of which dispatch", d => $"{d.Usage.Cpu.GetValueOrDefault("dispatch"):N3}"),
                    ("postgres", d => $"{d.Usage.Cpu.GetValueOrDefault("postgres"):N3}"),
                    ("due commits", d => $"{d.Usage.Of("commits due") ?? 0:N1}"),
                    ("envelopes", d => $"{d.Usage.Of("envelopes") ?? 0:N1}")
                )
                .Write(settings.Markdown);
        }

        if (physical is null)
            return;
        var push = rates.FirstOrDefault(r => r.Name == "push")?.EndToEndRate;
        Console.WriteLine(
            $"Physical limit, the same kind of rows by raw Npgsql in commits of {PhysicalLimit.Group}: {physical:N0} notifications/s"
                + (push is { } rate ? $"; end to end reaches {rate / physical:P0} of it." : ".")
        );
    }

    private void Report(List<Crowd.Result> crowds)
    {
        if (crowds.Count == 0)
            return;
        Table
            .Of(
                crowds,
                ("broadcast", c => c.Name),
                ("people", c => $"{c.Count:N0}"),
                ("made/s", c => $"{c.Rate:N0}"),
                ("slowest tenth/s", c => $"{c.SlowestTenth:N0}"),
                ("open at most", c => $"{c.MostOpen:N0}"),
                ("sent", c => $"{c.Sent:N0}"),
                ("each once", c => c.IsExact ? "yes" : "NO"),
                ("CPU s per 1,000", c => $"{c.Usage.Cpu.Values.Sum():N2}"),
                ("commits per 1,000", c => $"{c.Usage.Commits:N0}")
            )
            .Write(settings.Markdown);
        Table
            .Of(
                [
                    .. crowds.SelectMany(c =>
                        c.Peaks.Select(p => (c.Name, p.Host, p.Before, p.Peak, Cpu: c.Usage.Cpu.GetValueOrDefault(p.Host)))
                    ),
                ],
                ("broadcast", p => p.Name),
                ("host", p => p.Host),
                ("MiB before", p => $"{p.Before:N0}"),
                ("MiB at most", p => $"{p.Peak:N0}"),
                ("CPU s per 1,000", p => $"{p.Cpu:N3}")
            )
            .Write(settings.Markdown);
        foreach (var c in crowds.Where(c => c.Before is not null))
        {
            Table
                .Of(
                    [("before", c.Before!), ("during", c.During!)],
                    ($"push, {c.Before!.Rate}/s", l => l.Item1),
                    ("p50 ms", l => $"{l.Item2.AcceptToProvider.At(0.5):N0}"),
                    ("p99 ms", l => $"{l.Item2.AcceptToProvider.At(0.99):N0}"),
                    ("max ms", l => $"{l.Item2.AcceptToProvider.At(1):N0}"),
                    ("lost", l => $"{l.Item2.Lost}"),
                    ("twice", l => $"{l.Item2.Twice}")
                )
                .Write(settings.Markdown);
        }
    }

    private void Tell(string what) => Console.Error.WriteLine($"bench: {watch.Elapsed.TotalSeconds, 4:N0} s  {what} …");
}

/// <summary>A measurement that cannot go on; the message says why.</summary>
internal sealed class BenchException(string message) : Exception(message);
