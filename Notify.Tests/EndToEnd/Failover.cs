namespace Notify.Tests.EndToEnd;

using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;
using Notify.Tests.Dispatch;
using Notify.Tests.Support;

/// <summary>A system in which Vonage stands behind Twilio.</summary>
public sealed class FailoverSystem : IAsyncLifetime
{
    /// <summary>How many emails may be sent a second.</summary>
    public const int EmailsPerSecond = 5;

    public NotifySystem System { get; private set; } = null!;

    /// <summary>Vonage: takes everything.</summary>
    internal ScriptedServer Vonage { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Vonage = await ScriptedServer.Http1Async(
            async (number, context) =>
                await context.Response.WriteAsync(
                    $$"""{"message-count":"1","messages":[{"to":"1","message-id":"V{{number}}","status":"0"}]}"""
                )
        );
        System = await NotifySystem.StartAsync(
            "failover",
            new()
            {
                ["Providers__Vonage__ApiKey"] = "abcd1234",
                ["Providers__Vonage__ApiSecret"] = "x",
                ["Providers__Vonage__From"] = "Acme",
                ["Providers__Vonage__BaseUrl"] = Vonage.Url.ToString(),
                ["Routing__sms"] = "twilio > vonage",
                ["Providers__Twilio__Timeout"] = "00:00:01",
                ["Providers__SendGrid__RatePerSecond"] = $"{EmailsPerSecond}",
            }
        );
    }

    public async ValueTask DisposeAsync()
    {
        if (System is not null)
            await System.DisposeAsync();
        await Vonage.DisposeAsync();
    }
}

/// <summary>One provider of a route fails: the next one takes its place, and nothing that is unknown goes to it.</summary>
public sealed class Failover(FailoverSystem failover) : SystemTest, IClassFixture<FailoverSystem>
{
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(60);

    /// <inheritdoc />
    public override async ValueTask InitializeAsync()
    {
        Installation = failover.System;
        await Sandbox.BehaveAsync();
        await IsSentToAsync();
    }

    [Fact]
    public async Task The_next_provider_takes_over_and_the_first_one_is_sent_to_again_when_it_works()
    {
        await Sandbox.KnobsAsync("twilio", new { errorRate = 1, errorStatus = 503 });
        var id = NewId("over");
        var ids = Enumerable.Range(0, 30).Select(i => $"{id}-{i}.").ToList();
        foreach (var one in ids)
            (await SendAsync(one)).Is(202);

        await Installation.QuietAsync(Long, id);
        Assert.Equal(ids.Order(), AtVonage(id).Order());
        Assert.DoesNotContain(await Sandbox.LedgerAsync(id), e => e.IsAccepted);
        Assert.Equal(
            [
                "NotificationRequested",
                "DeliveriesPlanned",
                "DispatchAttempted",
                "DeliveryDeferred",
                "DispatchAttempted",
                "NotificationDispatched",
            ],
            await Client.EventTypesAsync(ids[0])
        );
        var delivery = (await Client.GetAsync($"/v1/notifications/{ids[0]}")).Is(200).Json["deliveries"]![0]!;
        Assert.Equal(
            ("dispatched", "vonage", 2),
            (delivery["status"]!.ToString(), delivery["provider"]!.ToString(), delivery["attempts"]!.GetValue<int>())
        );

        var twilio = await Eventually.Becomes(
            () => ProviderAsync("twilio"),
            p => p["circuit"]!.ToString() != "closed" && LastReason(p).EndsWith("Retry 20503", StringComparison.Ordinal),
            "the circuit is seen",
            Long
        );
        Assert.Equal(1, twilio["position"]!.GetValue<int>());
        // Which first, depends on what was sent before.
        Assert.Matches("(failures in a row|calls failed within 30 s): Retry 20503$", LastReason(twilio));
        Assert.Equal("closed", await CircuitAsync("vonage"));

        await Sandbox.BehaveAsync();
        await IsSentToAsync();
        var after = NewId("back");
        (await SendAsync(after)).Is(202);
        await Installation.QuietAsync(Long, after);
        Assert.Single(await Sandbox.LedgerAsync(after), e => e.IsAccepted);
        Assert.Empty(AtVonage(after));
        await Installation.VerifyAsync();
    }

    // Why the circuit was opened last; the newest change comes first, and earlier tests have left theirs.
    private static string LastReason(JsonNode provider) =>
        provider["changes"]!.AsArray().FirstOrDefault(c => c!["type"]!.ToString() == "CircuitOpened")?["reason"]?.ToString() ?? "";

    [Fact]
    public async Task Possibly_accepted_SMS_does_not_move_to_another_provider()
    {
        await Sandbox.KnobsAsync("twilio", new { blackhole = true });
        var id = NewId("hole");
        (await SendAsync(id)).Is(202);
        await Eventually.Becomes(
            () => Client.EventTypesAsync(id),
            types => types.Contains("DispatchOutcomeUnknown"),
            "it is unknown",
            Long
        );
        await Eventually.Stays(() => Task.FromResult(AtVonage(id).Count), 0, TimeSpan.FromSeconds(3));
        Assert.DoesNotContain("DeliveryDeferred", await Client.EventTypesAsync(id));

        // Asked until its deadline, and never there: only then is it sent.
        await Sandbox.BehaveAsync();
        await Installation.QuietAsync(Long, id);
        Assert.Equal(1, AtVonage(id).Count + (await Sandbox.LedgerAsync(id)).Count(e => e.IsAccepted));
    }

