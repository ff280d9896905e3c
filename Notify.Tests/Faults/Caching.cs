namespace Notify.Tests.Faults;

using System.Collections.Concurrent;
using Notify.Tests.Support;
using StackExchange.Redis;

/// <summary>Two hosts of each kind before one Redis: a change through one applies to the other, in every state of Redis.</summary>
[Collection(CacheCollection.Name)]
[Trait("Category", "Faults")]
public sealed class Caching(CacheSystem cache) : SystemTest
{
    private static readonly TimeProvider Clock = TimeProvider.System;

    /// <inheritdoc />
    public override async ValueTask InitializeAsync()
    {
        Installation = cache.System;
        await Sandbox.BehaveAsync();
    }

    [Fact]
    public async Task An_opt_out_is_honoured_by_every_host_within_a_second_whatever_becomes_of_Redis()
    {
        var (honoured, answered) = (new List<TimeSpan>(), new ConcurrentBag<(string Fate, TimeSpan Took)>());
        var fates = new (string Name, Func<Task> Happen)[]
        {
            ("well", () => Task.CompletedTask),
            ("frozen", () => Does(cache.Redis.Freeze)),
            ("thawed", () => Does(cache.Redis.Thaw)),
            ("killed", cache.Redis.KillAsync),
            ("back", cache.Redis.StartAgainAsync),
        };
        foreach (var (fate, happen) in fates)
        {
            for (var round = 0; round < 6; round++)
            {
                var person = await Installation.NewPersonAsync(phone: false);
                var (mark, sent, optedOutAt) = (
                    NewId($"{fate}-{round}"),
                    new ConcurrentDictionary<string, DateTimeOffset>(),
                    DateTimeOffset.MaxValue
                );
                using var stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
                var senders = cache
                    .Clients.Select(
                        (client, at) =>
                            Task.Run(async () =>
                            {
                                for (var i = 0; !stop.IsCancellationRequested; i++)
                                {
                                    var (id, from) = ($"{mark}-{at}-{i}", Clock.GetUtcNow());
                                    (
                                        await client.SendAsync(
                                            new
                                            {
                                                eventId = id,
                                                userId = person.Id,
                                                content = new { title = id },
                                            }
                                        )
                                    ).Is(202);
                                    sent[id] = from;
                                    answered.Add((fate, Clock.GetUtcNow() - from));
                                }
                            })
                    )
                    .ToList();

                await HotAsync();
                if (round == 2)
                    await happen();
                await HotAsync();
                await Eventually.Holds(
                    async () => (await Sandbox.LedgerAsync(mark)).Count > 0 || senders.Any(s => s.IsFaulted),
                    "a push arrives"
                );
                (
                    await cache
                        .Clients[round % 2]
                        .PutAsync($"/v1/users/{person.Id}/preferences", new { channels = new { push = new { optIn = false } } })
                ).Is(200);
                optedOutAt = Clock.GetUtcNow();
                await HotAsync();
                await stop.CancelAsync();
                await Task.WhenAll(senders);
                await Installation.QuietAsync(mark: mark);

                var reached = await Sandbox.LedgerAsync(mark);
                Assert.NotEmpty(reached);
                Assert.All(reached, r => Assert.Contains(r.Text!.Trim(), sent.Keys));
                honoured.Add(reached.Max(r => r.ReceivedAt) - optedOutAt);
                // A notification requested after the answer to the opt-out, through either host, is never delivered.
                var late = sent.Where(s => s.Value > optedOutAt).Select(s => s.Key).ToHashSet();
                Assert.True(late.Count >= 6, $"only {late.Count} came after the opt-out");
                Assert.DoesNotContain(reached, r => late.Contains(r.Text!.Trim()));

                Task HotAsync()
                {
                    var enough = sent.Count + 10;
                    return Eventually.Holds(
                        () => Task.FromResult(sent.Count >= enough || senders.Any(s => s.IsFaulted)),
                        "both hosts send"
                    );
                }
            }
        }

        var slowest = answered.Max(a => a.Took);
        var usual = answered.GroupBy(a => a.Fate).ToDictionary(g => g.Key, g => g.Select(a => a.Took).Order().ElementAt(g.Count() / 2));
        TestContext.Current.TestOutputHelper?.WriteLine(
            $"Last send after the opt-out's answer: {honoured.Max().TotalMilliseconds:0} ms at most in {honoured.Count} rounds; {answered.Count} requests, the slowest took {slowest.TotalMilliseconds:0} ms, half of them {string.Join(", ", usual.Select(u => $"{u.Key} {u.Value.TotalMilliseconds:0} ms"))}."
        );
        // A call that was under way takes as long as anything does where the machine is starved.
        Assert.InRange(honoured.Max(), TimeSpan.MinValue, TimeSpan.FromSeconds(Math.Max(1, slowest.TotalSeconds)));
        // A Redis that hangs holds nobody up.
        Assert.All(usual.Values, half => Assert.InRange(half, TimeSpan.Zero, TimeSpan.FromSeconds(1)));
    }

