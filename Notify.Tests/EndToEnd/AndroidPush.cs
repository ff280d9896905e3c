namespace Notify.Tests.EndToEnd;

using System.Text.Json.Nodes;
using Notify.Tests.Support;

/// <summary>Pushes to Android devices, from the request to FCM and to the queries.</summary>
public sealed class AndroidPush : SystemTest
{
    [Fact]
    public async Task An_Android_device_gets_it_exactly_once()
    {
        var (person, token) = await NewPersonAsync();
        var id = NewId("android");
        var request = new
        {
            eventId = id,
            userId = person.Id,
            priority = "critical",
            expiresAt = TimeProvider.System.GetUtcNow().AddHours(1),
            content = new
            {
                title = "Shipped",
                body = $"Your parcel {id}",
                url = "https://shop.example/orders/7",
                data = new { order = 7, from = "shop" },
            },
        };

        (await Client.SendAsync(request)).Is(202);

        var push = (await Client.BecomesAsync(id, "dispatched")).On("push");
        Assert.Equal("true", (await Client.SendAsync(request)).Is(200)["duplicate"]);
        var entry = Assert.Single(await Sandbox.LedgerAsync(id));
        Assert.Equal(("fcm", "accepted", token, $"Shipped\nYour parcel {id}"), (entry.Provider, entry.Outcome, entry.To, entry.Text));
        Assert.Equal(("fcm", entry.MessageId, 1), (push["provider"], push.ProviderMessageId, push.Attempts));
        var message = MessageOf(entry);
        Assert.Equal("HIGH", message["android"]!["priority"]!.ToString());
        Assert.Matches("^3[56][0-9]{2}s$", message["android"]!["ttl"]!.ToString());
        Assert.Equal(
            (push.Id, "https://shop.example/orders/7", "7", "shop"),
            (Data("deliveryId"), Data("url"), Data("order"), Data("data.from"))
        );
        Assert.Equal("Bearer [redacted]", entry.Header("authorization"));

        string Data(string name) => message["data"]![name]!.ToString();
    }

    [Fact]
    public async Task User_with_an_iPhone_and_an_Android_phone_is_reached_on_both()
    {
        var (person, token) = await NewPersonAsync(devices: 1);
        var id = NewId("both");

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

        var state = await Client.BecomesAsync(id, "dispatched");
        Assert.Equal(2, state.Deliveries.Count);
        Assert.All(state.Deliveries, d => Assert.Equal(("push", "dispatched", 1), (d.Channel, d.Status, d.Attempts)));
        Assert.Equal(
            [("apns", person.Tokens[0]), ("fcm", token)],
            (await Sandbox.LedgerAsync(id)).Select(e => (e.Provider, e.To!)).Order()
        );
    }

