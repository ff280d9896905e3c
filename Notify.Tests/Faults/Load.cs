namespace Notify.Tests.Faults;

using System.Collections.Concurrent;
using System.Diagnostics;
using Notify.Tests.Support;
using Npgsql;

/// <summary>
/// Callers that send without a pause, SMS and pushes in turn, and follow the contract: a request
/// without a 202 or 200 is sent again under the same event ID until it has one. Records exactly the accepted ones.
/// </summary>
public sealed class Load
{
    // More than any test waits for while nothing is sent; a slow machine empties as many within a minute.
    private const int MaxOpen = 3_000;

    private readonly NotifySystem system;
    private readonly IReadOnlyList<NotifyClient> clients;
    private readonly IReadOnlyList<Person> people;
    private readonly CancellationTokenSource stop = new();
    private readonly ConcurrentBag<Task> sending = [];
    private readonly ConcurrentDictionary<string, byte> accepted = new();
    private readonly ConcurrentDictionary<int, int> answers = new();
    private readonly Task pace;
    private int sent;
    private int repeated;
    private long open;

    private Load(NotifySystem system, IReadOnlyList<NotifyClient> clients, IReadOnlyList<Person> people, int perSecond)
    {
        (this.system, this.clients, this.people) = (system, clients, people);
        pace = PaceAsync(perSecond);
    }

    /// <summary>The prefix of every text and event ID of this load.</summary>
    public string Mark { get; } = $"load-{Guid.NewGuid():N}";

    /// <summary>Event IDs that were answered by 202, or by 200 after an answer was lost.</summary>
    public IReadOnlyCollection<string> Accepted => [.. accepted.Keys];

    /// <summary>How many answers there were of each status; 0: no answer.</summary>
    public IReadOnlyDictionary<int, int> Answers => answers;

    /// <summary>How often a caller had to send again.</summary>
    public int Repeated => repeated;

    /// <summary>Begins to send.</summary>
    /// <param name="clients">The clients of several Apis, called in turn; a caller without an answer tries the next.</param>
    public static async Task<Load> StartAsync(NotifySystem system, int perSecond = 250, IReadOnlyList<NotifyClient>? clients = null)
    {
        var people = await Task.WhenAll(Enumerable.Range(0, 40).Select(_ => system.NewPersonAsync()));
        return new Load(system, clients ?? [system.Client], people, perSecond);
    }

    /// <summary>Waits until so many more have been accepted.</summary>
    public Task GoOnAsync(int more)
    {
        var from = accepted.Count;
        return Eventually.Holds(
            () => Task.FromResult(accepted.Count >= from + more),
            $"{more} more are accepted",
            TimeSpan.FromSeconds(60)
        );
    }

    /// <summary>Stops sending anew, and waits until every caller has its answer.</summary>
    public async Task StopAsync()
    {
        await stop.CancelAsync();
        await pace;
        await Task.WhenAll(sending).WaitAsync(TimeSpan.FromSeconds(60));
        Assert.Equal(sent, accepted.Count);
    }

    /// <summary>Waits until calls are in flight, for a kill to hit.</summary>
    public Task IsInFlightAsync() =>
        Eventually.Becomes(
            () =>
                system.ScalarAsync<long>(
                    "select count(*) from notify.open_deliveries where state = 1 and notification like '%:' || $1 || '%'",
                    Mark
                ),
            n => n >= 10,
            "calls are in flight"
        );

    /// <summary>Waits until both kinds of provider have calls whose outcome is not stored yet, for a kill to hit.</summary>
    public Task CallsAreOpenAsync() =>
        Eventually.Becomes(
            async () => Math.Min(await OpenCallsAsync("apns"), await OpenCallsAsync("twilio")),
            n => n >= 3,
            "calls of both kinds are open"
        );

    private async Task<long> OpenCallsAsync(string provider)
    {
        var stored = await system.ScalarAsync<long>(
            "select count(*) from events.mt_events where type = 'NotificationDispatched' and stream_id like '%:' || $1 || '%' "
                + "and data ->> 'provider' = $2",
            Mark,
            provider
        );
        return (await system.Sandbox.LedgerAsync(Mark, provider)).Count - stored;
    }

    /// <summary>How many outcomes were unknown.</summary>
    public Task<long> UnknownsAsync() =>
        system.ScalarAsync<long>(
            "select count(*) from events.mt_events where type = 'DispatchOutcomeUnknown' and stream_id like '%:' || $1 || '%'",
            Mark
        );