    [Fact]
    public async Task Delivery_planned_before_an_opt_out_is_suppressed_at_the_last_check_of_either_Dispatch()
    {
        await Sandbox.KnobsAsync("apns", new { errorRate = 1, errorStatus = 503 });
        var people = await Task.WhenAll(Enumerable.Range(0, 12).Select(_ => Installation.NewPersonAsync(phone: false)));
        var mark = NewId("held");
        foreach (var (person, i) in people.Select((p, i) => (p, i)))
            (
                await cache
                    .Clients[i % 2]
                    .SendAsync(
                        new
                        {
                            eventId = $"{mark}-{i}",
                            userId = person.Id,
                            content = new { title = mark },
                        }
                    )
            ).Is(202);
        await Eventually.Becomes(() => Sandbox.CountAsync(mark), count => count.Received >= people.Length, "each was tried once");

        foreach (var (person, i) in people.Select((p, i) => (p, i)))
            (
                await cache
                    .Clients[(i + 1) % 2]
                    .PutAsync($"/v1/users/{person.Id}/preferences", new { channels = new { push = new { optIn = false } } })
            ).Is(200);
        // Deliveries claimed before their opt-out are still attempted, and rejected. All later claims come after it.
        await Eventually.Holds(
            async () =>
                await Installation.ScalarAsync<long>(
                    "select count(*) from notify.open_deliveries where notification like '%:' || $1 || '-%' and state = 1",
                    mark
                ) == 0,
            "no call is under way"
        );
        await Sandbox.BehaveAsync();

        for (var i = 0; i < people.Length; i++)
            Assert.Equal("OptedOut", (await Client.BecomesAsync($"{mark}-{i}", "suppressed")).On("push").Reason);
        Assert.Equal(0, (await Sandbox.CountAsync(mark)).Accepted);
    }

    [Fact]
    public async Task Device_registered_through_one_host_is_reached_through_the_other()
    {
        const int People = 200;
        var (mark, tokens) = (NewId("fresh"), new ConcurrentBag<string>());
        await Parallel.ForEachAsync(
            Enumerable.Range(0, People),
            new ParallelOptions { MaxDegreeOfParallelism = 16 },
            async (i, _) =>
            {
                var (here, there, user) = (cache.Clients[i % 2], cache.Clients[(i + 1) % 2], $"{mark}-u{i}");
                (
                    await there.SendAsync(
                        new
                        {
                            eventId = $"{user}-0",
                            userId = user,
                            content = new { title = "nobody" },
                        }
                    )
                ).Is(202); // there, they are known to be unknown
                await RegisterAsync(here);
                (
                    await there.SendAsync(
                        new
                        {
                            eventId = $"{user}-1",
                            userId = user,
                            content = new { title = mark },
                        }
                    )
                ).Is(202);
                await RegisterAsync(there);
                (
                    await here.SendAsync(
                        new
                        {
                            eventId = $"{user}-2",
                            userId = user,
                            content = new { title = mark },
                        }
                    )
                ).Is(202);

                async Task RegisterAsync(NotifyClient client)
                {
                    var token = Person.NewToken();
                    tokens.Add(token);
                    (await client.PostAsync($"/v1/users/{user}/devices", new { platform = "ios", token })).Is(201);
                }
            }
        );

        await Installation.QuietAsync(mark: mark);
        var reached = await Sandbox.LedgerAsync(mark);
        Assert.Equal(3 * People, reached.Count); // one device, then both
        Assert.Equal(tokens.Order(), reached.Select(r => r.To).Distinct().Order());
    }

