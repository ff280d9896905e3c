namespace Notify.Tests.Faults;

using System.Diagnostics;
using System.Globalization;
using Notify.Tests.Support;

/// <summary>
/// Crowded queues: urgent deliveries do not wait behind them, and clients with few deliveries not behind those with many.
/// </summary>
[Collection(CrowdCollection.Name)]
[Trait("Category", "Faults")]
public sealed class Crowds : SystemTest
{
    private static readonly TimeProvider Clock = TimeProvider.System;
    private static readonly string[] Repeatable = ["busy", "rate_limited", "storage_unavailable"];

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    /// <inheritdoc />
    public override async ValueTask InitializeAsync() =>
        // So many attempts that none of thousands of pushes becomes a dead letter by the providers' random errors.
        Installation = await NotifySystem.StartAsync("crowd", new() { ["Notify__Retry__MaxAttempts"] = "100" }, projections: false);

    /// <inheritdoc />
    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        await Installation.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task Critical_overtakes_the_flood_in_its_queue_and_a_small_client_has_its_fair_share()
    {
        const int Flood = 20_000,
            Criticals = 100,
            Few = 300;
        var people = await Task.WhenAll(Enumerable.Range(0, 40).Select(_ => Installation.NewPersonAsync(phone: false)));
        using var flooder = await NewClientAsync();
        using var small = await NewClientAsync();
        var (flood, few) = (NewId("flood"), NewId("few"));
        await Sandbox.KnobsAsync("apns", new { latencyMs = 400, jitter = 0.2 });
        await Installation.StopDispatchAsync();
        await Parallel.ForEachAsync(
            Enumerable.Range(0, Flood / 1000),
            new ParallelOptions { MaxDegreeOfParallelism = 4 },
            async (batch, _) => await BatchAsync(flooder, flood, batch * 1000, 1000, "bulk", people)
        );
        await Task.WhenAll(Installation.StartDispatchAsync(), Installation.StartDispatchAsync());
        await Eventually.Becomes(
            () => Sandbox.CountAsync(flood),
            c => c.Received > 500,
            "the flood is being worked on",
            TimeSpan.FromSeconds(60)
        );

        // Counted in deliveries, not in seconds: how many of the flood went out between the request and its arrival.
        var asked = await CriticalAsync(small, people, Criticals);
        var ledger = (await Sandbox.LedgerAsync("")).OrderBy(e => e.Sequence).ToList();
        var ahead = asked.Select(a => Between(ledger, flood, a.At, ledger.First(e => e.Text == a.Id).ReceivedAt)).Order().ToList();
        var left = await QueuedAsync(flooder);
        Show(
            $"bulk that went out while a critical one was on its way: median {At(ahead, 0.5):0}, most {ahead[^1]:0}, beside "
                + $"{left} waiting; load average {await MachineLoad.AverageAsync()}"
        );
        Assert.InRange(At(ahead, 0.9), 0, 1_500);

        // The same for a client with a few of the same priority: it shares the lane with one other client.
        var began = Clock.GetUtcNow();
        await BatchAsync(small, few, 0, Few, "bulk", people);
        await Eventually.Becomes(() => Sandbox.CountAsync(few), c => c.Received == Few, "the few have arrived", TimeSpan.FromSeconds(120));
        ledger = [.. (await Sandbox.LedgerAsync("")).OrderBy(e => e.Sequence)];
        var beside = Between(ledger, flood, began, ledger.Last(e => e.Text?.StartsWith(few, StringComparison.Ordinal) == true).ReceivedAt);
        Show($"{Few} of another client went out beside {beside:0} of the flood, of which {await QueuedAsync(flooder)} wait");
        Assert.True(await QueuedAsync(flooder) > 5_000, "the flood was over: nothing was shared");
        Assert.InRange(beside, 0, 3 * Few + 1_500); // its share, and what was on its way before it came
    }