    private async Task PaceAsync(int perSecond)
    {
        _ = CountAsync();
        var (watch, before, due) = (Stopwatch.StartNew(), TimeSpan.Zero, 0.0);
        while (!stop.IsCancellationRequested)
        {
            // A pause is made up for by a second's worth at most.
            var now = watch.Elapsed;
            due = Math.Min(due + (now - before).TotalSeconds * perSecond, perSecond);
            before = now;
            // At most so many callers wait for an answer at a time: when nothing answers, nothing piles up.
            for (; due >= 1 && sent - accepted.Count < 150 && Volatile.Read(ref open) < MaxOpen; due--, sent++)
            {
                var n = sent;
                sending.Add(Task.Run(() => SendAsync(n)));
            }

            await Task.Delay(10);
        }
    }

    // While PostgreSQL is away, the last count is used.
    private async Task CountAsync()
    {
        while (!stop.IsCancellationRequested)
        {
            try
            {
                Volatile.Write(
                    ref open,
                    await system.ScalarAsync<long>(
                        "select count(*) from notify.open_deliveries where state not in (4, 5) and notification like '%:' || $1 || '%'",
                        Mark
                    )
                );
            }
            catch (Exception e) when (e is NpgsqlException or TimeoutException or InvalidOperationException or IOException) { }

            await Task.Delay(500);
        }
    }

    private async Task SendAsync(int n)
    {
        var id = $"{Mark}-{n}";
        var request = new
        {
            eventId = id,
            userId = people[n % people.Count].Id,
            channels = new[] { n % 2 == 0 ? "sms" : "push" },
            content = new { body = id },
        };
        for (var attempt = 0; ; attempt++)
        {
            var status = 0;
            try
            {
                status = (await clients[(n + attempt) % clients.Count].SendAsync(request)).Status;
            }
            catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
            {
                // The connection was lost, or there was none.
            }

            answers.AddOrUpdate(status, 1, (_, count) => count + 1);
            if (status is 200 or 202)
            {
                accepted[id] = 0;
                return;
            }

            Interlocked.Increment(ref repeated);
            await Task.Delay(250);
        }
    }
}

/// <summary>The messages that the providers received of a load, compared with the accepted notifications.</summary>
public sealed class Balance
{
    private Balance(IReadOnlyCollection<string> accepted, List<LedgerEntry> entries, IReadOnlySet<string> neverKnown)
    {
        NeverKnown = neverKnown.Count;
        var sms = entries.Where(e => e.Provider == "twilio" && e.IsAccepted).CountBy(e => e.Text!).ToDictionary();
        Pushes = entries
            .Where(e => e.Provider == "apns")
            .GroupBy(e => e.Text!)
            .ToDictionary(g => g.Key, g => g.OrderBy(e => e.Sequence).ToList());
        Lost =
        [
            .. accepted.Where(id =>
                !neverKnown.Contains(id) && !sms.ContainsKey(id) && !(Pushes.TryGetValue(id, out var p) && p.Any(e => e.IsAccepted))
            ),
        ];
        SmsTwice = [.. sms.Where(s => s.Value > 1).Select(s => s.Key)];
        Strangers = [.. sms.Keys.Concat(Pushes.Keys).Except(accepted)];
        Repeats = [.. Pushes.Where(p => p.Value.Count > 1).Select(p => p.Value)];
        Sms = sms.Count;
    }

    // When the store says that each was dispatched, by event ID.
    private Dictionary<string, DateTimeOffset> writtenAt = [];

    /// <summary>Every push's requests, by event ID.</summary>
    public Dictionary<string, List<LedgerEntry>> Pushes { get; }

    /// <summary>Different SMS that Twilio took.</summary>
    public int Sms { get; }

    /// <summary>SMS whose attempt was recorded when their host was killed, which Twilio never had: they are not repeated blindly.</summary>
    public int NeverKnown { get; }

    /// <summary>Accepted by Notify, and never by a provider.</summary>
    public IReadOnlyList<string> Lost { get; }

    /// <summary>Taken twice by Twilio.</summary>
    public IReadOnlyList<string> SmsTwice { get; }

    /// <summary>At a provider, though never accepted.</summary>
    public IReadOnlyList<string> Strangers { get; }

    /// <summary>Pushes that APNs received more than once.</summary>
    public IReadOnlyList<List<LedgerEntry>> Repeats { get; }

    // The streams of lost notifications, for the message of a failure: each event's type and data.
    private static async Task<string> StreamsOfAsync(NotifySystem system, IReadOnlyList<string> lost)
    {
        var streams = new List<string>();
        foreach (var id in lost)
        {
            streams.Add(
                await system.ScalarAsync<string>(
                    "select $1 || coalesce(string_agg(E'\n  ' || type || ' ' || data::text, '' order by version), ' has no stream') "
                        + "from events.mt_events where stream_id like '%:' || $1",
                    id
                )
            );
        }

        return $"{lost.Count} lost:\n{string.Join('\n', streams)}";
    }