    [Fact]
    public async Task An_edited_template_is_the_other_host_s_from_the_answer_on()
    {
        var (key, frame, id, to) = ($"t{Guid.NewGuid():N}", $"l{Guid.NewGuid():N}", NewId("edited"), Person.NewEmail());
        for (var version = 1; version <= 20; version++)
        {
            var (here, there) = (cache.Clients[version % 2], cache.Clients[(version + 1) % 2]);
            (await here.PutAsync($"/v1/layouts/{frame}", new { html = $"<i>{version}</i>{{{{ content }}}}" })).Is(201);
            (
                await here.PutAsync(
                    $"/v1/templates/{key}",
                    new
                    {
                        layout = frame,
                        channels = new
                        {
                            email = new
                            {
                                subject = $"{version}",
                                html = "<p>x</p>",
                                text = "x",
                            },
                        },
                    }
                )
            ).Is(201);

            (
                await there.SendAsync(
                    new
                    {
                        eventId = $"{id}-{version}",
                        to = new { email = to },
                        template = new { key },
                    }
                )
            ).Is(202);

            var pinned = (await there.EventsAsync($"{id}-{version}"))[0].Data["template"]!;
            Assert.Equal(($"{version}", $"{version}"), (pinned["version"]!.ToString(), pinned["layouts"]![0]!["version"]!.ToString()));
        }
    }

    [Fact]
    public async Task Redis_holds_nothing_that_says_whose_it_is()
    {
        var person = await Installation.NewPersonAsync(email: Person.NewEmail());
        var id = NewId("sealed");
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    category = "tidings",
                    content = new { title = id },
                }
            )
        ).Is(202);
        await Client.BecomesAsync(id, "dispatched");

        using var redis = await ConnectionMultiplexer.ConnectAsync(cache.Redis.Address);
        var things = new List<string>();
        await foreach (var key in redis.GetServers()[0].KeysAsync())
            things.Add(
                $"{key} "
                    + $"{string.Concat((await redis.GetDatabase().HashGetAllAsync(key)).Select(f => System.Text.Encoding.Latin1.GetString((byte[])f.Value!)))}"
            );

        Assert.NotEmpty(things);
        Assert.All(things, thing => Assert.StartsWith("notify:", thing, StringComparison.Ordinal));
        foreach (var word in new[] { person.Id, person.Phone!, person.Email!, person.Tokens[0], "tidings", "devices", "choices" })
            Assert.DoesNotContain(things, thing => thing.Contains(word, StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_host_starts_and_works_while_Redis_is_away_and_says_so_once()
    {
        var url = new Uri($"http://127.0.0.1:{HostProcess.FreePort()}");
        var environment = Installation.Environment(url);
        environment["ConnectionStrings__redis"] = $"127.0.0.1:{HostProcess.FreePort()},password=quite-secret";
        await using var api = HostProcess.Start(
            "Api without Redis",
            Repository.Program("Notify.Api"),
            [],
            environment,
            TestRun.Log("cache-no-redis")
        );
        using var client = Client.At(url);
        using var http = new HttpClient { BaseAddress = url };
        var health = "";
        await Eventually.Holds(
            async () =>
            {
                try
                {
                    using var response = await http.GetAsync("/health/ready", TestContext.Current.CancellationToken);
                    health = await response.Content.ReadAsStringAsync();
                    return response.IsSuccessStatusCode;
                }
                catch (HttpRequestException)
                {
                    return false;
                }
            },
            "it is ready"
        );
        Assert.Contains("Redis does not answer; everything is read from the database.", health, StringComparison.Ordinal);

        var person = await Installation.NewPersonAsync(phone: false);
        for (var i = 0; i < 20; i++)
        {
            var id = NewId("without");
            (
                await client.SendAsync(
                    new
                    {
                        eventId = id,
                        userId = person.Id,
                        content = new { title = id },
                    }
                )
            ).Is(202);
            if (i == 0)
                await Client.BecomesAsync(id, "dispatched");
        }

        var log = await File.ReadAllTextAsync(api.LogFile, TestContext.Current.CancellationToken);
        Assert.Single(log.Split('\n'), line => line.Contains("Redis", StringComparison.Ordinal));
        Assert.DoesNotContain("quite-secret", log, StringComparison.Ordinal);
    }

    private static Task Does(Action act)
    {
        act();
        return Task.CompletedTask;
    }
}
