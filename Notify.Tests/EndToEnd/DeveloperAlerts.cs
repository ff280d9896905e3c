namespace Notify.Tests.EndToEnd;

using Notify.Tests.Support;

/// <summary>A system whose alerts are evaluated within seconds, and a receiver of its alerts.</summary>
public sealed class AlertSystem : IAsyncLifetime
{
    public NotifySystem System { get; private set; } = null!;

    public WebhookReceiver Receiver { get; } = new();

    public async ValueTask InitializeAsync() =>
        System = await NotifySystem.StartAsync(
            "alerts",
            new()
            {
                ["Notify__Alerts__Window"] = "00:00:05",
                ["Notify__Alerts__ProjectionLag"] = "00:00:05",
                ["Notify__Alerts__WebhookUrl"] = Receiver.Url,
                ["Notify__Alerts__WebhookSecret"] = Receiver.Secret,
                ["Notify__Alerts__WebhookMaxDelay"] = "00:00:01",
                ["Notify__Alerts__WebhookTimeout"] = "00:00:02",
                ["Notify__Alerts__AllowPrivateNetworks"] = "true",
            }
        );

    public async ValueTask DisposeAsync()
    {
        if (System is not null)
            await System.DisposeAsync();
        await Receiver.DisposeAsync();
    }
}

/// <summary>Alerts to developers about lasting failures: sent once, correct, and without personal data.</summary>
public sealed class DeveloperAlerts(AlertSystem alerts) : SystemTest, IClassFixture<AlertSystem>
{
    private const string Opened = "notify.alert.opened",
        Recovered = "notify.alert.recovered";
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(60);

    private WebhookReceiver Receiver => alerts.Receiver;

    /// <inheritdoc />
    public override async ValueTask InitializeAsync()
    {
        Installation = alerts.System;
        Receiver.Answer = 204;
        await Sandbox.BehaveAsync();
    }