    [Fact]
    public async Task Someone_unregistered_is_reached_on_Android()
    {
        var (id, token) = (NewId("to"), Person.NewAndroidToken());

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    to = new { device = new { platform = "android", token } },
                    content = new { title = id },
                }
            )
        ).Is(202);

        await Client.BecomesAsync(id, "dispatched");
        Assert.Equal(token, Assert.Single(await Sandbox.LedgerAsync(id)).To);
    }

    [Theory]
    [InlineData("fa11", "UNAVAILABLE", "Retry")]
    [InlineData("quota", "QUOTA_EXCEEDED", "ProviderAskedToWait")]
    public async Task A_push_is_tried_again_until_FCM_takes_it_and_each_try_replaces_the_one_before(string fate, string code, string reason)
    {
        var (person, _) = await NewPersonAsync(fate);
        var id = NewId("again");

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

        Assert.Equal(3, (await Client.BecomesAsync(id, "dispatched")).On("push").Attempts);
        var entries = await Sandbox.LedgerAsync(id);
        Assert.Equal([code, code, "accepted"], entries.Select(e => e.Outcome));
        Assert.Single(entries.Select(e => MessageOf(e)["android"]!["notification"]!["tag"]!.ToString()).Distinct());
        var deferred = (await Client.EventsAsync(id)).Where(e => e.Type == "DeliveryDeferred").ToList();
        Assert.Equal(
            [(code, reason), (code, reason)],
            deferred.Select(d => (d.Data["providerCode"]!.ToString(), d.Data["reason"]!.ToString()))
        );
        if (fate == "quota")
            Assert.All(
                deferred.Zip(entries),
                p =>
                    Assert.True(
                        p.First.Data["until"]!.GetValue<DateTimeOffset>() >= p.Second.ReceivedAt.AddSeconds(1),
                        "sooner than FCM said"
                    )
            );
    }

    [Theory]
    [InlineData("dead", "Unregistered", "UNREGISTERED")]
    [InlineData("bad0", "BadAddress", "INVALID_ARGUMENT")]
    public async Task A_dead_token_is_dropped_and_only_that(string fate, string reason, string code)
    {
        var (person, dead) = await NewPersonAsync(fate);
        var kept = Person.NewAndroidToken();
        var keptId = await Installation.AddDeviceAsync(person, kept, "android");
        var (first, second) = (NewId("dead"), NewId("after"));

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

        var state = await Client.BecomesAsync(first, "dispatched"); // the other device has it
        var failed = Assert.Single(state.Deliveries, d => d.Status == "failed");
        Assert.Equal((reason, code, 1), (failed.Reason, failed["providerCode"], failed.Attempts));
        Assert.Equal([keptId], await DevicesAsync(person));
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
        Assert.Equal(kept, Assert.Single(await Sandbox.LedgerAsync(second)).To);

        // Registered again, it is a device again: it may have come back to life since.
        var again = await Installation.AddDeviceAsync(person, dead, "android");
        Assert.Equal(new[] { again, keptId }.Order(), (await DevicesAsync(person)).Order());
    }

    [Fact]
    public async Task A_token_of_another_sender_fails_but_is_kept()
    {
        var (person, _) = await NewPersonAsync("mismatch");
        var id = NewId("mismatch");

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
        Assert.Equal(("BadAddress", "SENDER_ID_MISMATCH", 1), (push.Reason, push["providerCode"], push.Attempts));
        Assert.Single(await DevicesAsync(person));
    }

    [Fact]
    public async Task With_a_wrong_project_pushes_wait_and_no_device_is_lost()
    {
        // Test clients' pushes go to a project that is not the account's; see NotifySystem.
        using var tester = await Installation.NewClientAsync(["send", "read"], mode: "test");
        var (person, _) = await NewPersonAsync();
        var id = NewId("project");

        (
            await tester.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    content = new { title = id },
                }
            )
        ).Is(202);

        await Eventually.Becomes(() => tester.EventTypesAsync(id), types => types.Contains("DeliveryDeferred"), "it waits");
        var deferred = Assert.Single(await tester.EventsAsync(id), e => e.Type == "DeliveryDeferred");
        Assert.Equal(
            ("ChannelHalted", "PERMISSION_DENIED"),
            (deferred.Data["reason"]!.ToString(), deferred.Data["providerCode"]!.ToString())
        );
        Assert.Single(await DevicesAsync(person));
        Assert.Equal((0, 0), await Sandbox.CountAsync(id));
        (await tester.CancelAsync(id)).Is(200);
    }

    [Fact]
    public async Task A_message_too_large_for_FCM_fails_without_a_call()
    {
        var (person, _) = await NewPersonAsync();
        var id = NewId("large");

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    content = new { title = id, body = new string('x', 5000) },
                }
            )
        ).Is(202);

        Assert.Equal("TooLarge", (await Client.BecomesAsync(id, "failed")).On("push").Reason);
        Assert.Equal((0, 0), await Sandbox.CountAsync(id));
    }

    private async Task<(Person Person, string Token)> NewPersonAsync(string fate = "android", int devices = 0)
    {
        var person = await Installation.NewPersonAsync(devices, phone: false);
        var token = Person.NewAndroidToken(fate);
        await Installation.AddDeviceAsync(person, token, "android");
        return (person, token);
    }

    private async Task<string[]> DevicesAsync(Person person) =>
        [.. (await Client.GetAsync($"/v1/users/{person.Id}")).Is(200).Json["devices"]!.AsArray().Select(d => d!["deviceId"]!.ToString())];

    private static JsonNode MessageOf(LedgerEntry entry)
    {
        var body = entry.Json["request"]!["body"]!;
        return (body is JsonValue ? JsonNode.Parse(body.GetValue<string>())! : body)["message"]!;
    }
}
