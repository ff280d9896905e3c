namespace Notify.Bench;

using System.Globalization;
using Npgsql;

/// <summary>Measures the cost of a run: database commits, Notify's own counters, and each process's CPU time from <c>/proc</c>.</summary>
internal sealed class UsageMeter(BenchSettings settings, HttpClient http, NpgsqlDataSource database)
{
    /// <summary>The processes, in the order of the report.</summary>
    public static readonly string[] Processes = ["api", "dispatch", "projections", "postgres", "sandbox", "bench"];

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    /// <summary>Counters at one moment.</summary>
    public sealed record Sample(long Commits, IReadOnlyDictionary<string, double> Counters, IReadOnlyDictionary<string, double> Cpu);

    /// <summary>The usage between two samples, per 1,000 notifications; CPU in seconds.</summary>
    public sealed record Used(double Commits, IReadOnlyDictionary<string, double> Counters, IReadOnlyDictionary<string, double> Cpu)
    {
        /// <summary>The kinds of grouped commits that were counted.</summary>
        public IEnumerable<string> CommitKinds =>
            Counters.Keys.Where(k => k.StartsWith("commits ", StringComparison.Ordinal)).Select(k => k[8..]);

        /// <summary>One of Notify's counters.</summary>
        public double? Of(string counter) => Counters.TryGetValue(counter, out var value) ? value : null;
    }

    /// <summary>Reads all counters. Sources that cannot be reached are skipped.</summary>
    public async Task<Sample> ReadAsync()
    {
        await Task.Delay(1_200); // backends report their statistics at most once a second
        await using var command = database.CreateCommand("select xact_commit from pg_stat_database where datname = current_database()");
        var commits = (long)(await command.ExecuteScalarAsync())!;
        var counters = new Dictionary<string, double>(StringComparer.Ordinal);
        foreach (var host in new[] { settings.Api, settings.Dispatch })
        {
            if (host is not null)
                await ScrapeAsync(host, counters);
        }

        return new Sample(commits, counters, ReadCpu());
    }

    /// <summary>Computes the usage between two samples, per 1,000 of <paramref name="count"/>.</summary>
    public static Used Between(Sample before, Sample after, int count)
    {
        IReadOnlyDictionary<string, double> Delta(IReadOnlyDictionary<string, double> a, IReadOnlyDictionary<string, double> b) =>
            b.ToDictionary(p => p.Key, p => (p.Value - a.GetValueOrDefault(p.Key)) * 1000 / count, StringComparer.Ordinal);
        return new Used(
            (after.Commits - before.Commits) * 1000.0 / count,
            Delta(before.Counters, after.Counters),
            Delta(before.Cpu, after.Cpu)
        );
    }

    /// <summary>Waits until every read model holds every event.</summary>
    /// <returns>When that was seen; <c>null</c> when it did not come in two minutes.</returns>
    public async Task<DateTimeOffset?> ViewsCompleteAsync()
    {
        var start = TimeProvider.System.GetUtcNow();
        while (TimeProvider.System.GetUtcNow() - start < Patience)
        {
            await using var command = database.CreateCommand(
                "select coalesce((select min(last_seq_id) from events.mt_event_progression where name not like 'HighWater%') "
                    + ">= (select max(seq_id) from events.mt_events), true)"
            );
            if (await command.ExecuteScalarAsync() is true)
                return TimeProvider.System.GetUtcNow();
            await Task.Delay(200);
        }

        return null;
    }

    private async Task ScrapeAsync(Uri host, Dictionary<string, double> counters)
    {
        string text;
        try
        {
            text = await http.GetStringAsync(new Uri(host, "/metrics"));
        }
        catch (HttpRequestException)
        {
            return;
        }

        foreach (var line in text.Split('\n'))
        {
            var name =
                line.StartsWith("notify_envelopes_total", StringComparison.Ordinal) ? "envelopes"
                : line.StartsWith("notify_commits_total", StringComparison.Ordinal) && line.Split("kind=\"") is [_, var rest]
                    ? "commits " + rest[..rest.IndexOf('"', StringComparison.Ordinal)]
                : null;
            var fields = line[(line.LastIndexOf('}') + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if (name is not null && fields.Length > 0 && double.TryParse(fields[0], CultureInfo.InvariantCulture, out var value))
                counters[name] = counters.GetValueOrDefault(name) + value;
        }
    }

    private Dictionary<string, double> ReadCpu()
    {
        var cpu = new Dictionary<string, double>(StringComparer.Ordinal) { ["bench"] = Environment.CpuUsage.TotalTime.TotalSeconds };
        if (!OperatingSystem.IsLinux())
            return cpu;
        var databasePort = new NpgsqlConnectionStringBuilder(settings.Database).Port;
        foreach (
            var (name, port) in new[]
            {
                ("api", settings.Api.Port),
                ("dispatch", settings.Dispatch?.Port),
                ("projections", settings.Projections?.Port),
                ("postgres", databasePort),
                ("sandbox", settings.Sandbox.Port),
            }
        )
        {
            if (port is { } p && ListeningProcess.CpuSeconds(p, withChildren: name == "postgres") is { } seconds)
                cpu[name] = seconds;
        }

        return cpu;
    }
}