    [Theory]
    [InlineData(502, "lost")]
    [InlineData(503, "passed")]
    public async Task Outage_behind_a_gateway_fails_over_and_repeats_nothing_that_may_have_been_taken(int status, string gateway)
    {
        await Sandbox.KnobsAsync(
            "twilio",
            new
            {
                errorRate = 1,
                errorStatus = status,
                gateway,
            }
        );
        var id = NewId("gateway");
        var ids = Enumerable.Range(0, 30).Select(i => $"{id}-{i}.").ToList();
        foreach (var one in ids)
        {
            (await SendAsync(one)).Is(202);
            await Eventually.Becomes(
                () => Client.EventTypesAsync(one),
                types => types.Any(t => t is "DispatchOutcomeUnknown" or "NotificationDispatched"),
                "it was tried",
                Long
            );
            if (AtVonage(one).Count > 0)
                break;
        }

        // An unknown outcome counts as a failure: a few later the route goes to the next provider, and those few wait until Twilio
        // has been asked.
        var tried = (await Sandbox.LedgerAsync(id)).Select(e => e.Text!).Distinct().ToList();
        Assert.InRange(tried.Count, 1, 20);
        Assert.NotEmpty(AtVonage(id));
        await Sandbox.BehaveAsync();
        await Installation.QuietAsync(Long, id);
        var sent = (await Sandbox.LedgerAsync(id)).Where(e => e.IsAccepted).Select(e => e.Text!).Concat(AtVonage(id)).ToList();
        Assert.Equal(sent.Distinct().Count(), sent.Count);
        Assert.Superset(tried.ToHashSet(), sent.ToHashSet());
        await Installation.VerifyAsync();
    }

    [Fact]
    public async Task A_rate_is_kept_and_holds_up_neither_what_is_critical_nor_another_lane()
    {
        const int Bulk = 40;
        var (bulk, critical, sms) = (NewId("bulk"), NewId("critical"), NewId("sms"));
        (
            await Client.PostAsync(
                "/v1/notifications/batch",
                new { notifications = Enumerable.Range(0, Bulk).Select(i => Email($"{bulk}-{i}.", "bulk")) }
            )
        ).Is(200);
        await Eventually.Becomes(() => Sandbox.LedgerAsync(bulk), l => l.Count >= 3, "bulk is on its way", Long);
        var asked = TimeProvider.System.GetUtcNow();
        (await Client.SendAsync(Email(critical, "critical"))).Is(202);
        (await SendAsync(sms)).Is(202);
        await Installation.QuietAsync(Long, bulk);
        await Installation.QuietAsync(Long, critical);

        var sent = (await Sandbox.LedgerAsync(bulk)).Select(e => e.ReceivedAt).Order().ToList();
        Assert.Equal(Bulk, sent.Count);
        Assert.True(
            (sent[^1] - sent[0]).TotalSeconds >= (Bulk - 3) / (double)FailoverSystem.EmailsPerSecond,
            $"{Bulk} emails took {(sent[^1] - sent[0]).TotalSeconds:0.0} s"
        );
        foreach (var id in new[] { critical, sms })
            Assert.InRange(
                ((await Sandbox.LedgerAsync(id)).First().ReceivedAt - asked).TotalSeconds,
                -1,
                (sent[^1] - asked).TotalSeconds / 2
            );
    }

    private static object Email(string id, string priority) =>
        new
        {
            eventId = id,
            to = new { email = $"{Guid.NewGuid():N}@example.com" },
            channels = new[] { "email" },
            category = "test",
            priority,
            content = new { title = id, body = id },
        };

    // A little traffic until the circuit closes: a half-open one needs calls.
    private Task IsSentToAsync() =>
        Eventually.Becomes(
            async () =>
            {
                (await SendAsync(NewId("try"))).Is(202);
                return await CircuitAsync("twilio");
            },
            c => c == "closed",
            "Twilio is sent to",
            Long
        );

    private Task<Reply> SendAsync(string id) =>
        Client.SendAsync(
            new
            {
                eventId = id,
                to = new { phone = Person.NewPhone() },
                channels = new[] { "sms" },
                category = "test",
                content = new { body = id },
            }
        );

    private List<string> AtVonage(string text) =>
        [
            .. failover
                .Vonage.Received.Where(r => r.Method == "POST")
                .Select(r => QueryHelpers.ParseQuery(r.Body)["text"].ToString())
                .Where(t => t.StartsWith(text, StringComparison.Ordinal)),
        ];

    private async Task<string> CircuitAsync(string provider) => (await ProviderAsync(provider))["circuit"]!.ToString();

    private async Task<JsonNode> ProviderAsync(string name) =>
        (await Client.GetAsync("/v1/providers")).Is(200).Json["providers"]!
            .AsArray()
            .FirstOrDefault(p => p!["provider"]!.ToString() == name)
        ?? JsonNode.Parse("""{"circuit":"not there yet"}""")!;
}