    [Fact]
    [Trait("Category", "Long")]
    public async Task A_failing_provider_is_told_once_whatever_hosts_die_and_its_recovery_once()
    {
        const string Subject = "provider:twilio";
        var person = await Installation.NewPersonAsync(devices: 0);
        var id = NewId("outage");
        await Installation.StartDispatchAsync();
        await Sandbox.KnobsAsync("twilio", new { errorRate = 1, errorStatus = 503 });

        await SendAsync($"{id}-a", 30, person);
        var told = (await Eventually.Becomes(() => Task.FromResult(Receiver.Taken(Subject)), t => t.Count > 0, "the alert", Long))[0];

        Assert.Equal(Opened, told.Type);
        Assert.Equal(
            ("providerFailing", "twilio", "sms", "Retry 20503"),
            (
                told.Data["kind"]!.ToString(),
                told.Data["provider"]!.ToString(),
                told.Data["lane"]!.ToString(),
                told.Data["firstCause"]!.ToString()
            )
        );
        Assert.InRange(told.Data["failures"]!.GetValue<long>(), 5, told.Data["attempts"]!.GetValue<long>());
        Assert.True(told.Data["firstFailureAt"]!.GetValue<DateTimeOffset>() <= told.Data["openedAt"]!.GetValue<DateTimeOffset>());

        var provider = (await Client.GetAsync("/v1/providers")).Is(200).Json["providers"]!
            .AsArray()
            .Single(p => p!["provider"]!.ToString() == "twilio")!;
        Assert.Equal(
            ("failing", told.Data["alertId"]!.ToString(), "20503"),
            (provider["health"]!.ToString(), provider["alert"]!.ToString(), provider["lastErrorCode"]!.ToString())
        );

        // It lasts; hosts fail and come back; it is not reported again.
        await Installation.KillDispatchAsync();
        await SendAsync($"{id}-b", 30, person);
        await Installation.KillDispatchAsync();
        await Installation.StartDispatchAsync();
        await Installation.StartDispatchAsync();
        await SendAsync($"{id}-c", 30, person);
        await Eventually.Passes(async () => Assert.True((await DeadLettersAsync(told)).Count > 0));
        Assert.All(await DeadLettersAsync(told), queue => Assert.Equal("sms_normal", queue));
        await Eventually.Passes(async () =>
            Assert.Matches("notify_alerts_open\\{[^}]*kind=\"provider_failing\"[^}]*\\} 1\\s", await MetricsAsync())
        );
        await Eventually.Stays(() => Task.FromResult(Receiver.Taken(Subject).Count), 1, TimeSpan.FromSeconds(6));

        await RecoversAsync(Subject, "twilio", person);
        Assert.Equal([Opened, Recovered], Receiver.Taken(Subject).Select(p => p.Type));
        var over = Receiver.Taken(Subject)[1];
        Assert.Equal(told.Data["alertId"]!.ToString(), over.Data["alertId"]!.ToString());
        Assert.True(over.Data["failures"]!.GetValue<long>() > told.Data["failures"]!.GetValue<long>());
        var listed = (await Client.GetAsync("/v1/alerts?state=recovered&limit=500")).Is(200).Json["items"]!
            .AsArray()
            .Single(a => a!["alertId"]!.ToString() == told.Data["alertId"]!.ToString())!;
        Assert.Equal(over.Data["failures"]!.ToString(), listed["failures"]!.ToString());
        var logs = await Installation.LogsAsync();
        Assert.Equal(2, logs.Split("ALERT ").Count(l => l.Contains(told.Data["alertId"]!.ToString(), StringComparison.Ordinal)));
        Assert.All(Receiver.Posts, p => Assert.DoesNotContain(person.Phone![3..], p.Body, StringComparison.Ordinal));
        Assert.All(Receiver.Posts, p => Assert.DoesNotContain(id, p.Body, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Failed_webhook_call_is_repeated_later_under_the_same_id()
    {
        const string Subject = "provider:apns";
        var person = await Installation.NewPersonAsync(phone: false);
        Receiver.Answer = 500;
        await Sandbox.KnobsAsync("apns", new { errorRate = 1, errorStatus = 503 });

        await SendAsync(NewId("deaf"), 8, person);
        await Eventually.Becomes(
            () => Task.FromResult(Receiver.Posts.Count(p => p.Subject == Subject)),
            n => n >= 3,
            "three attempts",
            Long
        );
        foreach (var _ in Installation.Dispatchers.ToList())
            await Installation.KillDispatchAsync();
        await Installation.StartDispatchAsync();
        Assert.Empty(Receiver.Taken(Subject));

        Receiver.Answer = 204;
        await Eventually.Becomes(() => Task.FromResult(Receiver.Taken(Subject).Count), n => n == 1, "the alert", Long);
        Assert.Single(Receiver.Posts.Where(p => p.Subject == Subject).Select(p => p.Id).Distinct());
        await RecoversAsync(Subject, "apns", person);
        Assert.Equal([Opened, Recovered], Receiver.Taken(Subject).Select(p => p.Type));
    }

    [Fact]
    public async Task A_wrong_credential_is_told_with_its_code_at_the_first_refusal()
    {
        const string Subject = "halted:twilio";
        var person = await Installation.NewPersonAsync(devices: 0);
        await Installation.StopDispatchAsync();
        var wrong = await Installation.StartDispatchAsync(new() { ["Providers__Twilio__AuthToken"] = "not-the-token" });

        await SendAsync(NewId("wrong"), 1, person);
        var told = (await Eventually.Becomes(() => Task.FromResult(Receiver.Taken(Subject)), t => t.Count > 0, "the alert", Long))[0];

        Assert.Equal(("providerHalted", "ChannelHalted 20003"), (told.Data["kind"]!.ToString(), told.Data["firstCause"]!.ToString()));
        await Eventually.Stays(() => Task.FromResult(Receiver.Taken(Subject).Count), 1, TimeSpan.FromSeconds(2));
        var provider = (await Client.GetAsync("/v1/providers")).Is(200).Json["providers"]!
            .AsArray()
            .Single(p => p!["provider"]!.ToString() == "twilio")!;
        Assert.Equal(("halted", "20003"), (provider["health"]!.ToString(), provider["lastErrorCode"]!.ToString()));

        await wrong.KillAsync();
        await Installation.ReplaceDispatchAsync(wrong);
        await RecoversAsync(Subject, "twilio", person);
        Assert.Equal([Opened, Recovered], Receiver.Taken(Subject).Select(p => p.Type));
    }

    [Fact]
    public async Task Rejected_addresses_raise_no_alert()
    {
        var gone = await Installation.NewPersonAsync(phone: false, token: _ => Person.NewToken("dead"));
        var before = await Installation.ScalarAsync<long>("select count(*) from notify.troubles where subject not like 'projection:%'");
        var answered = await AnsweredAsync();

        for (var i = 0; i < 25; i++)
            (
                await Client.SendAsync(
                    new
                    {
                        eventId = NewId("bad"),
                        to = new { phone = "+15005550001" },
                        content = new { body = "x" },
                    }
                )
            ).Is(202);
        await SendAsync(NewId("gone"), 5, gone);

        await Eventually.Becomes(AnsweredAsync, n => n >= answered + 26, "the calls are counted", Long);
        await Eventually.Stays(
            () => Installation.ScalarAsync<long>("select count(*) from notify.troubles where subject not like 'projection:%'"),
            before,
            TimeSpan.FromSeconds(3)
        );

        Task<long> AnsweredAsync() =>
            Installation.ScalarAsync<long>("select coalesce(sum(calls), 0)::bigint from notify.provider_calls where outcome = 0");
    }

    [Fact]
    public async Task A_read_model_that_stopped_and_a_message_that_failed_are_told()
    {
        await Installation.Projections.KillAsync();
        var person = await Installation.NewPersonAsync(devices: 0);
        await SendAsync(NewId("behind"), 1, person);
        await Installation.ScalarAsync<string>(
            """
            insert into dispatch_messages.wolverine_dead_letters (id, body, message_type, exception_type, exception_message, sent_at, replayable)
            values (gen_random_uuid(), '\x00', 'a.message', 'Some.Exception', 'words about +821012345678', now(), false) returning message_type
            """
        );

        var projection = await Eventually.Becomes(
            () =>
                Task.FromResult(
                    Receiver.Posts.FirstOrDefault(p => p.WasTaken && p.Subject.StartsWith("projection:", StringComparison.Ordinal))
                ),
            p => p is not null,
            "the read model",
            Long
        );
        var message = await Eventually.Becomes(
            () => Task.FromResult(Receiver.Taken("messages:dispatch_messages")),
            t => t.Count > 0,
            "the message",
            Long
        );
        Assert.Equal("Some.Exception", message[0].Data["firstCause"]!.ToString());
        Assert.DoesNotContain("12345678", message[0].Body, StringComparison.Ordinal);

        await Installation.StartProjectionsAsync();
        await Installation.ScalarAsync<string>("delete from dispatch_messages.wolverine_dead_letters returning message_type");
        await Eventually.Becomes(
            () => Task.FromResult(Receiver.Taken(projection!.Subject)),
            t => t.Count >= 2 && t[^1].Type == Recovered,
            "the read model caught up",
            Long
        );
        await Eventually.Becomes(
            () => Task.FromResult(Receiver.Taken("messages:dispatch_messages").Count),
            n => n == 2,
            "the message is gone",
            Long
        );
    }

    [Fact]
    public async Task Alerts_and_providers_are_for_operators_and_wrong_queries_are_named()
    {
        using var other = await Installation.NewClientAsync(["send", "read"]);
        foreach (var path in new[] { "/v1/alerts", "/v1/providers" })
            (await other.GetAsync(path)).IsProblem(403, "missing_scope");
        foreach (var query in new[] { "limit=0", "limit=501", "state=ajar", "after=x", "after=1-x", $"after=-1-{Guid.NewGuid():N}" })
            (await Client.GetAsync($"/v1/alerts?{query}")).IsProblem(400, "invalid_request");
        foreach (var query in new[] { "lane=pigeon", "lane=3", "priority=urgent" })
            (await Client.GetAsync($"/v1/dead-letters?{query}")).IsProblem(400, "invalid_request");
        var first = (await Client.GetAsync("/v1/alerts?limit=1")).Is(200);
        if (first["next"] is { } next)
            Assert.NotEqual(
                first.Json["items"]![0]!["alertId"]!.ToString(),
                (await Client.GetAsync($"/v1/alerts?limit=1&after={next}")).Is(200).Json["items"]![0]!["alertId"]!.ToString()
            );
        await Eventually.Passes(async () =>
            Assert.Superset(
                new HashSet<string> { "apns", "twilio" },
                (await Client.GetAsync("/v1/providers")).Is(200).Json["providers"]!
                    .AsArray()
                    .Select(p => p!["provider"]!.ToString())
                    .ToHashSet()
            )
        );
    }

    // Successes flow again: a little traffic until the recovery has been reported.
    private async Task RecoversAsync(string subject, string provider, Person person)
    {
        await Sandbox.KnobsAsync(provider, new { });
        await Eventually.Becomes(
            async () =>
            {
                await SendAsync(NewId("well"), 2, person);
                return Receiver.Taken(subject).Count(p => p.Type == Recovered);
            },
            n => n > 0,
            "the recovery",
            Long
        );
    }

    private async Task SendAsync(string id, int count, Person person) =>
        (
            await Client.PostAsync(
                "/v1/notifications/batch",
                new
                {
                    notifications = Enumerable
                        .Range(0, count)
                        .Select(i => new
                        {
                            eventId = $"{id}-{i}",
                            userId = person.Id,
                            content = new { body = $"{id}-{i}" },
                        }),
                }
            )
        ).Is(200);

    private async Task<List<string>> DeadLettersAsync(ReceivedPost told)
    {
        var link = new Uri(told.Data["link"]!.ToString());
        return [.. (await Client.GetAsync(link.PathAndQuery)).Is(200).Json["items"]!.AsArray().Select(d => d!["queue"]!.ToString())];
    }

    private async Task<string> MetricsAsync()
    {
        using var host = new NotifyClient(Installation.DispatchUrl, null, null);
        return (await host.GetAsync("/metrics")).Is(200).Text;
    }
}
