namespace Notify.Bench;

using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using Npgsql;

/// <summary>
/// A broadcast to many: how fast it becomes notifications, how much memory the hosts need, how many deliveries wait at most,
/// and how long a push to one person takes meanwhile.
/// </summary>
internal sealed class Crowd(BenchSettings settings, HttpClient http, NpgsqlDataSource database, Ledger ledger, UsageMeter usage)
{
    private const string Topic = "bench-crowd";
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(200);

    /// <summary>The measurements of one broadcast.</summary>
    /// <param name="Rate">Notifications made a second, from the start to the last.</param>
    /// <param name="SlowestTenth">The rate of the slowest tenth of them: whether it slows down on the way.</param>
    /// <param name="MostOpen">The most deliveries that were open at once.</param>
    /// <param name="Sent">Accepted by the providers at the end.</param>
    /// <param name="Before">A push to one person before it, from the request to the provider; <c>null</c>: not measured.</param>
    /// <param name="During">The same while it went on.</param>
    /// <param name="Peaks">By host: resident MiB before it, and the most until its end.</param>
    public sealed record Result(
        string Name,
        int Count,
        double Rate,
        double SlowestTenth,
        long MostOpen,
        long Sent,
        bool IsExact,
        Latency.Result? Before,
        Latency.Result? During,
        IReadOnlyList<(string Host, double Before, double Peak)> Peaks,
        UsageMeter.Used Usage
    );

    /// <summary>Runs one to its end.</summary>
    /// <param name="muted">Whether its people have no device: every notification is made and ends suppressed, and no provider is
    /// called.</param>
    public async Task<Result> MeasureAsync(bool muted)
    {
        var count = settings.Count;
        await SeedAsync(count, muted);
        await ledger.ClearAsync();
        var latency = new Latency(settings, ledger);
        var before = muted ? null : await latency.MeasureAsync();
        if (before is not null)
            await ledger.ClearAsync();

        var id = "crowd-" + Requests.NewMarker();
        var (memory, used) = (Peaks(), await usage.ReadAsync());
        await CallAsync(
            HttpMethod.Post,
            "/v1/broadcasts",
            new
            {
                broadcastId = id,
                topic = Topic,
                channels = new[] { "push" },
                content = new { title = "The sale begins", body = $"Until Sunday only. {id}" },
            }
        );
        var watch = Stopwatch.StartNew();
        var probe = muted ? null : ProbeAsync(latency, id);
        var (marks, mostOpen) = (new List<(TimeSpan At, long Made)> { (TimeSpan.Zero, 0) }, 0L);
        for (var told = 0L; ; )
        {
            await Task.Delay(Interval);
            await using var command = database.CreateCommand(
                "select expanded, ended_at is not null, (select count(*) from notify.open_deliveries) from notify.broadcasts "
                    + "where key like '%:' || $1"
            );
            command.Parameters.Add(new NpgsqlParameter { Value = id });
            await using var reader = await command.ExecuteReaderAsync();
            await reader.ReadAsync();
            marks.Add((watch.Elapsed, reader.GetInt64(0)));
            mostOpen = Math.Max(mostOpen, reader.GetInt64(2));
            if (marks[^1].Made - told >= count / 10)
            {
                told = marks[^1].Made;
                Console.Error.WriteLine(
                    string.Create(CultureInfo.InvariantCulture, $"bench:         {told:N0} after {watch.Elapsed.TotalSeconds:N0} s")
                );
            }

            if (reader.GetBoolean(1))
                break;
        }

        var during = probe is null ? null : await probe;
        var peaks = Peaks();
        if (!muted)
            await ledger.DrainAsync(count, id);
        var sent = muted ? 0 : await ledger.AcceptedAsync(id);
        await usage.ViewsCompleteAsync();
        var cost = UsageMeter.Between(used, await usage.ReadAsync(), count);
        return new Result(
            muted ? "muted" : "crowd",
            count,
            count / marks[^1].At.TotalSeconds,
            Slowest(marks, count),
            mostOpen,
            sent,
            await IsExactAsync(id, count) && (muted || sent == count),
            before,
            during,
            [.. peaks.Where(p => memory.ContainsKey(p.Key)).Select(p => (p.Key, memory[p.Key].Now, p.Value.Peak))],
            cost
        );
    }

    // Not before the queue has filled: that is when others would have to wait.
    private async Task<Latency.Result> ProbeAsync(Latency latency, string id)
    {
        while (await ledger.AcceptedAsync(id) < Math.Min(5_000, settings.Count / 10))
            await Task.Delay(Interval);
        return await latency.MeasureAsync();
    }

