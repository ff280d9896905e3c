namespace Notify.Tests.EndToEnd;

using System.Text.Json.Nodes;
using Notify.Tests.Support;

/// <summary>Browsers: the way of a push to them, and what comes of a push service's answers.</summary>
public sealed class WebPush : SystemTest
{
    [Fact]
    public async Task A_browser_gets_it_once_and_can_read_it()
    {
        var person = await Installation.NewPersonAsync(phone: false);
        var browser = await Installation.AddBrowserAsync(person);
        var id = NewId("web");

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    priority = "critical",
                    content = new
                    {
                        title = "배송 중",
                        body = id,
                        url = "https://shop.example/7",
                        data = new { order = 7 },
                    },
                }
            )
        ).Is(202);

        var state = await Client.BecomesAsync(id, "dispatched");
        var entries = await Sandbox.LedgerAsync(id);
        Assert.Equal(["apns", "webpush"], entries.Select(e => e.Provider).Order());
        var push = Assert.Single(entries, e => e.Provider == "webpush");
        Assert.Equal((browser.Id, $"배송 중\n{id}", "accepted"), (push.To, push.Text, push.Outcome));
        Assert.Equal(("high", "2419200", "aes128gcm"), (push.Header("urgency"), push.Header("ttl"), push.Header("content-encoding")));
        var delivery = Assert.Single(state.Deliveries, d => d["provider"] == "webpush");
        Assert.Equal(push.MessageId, delivery.ProviderMessageId);
        var message = JsonNode.Parse(push.Json["request"]!["body"]!.GetValue<string>())!;
        Assert.Equal(
            (delivery.Id, "https://shop.example/7", push.Header("topic")),
            (message["deliveryId"]!.ToString(), message["url"]!.ToString(), message["tag"]!.ToString())
        );
        Assert.Equal(7, message["data"]!["order"]!.GetValue<int>());
    }

    [Fact]
    public async Task A_subscription_is_taken_as_a_browser_writes_it()
    {
        var person = await Installation.NewPersonAsync(devices: 0, phone: false);
        var subscription = await Sandbox.SubscribeAsync();
        var id = NewId("written");

        (
            await Client.PostRawAsync(
                $"/v1/users/{person.Id}/devices",
                $$"""
                { "platform": "web", "subscription": { "endpoint": "{{subscription.Endpoint}}", "expirationTime": null, "keys": { "p256dh": "{{subscription.Keys.P256dh}}", "auth": "{{subscription.Keys.Auth}}" } } }
                """
            )
        ).Is(201);

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
        await Client.BecomesAsync(id, "dispatched");
        Assert.Equal(subscription.Id, Assert.Single(await Sandbox.LedgerAsync(id)).To);
    }

    [Fact]
    public async Task Someone_who_is_not_registered_is_reached_by_a_subscription()
    {
        var subscription = await Sandbox.SubscribeAsync();
        var id = NewId("to");
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    to = new { device = new { platform = "web", subscription } },
                    content = new { title = id },
                }
            )
        ).Is(202);
        await Client.BecomesAsync(id, "dispatched");
        Assert.Equal(subscription.Id, Assert.Single(await Sandbox.LedgerAsync(id)).To);
    }

    [Theory]
    [InlineData("gone", "410")]
    [InlineData("notfound", "404")]
    public async Task A_subscription_that_ended_is_dropped_and_only_that(string fate, string code)
    {
        var person = await Installation.NewPersonAsync(devices: 0, phone: false);
        var (_, kept) = (await Installation.AddBrowserAsync(person, fate), await Installation.AddBrowserAsync(person));
        var (first, second) = (NewId(fate), NewId("after"));

        (
            await Client.SendAsync(
                new
                {
                    eventId = first,
                    userId = person.Id,
                    content = new { title = first },
                }
            )
        ).Is(202);

        var failed = Assert.Single((await Client.BecomesAsync(first, "dispatched")).Deliveries, d => d.Status == "failed");
        Assert.Equal(("Unregistered", code), (failed.Reason, failed["providerCode"]));
        (
            await Client.SendAsync(
                new
                {
                    eventId = second,
                    userId = person.Id,
                    content = new { title = second },
                }
            )
        ).Is(202);
        await Client.BecomesAsync(second, "dispatched");
        Assert.Equal(kept.Id, Assert.Single(await Sandbox.LedgerAsync(second)).To);
        Assert.Equal(
            person.DeviceIds[1],
            Assert.Single((await Client.GetAsync($"/v1/users/{person.Id}")).Json["devices"]!.AsArray())!["deviceId"]!.ToString()
        );
    }

    [Theory]
    [InlineData("toolarge", "TooLarge", "413")]
    [InlineData("moved", "Rejected", "307")]
    public async Task Push_that_its_service_rejects_permanently_is_not_retried(string fate, string reason, string code)
    {
        var person = await Installation.NewPersonAsync(devices: 0, phone: false);
        await Installation.AddBrowserAsync(person, fate);
        var id = NewId(fate);

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

        var push = (await Client.BecomesAsync(id, "failed")).On("push");
        Assert.Equal((reason, code, 1), (push.Reason, push["providerCode"], push.Attempts));
        Assert.Equal((1, 0), await Sandbox.CountAsync(id)); // and nobody followed it elsewhere
        Assert.Single((await Client.GetAsync($"/v1/users/{person.Id}")).Json["devices"]!.AsArray());
    }

    [Fact]
    public async Task Oversized_push_reaches_no_push_service()
    {
        var person = await Installation.NewPersonAsync(devices: 0, phone: false);
        await Installation.AddBrowserAsync(person);
        var id = NewId("large");
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    content = new { title = id, body = new string('x', 3900) },
                }
            )
        ).Is(202);
        Assert.Equal("TooLarge", (await Client.BecomesAsync(id, "failed")).On("push").Reason);
        Assert.Equal((0, 0), await Sandbox.CountAsync(id));
    }

    [Fact]
    public async Task A_throttled_push_waits_as_long_as_it_is_told()
    {
        var person = await Installation.NewPersonAsync(devices: 0, phone: false);
        await Installation.AddBrowserAsync(person, "throttled");
        var id = NewId("throttled");

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

        await Client.BecomesAsync(id, "dispatched");
        var entries = await Sandbox.LedgerAsync(id);
        Assert.Equal(["TooManyRequests", "TooManyRequests", "accepted"], entries.Select(e => e.Outcome));
        Assert.All(
            entries.Zip(entries.Skip(1)),
            p => Assert.True(p.Second.ReceivedAt - p.First.ReceivedAt >= TimeSpan.FromSeconds(1), "tried again before its time")
        );
        Assert.Single(entries.Select(e => e.Header("topic")).Distinct());
        Assert.Contains(
            await Client.EventsAsync(id),
            e => e.Type == "DeliveryDeferred" && e.Data["reason"]!.ToString() == "ProviderAskedToWait"
        );
    }

    [Fact]
    public async Task Where_an_answer_is_lost_the_repeat_replaces_the_first()
    {
        const int Count = 100;
        // By another name than the other tests' subscriptions have: to Notify this is another push service.
        var subscription = await Sandbox.SubscribeAsync("lost");
        subscription = subscription with { Endpoint = subscription.Endpoint.Replace("127.0.0.1", "localhost", StringComparison.Ordinal) };
        var person = await Installation.NewPersonAsync(devices: 0, phone: false);
        (await Client.PostAsync($"/v1/users/{person.Id}/devices", new { platform = "web", subscription })).Is(201);
        var mark = NewId("lost");

        var notifications = Enumerable
            .Range(0, Count)
            .Select(i => new
            {
                eventId = $"{mark}-{i}",
                userId = person.Id,
                content = new { title = $"{mark}-{i}." },
            });
        (await Client.PostAsync("/v1/notifications/batch", new { notifications })).Is(200);

        await Installation.QuietAsync(mark: mark);
        var topics = (await Sandbox.LedgerAsync(mark)).GroupBy(e => e.Text).Select(g => g.Select(e => e.Header("topic")).ToList()).ToList();
        Assert.Equal(Count, topics.Count);
        Assert.All(topics, t => Assert.Equal((2, 1), (t.Count, t.Distinct().Count())));
        Assert.Equal(Count, topics.Select(t => t[0]).Distinct().Count());
        for (var i = 0; i < Count; i++)
            Assert.Equal("dispatched", (await Client.StateAsync($"{mark}-{i}")).Status);
    }

    [Fact]
    public async Task A_subscription_made_with_another_key_is_kept_but_gets_nothing()
    {
        var person = await Installation.NewPersonAsync(devices: 0, phone: false);
        var (first, second) = (NewId("own"), NewId("other-key"));
        await Installation.AddBrowserAsync(person); // which is accepted, and shows that the key is good
        (
            await Client.SendAsync(
                new
                {
                    eventId = first,
                    userId = person.Id,
                    content = new { title = first },
                }
            )
        ).Is(202);
        await Client.BecomesAsync(first, "dispatched");
        var subscription = await Sandbox.SubscribeAsync(applicationServerKey: "another");
        (await Client.PostAsync($"/v1/users/{person.Id}/devices", new { platform = "web", subscription })).Is(201);

        (
            await Client.SendAsync(
                new
                {
                    eventId = second,
                    userId = person.Id,
                    content = new { title = second },
                }
            )
        ).Is(202);

        Assert.Equal(
            ("BadAddress", "403"),
            Assert.Single((await Client.BecomesAsync(second, "dispatched")).Deliveries, d => d.Status == "failed") is var d
                ? (d.Reason, d["providerCode"])
                : default
        );
        Assert.Equal(2, (await Client.GetAsync($"/v1/users/{person.Id}")).Json["devices"]!.AsArray().Count);
    }
}

/// <summary>A browser that subscribes anew while the push service says that it is gone.</summary>
public sealed class WebPushUnderKnobs(KnobSystem knobs) : KnobTest(knobs)
{
    [Fact]
    public async Task A_subscription_registered_after_the_call_began_is_kept()
    {
        var person = await Installation.NewPersonAsync(devices: 0, phone: false);
        var subscription = await Installation.AddBrowserAsync(person, "gone");
        var id = NewId("anew");
        await Sandbox.KnobsAsync("webpush", new { latencyMs = 1500 });
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
        await Eventually.Becomes(() => Sandbox.CountAsync(id), c => c.Received == 1, "the call is under way");

        (await Client.PostAsync($"/v1/users/{person.Id}/devices", new { platform = "web", subscription })).Is(201);

        await Client.BecomesAsync(id, "failed");
        Assert.Single((await Client.GetAsync($"/v1/users/{person.Id}")).Json["devices"]!.AsArray());
    }
}