    [Fact]
    public async Task However_clients_share_a_queue_everything_arrives_once_and_nothing_is_left()
    {
        var people = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => Installation.NewPersonAsync()));
        await Installation.StartDispatchAsync();
        await Sandbox.KnobsAsync(
            "apns",
            new
            {
                latencyMs = 50,
                errorRate = 0.2,
                errorStatus = 503,
            }
        );
        var mark = NewId("shared");
        var sizes = new[] { 3000, 700, 40, 1 };
        var clients = await Task.WhenAll(sizes.Select(_ => NewClientAsync()));
        await Parallel.ForEachAsync(
            sizes.SelectMany(
                (size, c) => Enumerable.Range(0, (size + 499) / 500).Select(b => (c, From: b * 500, Count: Math.Min(500, size - (b * 500))))
            ),
            async (batch, _) => await BatchAsync(clients[batch.c], $"{mark}-{batch.c}", batch.From, batch.Count, "normal", people, "push")
        );

        await Installation.QuietAsync(TimeSpan.FromSeconds(90), mark);

        var accepted = (await Sandbox.LedgerAsync(mark)).Where(e => e.IsAccepted).CountBy(e => e.Text!).ToDictionary();
        var expected = sizes.SelectMany((size, c) => Enumerable.Range(0, size).Select(i => $"{mark}-{c}-{i}"));
        await NoneIsMissingAsync([.. expected.Where(text => !accepted.ContainsKey(text))]);
        Assert.Equal(sizes.Sum(), accepted.Count);
        Assert.All(accepted, a => Assert.Equal(1, a.Value));
        foreach (var client in clients)
            client.Dispose();
    }

    // Names each missing notification with its events and its open deliveries: where it is, not only that it is missing.
    private async Task NoneIsMissingAsync(List<string> missing)
    {
        if (missing.Count == 0)
            return;
        var found = new List<string>();
        foreach (var id in missing.Take(5))
        {
            found.Add(
                await Installation.ScalarAsync<string>(
                    """
                    select $1 || ': ' || coalesce((
                        select string_agg(version || ' ' || type || ' ' || left(data::text, 300), E'\n  ' order by version)
                        from events.mt_events where stream_id like '%:' || $1), 'no stream')
                    || E'\n  open: ' || coalesce((
                        select string_agg(d::text, '; ') from notify.open_deliveries d where notification like '%:' || $1), 'nothing')
                    """,
                    id
                )
            );
        }

        Assert.Fail($"{missing.Count} accepted notifications never reached the provider:\n{string.Join('\n', found)}");
    }

    // One every 50 ms, independent of those before. Returns the time of each request.
    private async Task<List<(string Id, DateTimeOffset At)>> CriticalAsync(NotifyClient client, Person[] people, int count)
    {
        var mark = NewId("critical");
        var asked = new List<(string Id, DateTimeOffset At)>();
        var calls = new List<Task>();
        var watch = Stopwatch.StartNew();
        for (var i = 0; i < count; i++)
        {
            if (TimeSpan.FromMilliseconds(50 * i) - watch.Elapsed is { Ticks: > 0 } wait)
                await Task.Delay(wait, Cancellation);
            var id = $"{mark}-{i}";
            asked.Add((id, Clock.GetUtcNow()));
            calls.Add(
                client
                    .SendAsync(
                        new
                        {
                            eventId = id,
                            userId = people[i % people.Length].Id,
                            priority = "critical",
                            content = new { body = id },
                        }
                    )
                    .ContinueWith(r => r.Result.Is(202), TaskScheduler.Default)
            );
        }

        await Task.WhenAll(calls);
        await Eventually.Becomes(
            () => Sandbox.CountAsync(mark),
            c => c.Received == count,
            "all that is critical has arrived",
            TimeSpan.FromSeconds(60)
        );
        return asked;
    }

    private static double Between(List<LedgerEntry> ledger, string mark, DateTimeOffset from, DateTimeOffset to) =>
        ledger.Count(e =>
            e.ReceivedAt >= from && e.ReceivedAt <= to && e.Text is { } text && text.StartsWith(mark, StringComparison.Ordinal)
        );

    private static double At(List<double> sorted, double quantile) => sorted[Math.Max(0, (int)Math.Ceiling(sorted.Count * quantile) - 1)];

    // The answer to a batch is 200 also where single items of it were not accepted, such as one that waited too long for its commit:
    // these are sent again, unchanged, until they are.
    private static async Task BatchAsync(
        NotifyClient client,
        string mark,
        int from,
        int count,
        string priority,
        Person[] people,
        string channel = "push"
    )
    {
        for (var left = Enumerable.Range(from, count).ToList(); left.Count > 0; )
        {
            var results = (
                await client.PostAsync(
                    "/v1/notifications/batch",
                    new
                    {
                        notifications = left.Select(i => new
                        {
                            eventId = $"{mark}-{i}",
                            userId = people[i % people.Length].Id,
                            channels = new[] { channel },
                            priority,
                            content = new { body = $"{mark}-{i}" },
                        }),
                    }
                )
            ).Is(200).Json["results"]!.AsArray();
            Assert.Equal(left.Count, results.Count);
            var refused = left.Zip(results).Where(r => r.Second!["status"]!.ToString() == "rejected").ToList();
            Assert.All(refused, r => Assert.Contains(r.Second!["error"]!["code"]!.ToString(), Repeatable));
            foreach (var (i, result) in refused)
                Show($"{mark}-{i} is sent again: {result!["error"]!.ToJsonString()}");
            left = [.. refused.Select(r => r.First)];
        }
    }

    private async Task<NotifyClient> NewClientAsync()
    {
        var made = (
            await Client.PostAsync(
                "/v1/clients",
                new
                {
                    name = "a test's",
                    mode = "live",
                    scopes = new[] { "send", "read" },
                    acceptPerSecond = 0,
                }
            )
        ).Is(201);
        return new NotifyClient(Installation.ApiUrl, made["appKey"], made["appSecret"]);
    }

    private Task<long> QueuedAsync(NotifyClient client) =>
        Installation.ScalarAsync<long>("select count(*) from notify.open_deliveries where client = $1 and state = 0", client.AppKey);

    private static void Show(string what) => TestContext.Current.TestOutputHelper!.WriteLine(what);
}

/// <summary>Runs while nothing else does.</summary>
[CollectionDefinition(Name)]
[Trait("Category", "Apart")]
public sealed class CrowdCollection
{
    public const string Name = "Crowds";
}