    private static double Slowest(List<(TimeSpan At, long Made)> marks, int count)
    {
        var slowest = double.MaxValue;
        for (var (i, j) = (0, 0); j < marks.Count; j++)
        {
            if (marks[j].Made - marks[i].Made < count / 10)
                continue;
            slowest = Math.Min(slowest, (marks[j].Made - marks[i].Made) / (marks[j].At - marks[i].At).TotalSeconds);
            i = j;
        }

        return slowest;
    }

    // One notification for each of them, no more and no fewer.
    private async Task<bool> IsExactAsync(string id, int count)
    {
        await using var command = database.CreateCommand("select count(*) from events.mt_streams where id ~>=~ $1 and id ~<~ $2");
        command.CommandTimeout = 300;
        var prefix = $"n/{settings.ClientId}:{id}";
        command.Parameters.Add(new NpgsqlParameter { Value = prefix + "@" });
        command.Parameters.Add(new NpgsqlParameter { Value = prefix + "A" });
        return (long)(await command.ExecuteScalarAsync())! == count;
    }

    // Registering each over HTTP would take longer than what is measured: one is registered, the others are like them.
    private async Task SeedAsync(int count, bool muted)
    {
        await CallAsync(HttpMethod.Put, $"/v1/topics/{Topic}", new { name = "Everybody" });
        if (muted)
            await CallAsync(HttpMethod.Put, "/v1/users/bench-muted", new { locale = "ko" });
        var person = await ReferenceAsync(muted ? "bench-muted" : $"{BenchUsers.Prefix}00000");
        await using var command = database.CreateCommand(
            """
            with gone as (delete from notify.topic_subscribers where topic = $1),
            people as (
                insert into events.mt_doc_recipient
                select (jsonb_populate_record(r, jsonb_build_object('id', n.id, 'data', jsonb_set(r.data, '{id}', to_jsonb(n.id))))).*
                from events.mt_doc_recipient r, (select 'u/' || $2 || '-' || lpad(g::text, 7, '0') as id from generate_series(1, $3) g) n where r.id = 'u/' || $2
                on conflict do nothing)
            select 1
            """
        );
        command.CommandTimeout = 1_200;
        foreach (var value in new object[] { Topic, person, count })
            command.Parameters.Add(new NpgsqlParameter { Value = value });
        await command.ExecuteNonQueryAsync();
        await using var join = database.CreateCommand(
            "insert into notify.topic_subscribers select $1, $2 || '-' || lpad(g::text, 7, '0'), now() from generate_series(1, $3) g"
        );
        join.CommandTimeout = 1_200;
        foreach (var value in new object[] { Topic, person, count })
            join.Parameters.Add(new NpgsqlParameter { Value = value });
        await join.ExecuteNonQueryAsync();
        await using var analyze = database.CreateCommand("analyze events.mt_doc_recipient, notify.topic_subscribers");
        await analyze.ExecuteNonQueryAsync();
    }

    // The database knows the person by a reference: the only member of the topic.
    private async Task<string> ReferenceAsync(string userId)
    {
        await using (var empty = database.CreateCommand("delete from notify.topic_subscribers where topic = $1"))
        {
            empty.Parameters.Add(new NpgsqlParameter { Value = Topic });
            empty.CommandTimeout = 1_200;
            await empty.ExecuteNonQueryAsync();
        }

        await CallAsync(HttpMethod.Put, $"/v1/topics/{Topic}/subscribers/{userId}", new { });
        await using var read = database.CreateCommand("select user_id from notify.topic_subscribers where topic = $1");
        read.Parameters.Add(new NpgsqlParameter { Value = Topic });
        return (string)(await read.ExecuteScalarAsync())!;
    }

    private Dictionary<string, (double Now, double Peak)> Peaks()
    {
        var peaks = new Dictionary<string, (double, double)>(StringComparer.Ordinal);
        foreach (
            var (name, port) in new[]
            {
                ("api", settings.Api.Port),
                ("dispatch", settings.Dispatch?.Port),
                ("projections", settings.Projections?.Port),
            }
        )
        {
            if (port is { } p && ListeningProcess.Memory(p) is { } memory)
                peaks[name] = memory;
        }

        return peaks;
    }

    private async Task CallAsync(HttpMethod method, string path, object body)
    {
        using var request = new HttpRequestMessage(method, new Uri(settings.Api, path))
        {
            Headers = { Authorization = AuthenticationHeaderValue.Parse(settings.Authorization) },
            Content = JsonContent.Create(body),
        };
        using var response = await http.SendAsync(request);
        if (!response.IsSuccessStatusCode)
            throw new BenchException($"{method} {path} was answered {response.StatusCode}: {await response.Content.ReadAsStringAsync()}");
    }
}
