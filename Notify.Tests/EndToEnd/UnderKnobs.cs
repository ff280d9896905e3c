namespace Notify.Tests.EndToEnd;

using System.Diagnostics;
using System.Text.Json.Nodes;
using Notify.Tests.Support;

/// <summary>Behaviour while providers are slow, reject requests or do not answer.</summary>
public sealed class UnderKnobs(KnobSystem knobs) : KnobTest(knobs)
{
    private static readonly TimeProvider Clock = TimeProvider.System;

    [Fact]
    public async Task A_sendAt_fires_within_a_second()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var due = Enumerable.Range(0, 5).Select(i => (Id: NewId("due"), At: Clock.GetUtcNow().AddSeconds(1 + (0.3 * i)))).ToList();
        foreach (var (id, at) in due)
            (
                await Client.SendAsync(
                    new
                    {
                        eventId = id,
                        userId = person.Id,
                        sendAt = at,
                        content = new { body = id },
                    }
                )
            ).Is(202);

        foreach (var (id, at) in due)
        {
            await Client.BecomesAsync(id, "dispatched");
            Assert.InRange((Assert.Single(await Sandbox.LedgerAsync(id)).ReceivedAt - at).TotalSeconds, 0, 1);
        }
    }

    [Fact]
    public async Task A_provider_s_Retry_After_is_honoured()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var id = NewId("wait");
        await Sandbox.KnobsAsync(
            "twilio",
            new
            {
                errorRate = 1,
                errorStatus = 429,
                retryAfterSeconds = 2,
            }
        );

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    content = new { body = id },
                }
            )
        ).Is(202);

        var first = (await Eventually.Becomes(() => Sandbox.LedgerAsync(id), e => e.Count == 1, "the first attempt"))[0];
        await Sandbox.BehaveAsync();
        await Client.BecomesAsync(id, "dispatched");
        var entries = await Sandbox.LedgerAsync(id);
        Assert.Equal(2, entries.Count);
        Assert.True(
            entries[1].ReceivedAt - first.ReceivedAt >= TimeSpan.FromSeconds(2),
            $"tried again after {entries[1].ReceivedAt - first.ReceivedAt}"
        );
        var deferred = Assert.Single(await Client.EventsAsync(id), e => e.Type == "DeliveryDeferred");
        Assert.Equal("ProviderAskedToWait", deferred.Data["reason"]!.ToString());
    }

    [Fact]
    public async Task A_deferred_delivery_can_be_cancelled_and_is_not_sent()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var id = NewId("withdrawn");
        await Sandbox.KnobsAsync(
            "twilio",
            new
            {
                errorRate = 1,
                errorStatus = 503,
                retryAfterSeconds = 1,
            }
        );
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    content = new { body = id },
                }
            )
        ).Is(202);
        var waiting = await Eventually.Becomes(() => Client.StateAsync(id), s => s.On("sms").Status == "deferred", "it waits");
        Assert.NotNull(waiting.On("sms")["nextAttemptAt"]);

        var cancelled = (await Client.CancelAsync(id)).Is(200);

        await Sandbox.BehaveAsync();
        Assert.Equal("cancelled", cancelled["status"]);
        Assert.Equal(waiting.On("sms").Id, Assert.Single(cancelled.Json["stopped"]!.AsArray())!.ToString());
        await Eventually.Stays(() => Sandbox.CountAsync(id), (1, 0), TimeSpan.FromSeconds(2.5));
        Assert.Equal("cancelled", (await Client.StateAsync(id)).Status);
    }

    [Fact]
    public async Task Delivery_in_flight_cannot_be_cancelled_and_a_waiting_one_can()
    {
        var person = await Installation.NewPersonAsync();
        var (alone, both) = (NewId("in-flight"), NewId("half"));
        await Sandbox.KnobsAsync("twilio", new { latencyMs = 3000 });
        await Sandbox.KnobsAsync(
            "apns",
            new
            {
                errorRate = 1,
                errorStatus = 503,
                retryAfterSeconds = 10,
            }
        );
        (
            await Client.SendAsync(
                new
                {
                    eventId = alone,
                    userId = person.Id,
                    channels = new[] { "sms" },
                    content = new { body = alone },
                }
            )
        ).Is(202);
        (
            await Client.SendAsync(
                new
                {
                    eventId = both,
                    userId = person.Id,
                    content = new { body = both },
                }
            )
        ).Is(202);
        await Eventually.Becomes(() => Client.StateAsync(alone), s => s.On("sms").Status == "attempting", "the SMS is in flight");
        var state = await Eventually.Becomes(
            () => Client.StateAsync(both),
            s => s.On("push").Status == "deferred" && s.On("sms").Status == "attempting",
            "the push waits, the SMS is in flight"
        );

        (await Client.CancelAsync(alone)).IsProblem(409, "already_dispatched");
        var half = (await Client.CancelAsync(both)).Is(200);

        Assert.Equal(state.On("push").Id, Assert.Single(half.Json["stopped"]!.AsArray())!.ToString());
        await Client.BecomesAsync(alone, "dispatched");
        var ended = await Client.BecomesAsync(both, "dispatched");
        Assert.Equal(("cancelled", "dispatched"), (ended.On("push").Status, ended.On("sms").Status));
    }

    [Fact]
    public async Task Cancelling_in_a_race_with_dispatch_is_exact()
    {
        const int Count = 120;
        var person = await Installation.NewPersonAsync(devices: 0);
        var mark = NewId("exact");
        var ids = Enumerable.Range(0, Count).Select(i => $"{mark}-{i:000}.").ToArray();
        await Sandbox.KnobsAsync("twilio", new { latencyMs = 60 });
        (
            await Client.PostAsync(
                "/v1/notifications/batch",
                new
                {
                    notifications = ids.Select(id => new
                    {
                        eventId = id,
                        userId = person.Id,
                        content = new { body = id },
                    }),
                }
            )
        ).Is(200);

        // Five go at a time: while they do, all are cancelled in an order of their own.
        await Eventually.Becomes(() => Sandbox.CountAsync(mark), c => c.Accepted >= 5, "some are sent");
        var answers = new List<(string Id, int Status)>();
        foreach (var chunk in ids.OrderBy(_ => Random.Shared.Next()).Chunk(4))
            answers.AddRange(await Task.WhenAll(chunk.Select(async id => (id, (await Client.CancelAsync(id)).Status))));
        await Installation.QuietAsync(mark: mark);

        var sent = (await Sandbox.LedgerAsync(mark)).CountBy(e => e.Text!).ToDictionary();
        Assert.All(answers, a => Assert.Equal(a.Status == 200 ? 0 : 1, sent.GetValueOrDefault(a.Id)));
        Assert.All(answers, a => Assert.True(a.Status is 200 or 409, $"{a.Id}: {a.Status}"));
        foreach (var (id, status) in answers)
            Assert.Equal(status == 200 ? "cancelled" : "dispatched", (await Client.StateAsync(id)).Status);
        Assert.InRange(answers.Count(a => a.Status == 200), 1, Count - 5); // both outcomes were there
    }

    [Fact]
    public async Task Retrying_stops_at_the_expiry()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var id = NewId("expires");
        await Sandbox.KnobsAsync(
            "twilio",
            new
            {
                errorRate = 1,
                errorStatus = 503,
                retryAfterSeconds = 3,
            }
        );

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    expiresAt = Clock.GetUtcNow().AddSeconds(2.5),
                    content = new { body = id },
                }
            )
        ).Is(202);

        await Eventually.Becomes(() => Sandbox.CountAsync(id), c => c.Received == 1, "the first attempt");
        await Sandbox.BehaveAsync();
        await Client.BecomesAsync(id, "expired");
        Assert.Equal((1, 0), await Sandbox.CountAsync(id));
        Assert.Equal("NotificationExpired", (await Client.EventTypesAsync(id))[^1]);
    }

    [Fact]
    public async Task An_opt_out_after_planning_is_respected_at_the_last_check()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var id = NewId("last-check");
        await Sandbox.KnobsAsync(
            "twilio",
            new
            {
                errorRate = 1,
                errorStatus = 503,
                retryAfterSeconds = 1,
            }
        );
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    content = new { body = id },
                }
            )
        ).Is(202);
        await Eventually.Becomes(() => Client.StateAsync(id), s => s.On("sms").Status == "deferred", "it waits");

        (await Client.PutAsync($"/v1/users/{person.Id}/preferences", new { channels = new { sms = new { optIn = false } } })).Is(200);

        await Sandbox.BehaveAsync();
        var state = await Client.BecomesAsync(id, "suppressed");
        Assert.Equal("OptedOut", state.On("sms").Reason);
        Assert.Equal("DeliverySuppressed", (await Client.EventTypesAsync(id))[^1]);
        Assert.Equal((1, 0), await Sandbox.CountAsync(id));
    }

    [Fact]
    public async Task A_device_removed_after_planning_gets_nothing()
    {
        var person = await Installation.NewPersonAsync(phone: false);
        var id = NewId("device-gone");
        await Sandbox.KnobsAsync(
            "apns",
            new
            {
                errorRate = 1,
                errorStatus = 503,
                retryAfterSeconds = 1,
            }
        );
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    content = new { title = id },
                }
            )
        ).Is(202);
        await Eventually.Becomes(() => Client.StateAsync(id), s => s.On("push").Status == "deferred", "it waits");

        (await Client.DeleteAsync($"/v1/users/{person.Id}/devices/{person.DeviceIds[0]}")).Is(204);

        await Sandbox.BehaveAsync();
        Assert.Equal("DeviceRemoved", (await Client.BecomesAsync(id, "suppressed")).On("push").Reason);
        Assert.Equal((1, 0), await Sandbox.CountAsync(id));
    }

    [Fact]
    public async Task The_queues_are_counted_in_deliveries_and_the_counts_are_true()
    {
        var person = await Installation.NewPersonAsync();
        var mark = NewId("backlog");
        object Request(string id, string channel, string priority) =>
            new
            {
                eventId = $"{mark}-{id}",
                userId = person.Id,
                priority,
                channels = new[] { channel },
                content = new { title = mark, body = mark },
            };
        await Sandbox.KnobsAsync("twilio", new { latencyMs = 8000 });
        await Sandbox.KnobsAsync(
            "apns",
            new
            {
                errorRate = 1,
                errorStatus = 503,
                retryAfterSeconds = 60,
            }
        );

        // 5 SMS in flight and 12 that wait; 7 pushes that wait to be tried again; 1 dead letter.
        await DieAsync(person, $"{mark}-dead");
        // Other tests leave theirs.
        var dead = await Installation.ScalarAsync<long>("select count(*) from notify.open_deliveries where state = 4 and queue = 1");
        await Sandbox.KnobsAsync(
            "apns",
            new
            {
                errorRate = 1,
                errorStatus = 503,
                retryAfterSeconds = 60,
            }
        );
        (
            await Client.PostAsync(
                "/v1/notifications/batch",
                new { notifications = Enumerable.Range(0, 7).Select(i => Request($"p{i}", "push", "critical")) }
            )
        ).Is(200);

        async Task<Dictionary<string, JsonNode>> Queues() =>
            (await Client.GetAsync("/v1/queues")).Is(200).Json["queues"]!.AsArray().ToDictionary(q => q!["queue"]!.ToString(), q => q!);
        static int Count(JsonNode queue, string what) => queue[what]!.GetValue<int>();
        await Eventually.Becomes(
            Queues,
            q => Count(q["apns_critical"], "retrying") == 7,
            "seven wait to be tried again",
            TimeSpan.FromSeconds(20)
        );
        (
            await Client.PostAsync(
                "/v1/notifications/batch",
                new { notifications = Enumerable.Range(0, 17).Select(i => Request($"s{i}", "sms", "normal")) }
            )
        ).Is(200);
        var queues = await Eventually.Becomes(
            Queues,
            q => Count(q["sms_normal"], "inFlight") == KnobSystem.SmsConcurrency,
            "five are in flight",
            TimeSpan.FromSeconds(10)
        );

        Assert.Equal(
            (12, 5, 0, 0),
            (
                Count(queues["sms_normal"], "ready"),
                Count(queues["sms_normal"], "inFlight"),
                Count(queues["sms_normal"], "retrying"),
                Count(queues["sms_normal"], "dead")
            )
        );
        Assert.Equal(
            (0, 0, 7, 0),
            (
                Count(queues["apns_critical"], "ready"),
                Count(queues["apns_critical"], "inFlight"),
                Count(queues["apns_critical"], "retrying"),
                Count(queues["apns_critical"], "dead")
            )
        );
        Assert.Equal((0, dead), (Count(queues["apns_normal"], "ready"), Count(queues["apns_normal"], "dead")));
        Assert.Equal(Notify.Domain.Channels.DeliveryQueue.All.Select(q => q.Name).Order(), queues.Keys.Order());
        Assert.InRange(queues["sms_normal"]["oldestAgeSeconds"]!.GetValue<double>(), 0.01, 30);
        Assert.True(Count(queues["sms_normal"], "suggestedWorkers") >= 1);
        // Nobody uses it: other tests may have sent bulk SMS within the last minute.
        Assert.Equal(0, Count(queues["email_bulk"], "suggestedWorkers"));
        Assert.Equal(5, (await Sandbox.LedgerAsync(mark, "twilio")).Count); // the provider has exactly those in flight

        // Rates appear, and once all has gone the queues are empty.
        await Sandbox.BehaveAsync();
        for (var i = 0; i < 7; i++)
            (await Client.CancelAsync($"{mark}-p{i}")).Is(200);
        await Installation.QuietAsync(TimeSpan.FromSeconds(30), mark);
        queues = await Eventually.Becomes(
            Queues,
            q => q["sms_normal"]["dispatchedPerSecond"]!.GetValue<double>() >= 0.2,
            "the rate is known",
            TimeSpan.FromSeconds(15)
        );
        Assert.All(queues.Values, q => Assert.Equal((0, 0, 0), (Count(q, "ready"), Count(q, "inFlight"), Count(q, "retrying"))));
        Assert.Equal(17, (await Sandbox.LedgerAsync(mark, "twilio")).Count);
    }

    [Fact]
    public async Task One_provider_s_trouble_does_not_delay_another_channel()
    {
        var person = await Installation.NewPersonAsync();
        var mark = NewId("trouble");
        await Sandbox.KnobsAsync("twilio", new { blackhole = true });
        (
            await Client.PostAsync(
                "/v1/notifications/batch",
                new
                {
                    notifications = Enumerable
                        .Range(0, 30)
                        .Select(i => new
                        {
                            eventId = $"{mark}-{i}",
                            userId = person.Id,
                            channels = new[] { "sms" },
                            content = new { body = $"{mark}-{i}" },
                        }),
                }
            )
        ).Is(200);
        await Eventually.Becomes(() => Sandbox.CountAsync(mark), c => c.Received >= KnobSystem.SmsConcurrency, "SMS hang");

        var watch = Stopwatch.StartNew();
        for (var i = 0; i < 5; i++)
        {
            var id = NewId("push");
            (
                await Client.SendAsync(
                    new
                    {
                        eventId = id,
                        userId = person.Id,
                        channels = new[] { "push" },
                        content = new { title = id },
                    }
                )
            ).Is(202);
            await Client.BecomesAsync(id, "dispatched", TimeSpan.FromSeconds(3));
        }

        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(6), $"five pushes took {watch.Elapsed}");
        Assert.Equal(0, (await Sandbox.CountAsync(mark)).Accepted); // the trouble lasted
        await Sandbox.BehaveAsync();
        await Eventually.Becomes(
            () => Sandbox.CountAsync(mark),
            c => c.Accepted == 30,
            "all SMS go out in the end",
            TimeSpan.FromSeconds(40)
        );
        await Installation.QuietAsync(TimeSpan.FromSeconds(30), mark);
        Assert.Equal(30, (await Sandbox.CountAsync(mark)).Accepted);
    }

    [Fact]
    public async Task Critical_goes_before_bulk()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var (bulk, critical) = (NewId("bulk"), NewId("critical"));
        await Sandbox.KnobsAsync("twilio", new { latencyMs = 100 });
        (
            await Client.PostAsync(
                "/v1/notifications/batch",
                new
                {
                    notifications = Enumerable
                        .Range(0, 150)
                        .Select(i => new
                        {
                            eventId = $"{bulk}-{i}",
                            userId = person.Id,
                            priority = "bulk",
                            content = new { body = $"{bulk}-{i}" },
                        }),
                }
            )
        ).Is(200);
        await Eventually.Becomes(() => Sandbox.CountAsync(bulk), c => c.Accepted >= 5, "bulk is under way");

        (
            await Client.SendAsync(
                new
                {
                    eventId = critical,
                    userId = person.Id,
                    priority = "critical",
                    content = new { body = critical },
                }
            )
        ).Is(202);

        await Client.BecomesAsync(critical, "dispatched");
        var before = (await Sandbox.CountAsync(bulk)).Accepted;
        Assert.InRange(before, 5, 120); // at 50 a second, the rest of bulk would have taken another second or more
        await Sandbox.BehaveAsync();
        await Installation.QuietAsync(TimeSpan.FromSeconds(30), bulk);
        Assert.Equal((150, 150), await Sandbox.CountAsync(bulk));
    }

    [Fact]
    public async Task Dead_letters_are_listed_and_replayed_with_a_reason_and_dry_run_changes_nothing()
    {
        var person = await Installation.NewPersonAsync(phone: false);
        var id = NewId("dead");
        var deliveryId = await DieAsync(person, id);
        async Task<JsonNode?> Listed() =>
            (await Client.GetAsync($"/v1/dead-letters?client={Client.AppKey}&limit=1000")).Is(200).Json["items"]!
                .AsArray()
                .SingleOrDefault(i => i!["deliveryId"]!.ToString() == deliveryId);
        var item = (await Listed())!;
        Assert.Equal((id, "apns_normal", "4"), (item["eventId"]!.ToString(), item["queue"]!.ToString(), item["attempts"]!.ToString()));
        Assert.Equal("failed", (await Client.StateAsync(id)).Status);
        Assert.Equal("deadLettered", (await Client.StateAsync(id)).On("push").Status);

        var dry = (
            await Client.PostAsync(
                "/v1/dead-letters/replay",
                new
                {
                    ids = new[] { deliveryId },
                    reason = "to see",
                    dryRun = true,
                }
            )
        ).Is(200);
        Assert.Equal(("true", "1", "replayed"), (dry["dryRun"], dry["replayed"], dry.Json["results"]![0]!["result"]!.ToString()));
        await Eventually.Stays(() => Sandbox.CountAsync(id), (4, 0), TimeSpan.FromSeconds(0.5));
        Assert.NotNull(await Listed());
        Assert.Equal("DeliveryDeadLettered", (await Client.EventTypesAsync(id))[^1]);

        (await Client.PostAsync("/v1/dead-letters/replay", new { ids = new[] { deliveryId }, reason = "the provider is well again" })).Is(
            200
        );

        await Client.BecomesAsync(id, "dispatched");
        Assert.Null(await Listed());
        Assert.Equal((5, 1), await Sandbox.CountAsync(id));
        Assert.Single((await Sandbox.LedgerAsync(id)).Select(e => e.Header("apns-collapse-id")).Distinct());
        var redriven = Assert.Single(await Client.EventsAsync(id), e => e.Type == "DeliveryRedriven");
        Assert.Equal(("the provider is well again", Client.AppKey), (redriven.Data["reason"]!.ToString(), redriven.Data["by"]!.ToString()));
        var again = (await Client.PostAsync("/v1/dead-letters/replay", new { ids = new[] { deliveryId }, reason = "once more" })).Is(200);
        Assert.Equal(("0", "refused"), (again["replayed"], again.Json["results"]![0]!["result"]!.ToString()));
    }

    [Fact]
    public async Task A_replay_asks_anew_whether_the_person_wants_it_and_whether_it_is_too_late()
    {
        var (unwilling, late) = (await Installation.NewPersonAsync(phone: false), await Installation.NewPersonAsync(phone: false));
        var (refused, expired) = (NewId("refused"), NewId("expired"));
        var expiresAt = Clock.GetUtcNow().AddSeconds(8);
        var deliveries = new[] { await DieAsync(unwilling, refused), await DieAsync(late, expired, expiresAt) };
        (await Client.PutAsync($"/v1/users/{unwilling.Id}/preferences", new { channels = new { push = new { optIn = false } } })).Is(200);
        await Eventually.Holds(() => Task.FromResult(Clock.GetUtcNow() > expiresAt), "it is too late");

        var reply = (await Client.PostAsync("/v1/dead-letters/replay", new { ids = deliveries, reason = "try" })).Is(200);

        Assert.Equal(["OptedOut", "Expired"], reply.Json["results"]!.AsArray().Select(r => r!["reason"]!.ToString()));
        Assert.Equal("0", reply["replayed"]);
        await Eventually.Stays(
            async () => (await Sandbox.CountAsync(refused), await Sandbox.CountAsync(expired)),
            ((4, 0), (4, 0)),
            TimeSpan.FromSeconds(0.7)
        );
    }

    [Fact]
    public async Task Replays_racing_for_one_dead_letter_send_it_once()
    {
        var person = await Installation.NewPersonAsync(phone: false);
        var id = NewId("replays");
        var deliveryId = await DieAsync(person, id);

        var replies = await Task.WhenAll(
            Enumerable
                .Range(0, 10)
                .Select(_ => Client.PostAsync("/v1/dead-letters/replay", new { ids = new[] { deliveryId }, reason = "race" }))
        );

        Assert.Equal(1, replies.Sum(r => int.Parse(r.Is(200)["replayed"]!)));
        await Client.BecomesAsync(id, "dispatched");
        Assert.Equal((5, 1), await Sandbox.CountAsync(id));
    }

    [Fact]
    public async Task Wrong_credentials_at_the_provider_halt_and_lose_nothing()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var id = NewId("halted");
        await Sandbox.KnobsAsync("twilio", new { errorRate = 1, errorStatus = 401 });
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    content = new { body = id },
                }
            )
        ).Is(202);

        var state = await Eventually.Becomes(() => Client.StateAsync(id), s => s.On("sms").Status == "deferred", "it waits");

        Assert.Equal("ChannelHalted", state.On("sms").Reason);
        Assert.Contains("refuses our configuration", await Installation.LogsAsync(), StringComparison.Ordinal);
        (await Client.CancelAsync(id)).Is(200);
    }

    // Lets a push use up its attempts.
    private async Task<string> DieAsync(Person person, string id, DateTimeOffset? expiresAt = null)
    {
        await Sandbox.KnobsAsync("apns", new { errorRate = 1, errorStatus = 503 });
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    channels = new[] { "push" },
                    expiresAt,
                    content = new { title = id },
                }
            )
        ).Is(202);
        var state = await Eventually.Becomes(() => Client.StateAsync(id), s => s.On("push").Status == "deadLettered", "it dies");
        await Sandbox.KnobsAsync("apns", new { });
        return state.On("push").Id;
    }
}