    /// <summary>Waits until all of a load has ended, and counts: nothing lost, no SMS twice, and the store agrees.</summary>
    public static async Task<Balance> OfAsync(NotifySystem system, Load load, TimeSpan? within = null)
    {
        await system.QuietAsync(within ?? TimeSpan.FromMinutes(3), load.Mark);
        var balance = new Balance(load.Accepted, await system.Sandbox.LedgerAsync(load.Mark), await NeverKnownAsync(system, load.Mark));
        var dispatched = load.Accepted.Count - balance.NeverKnown;
        Assert.True(balance.Lost.Count == 0, await StreamsOfAsync(system, balance.Lost));
        Assert.Empty(balance.SmsTwice);
        Assert.Empty(balance.Strangers);
        Assert.Equal(dispatched, balance.Sms + balance.Pushes.Count);
        Assert.DoesNotContain(load.Answers.Keys, s => s is not (0 or 200 or 202 or 503)); // no caller saw a fault of ours
        Assert.All(balance.Repeats, r => Assert.Single(r.Select(e => e.Header("apns-collapse-id")).Distinct()));

        // The store agrees: every notification has a stream, and every stream but those ended as dispatched.
        Assert.Equal(
            load.Accepted.Count,
            await system.ScalarAsync<long>("select count(*) from events.mt_streams where id like '%:' || $1 || '%'", load.Mark)
        );
        Assert.Equal(
            dispatched,
            await system.ScalarAsync<long>(
                "select count(distinct stream_id) from events.mt_events where type = 'NotificationDispatched' and stream_id "
                    + "like '%:' || $1 || '%'",
                load.Mark
            )
        );
        await system.VerifyAsync();

        balance.writtenAt = await WrittenAtAsync(system, load.Mark);

        // And so does the read model, once it has caught up: it skipped nothing.
        await Eventually.Becomes(
            () =>
                system.ScalarAsync<long>(
                    "select count(*) from events.mt_doc_notificationview where id like '%:' || $1 || '%' and status = 'dispatched'",
                    load.Mark
                ),
            n => n == dispatched,
            $"the list has all {dispatched}",
            TimeSpan.FromSeconds(30)
        );
        return balance;
    }

    // A kill may fall between the record of an attempt and the call. The stream then says so, and ends at the deadline.
    private static async Task<IReadOnlySet<string>> NeverKnownAsync(NotifySystem system, string mark) =>
        (
            await system.ScalarAsync<string[]>(
                """
                select array(
                    select split_part(u.stream_id, ':', 2) from events.mt_events u
                    join events.mt_events f on f.stream_id = u.stream_id and f.type = 'NotificationFailed' and f.version > u.version
                    where u.type = 'DispatchOutcomeUnknown' and u.data ->> 'reason' = 'HostLost'
                      and f.data ->> 'reason' = 'OutcomeNeverKnown' and u.stream_id like '%:' || $1 || '%'
                      and not exists (select from events.mt_events d where d.stream_id = u.stream_id and d.type = 'NotificationDispatched'))
                """,
                mark
            )
        ).ToHashSet(StringComparer.Ordinal);

    private static async Task<Dictionary<string, DateTimeOffset>> WrittenAtAsync(NotifySystem system, string mark)
    {
        await using var command = system.Database.CreateCommand(
            """
            select split_part(stream_id, ':', 2), min(timestamp) from events.mt_events
            where type = 'NotificationDispatched' and stream_id like '%:' || $1 || '%' group by 1
            """
        );
        command.Parameters.Add(new NpgsqlParameter { Value = mark });
        await using var reader = await command.ExecuteReaderAsync();
        var written = new Dictionary<string, DateTimeOffset>();
        while (await reader.ReadAsync())
            written[reader.GetString(0)] = reader.GetFieldValue<DateTimeOffset>(1);
        return written;
    }

    /// <summary>
    /// Asserts that only such pushes were repeated as were in flight when something was killed: a kill lies between each request and
    /// its repeat, and no outcome was written before the last repeat.
    /// </summary>
    public void RepeatsWereInFlightAt(IReadOnlyList<DateTimeOffset> kills) =>
        Assert.All(
            Repeats,
            r =>
            {
                foreach (var (first, again) in r.Zip(r.Skip(1)))
                    Assert.Contains(kills, k => first.ReceivedAt <= k.AddSeconds(0.3) && again.ReceivedAt >= k);
                Assert.True(writtenAt[r[0].Text!] >= r[^1].ReceivedAt, $"{r[0].Text} was repeated after its outcome had been written");
            }
        );

    /// <summary>Notes what was counted.</summary>
    public void Show(Load load) =>
        TestContext.Current.TestOutputHelper?.WriteLine(
            $"{load.Accepted.Count} accepted ({string.Join(", ", load.Answers.OrderBy(a => a.Key).Select(a => $"{a.Key}: {a.Value}"))}; {load.Repeated} asked again), {Sms} SMS, {Pushes.Count} pushes, {Repeats.Count} of them repeated, 0 lost, {NeverKnown} never known, 0 SMS twice."
        );
}
