namespace Notify.Tests.EndToEnd;

using Notify.Tests.Support;

/// <summary>Outcomes of a provider's answers: retried, failed, unknown. The sandbox's magic recipients force them.</summary>
public sealed class ProviderOutcomes : SystemTest
{
    [Theory]
    [InlineData("+15005550001", "BadAddress", "21211")]
    [InlineData("+15005550002", "Rejected", "21612")]
    [InlineData("+15005550009", "BadAddress", "21614")]
    public async Task A_number_that_cannot_be_reached_fails_for_good(string number, string reason, string code)
    {
        var id = NewId("bad-number");

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    to = new { phone = number },
                    content = new { body = id },
                }
            )
        ).Is(202);

        var sms = (await Client.BecomesAsync(id, "failed")).On("sms");
        Assert.Equal((reason, code, 1), (sms.Reason, sms["providerCode"], sms.Attempts));
        Assert.Equal((1, 0), await Sandbox.CountAsync(id));
        Assert.Equal("NotificationFailed", (await Client.EventTypesAsync(id))[^1]);
    }

    [Fact]
    public async Task Number_opted_out_at_the_provider_is_not_tried_again()
    {
        var person = await Installation.NewPersonAsync(devices: 0, number: "+15005550004");
        var (first, second) = (NewId("stop"), NewId("stopped"));
        (
            await Client.SendAsync(
                new
                {
                    eventId = first,
                    userId = person.Id,
                    content = new { body = first },
                }
            )
        ).Is(202);
        Assert.Equal("OptedOutAtProvider", (await Client.BecomesAsync(first, "failed")).On("sms").Reason);

        (
            await Client.SendAsync(
                new
                {
                    eventId = second,
                    userId = person.Id,
                    content = new { body = second },
                }
            )
        ).Is(202);

        Assert.Equal("SuppressedAddress", (await Client.BecomesAsync(second, "suppressed")).On("sms").Reason);
        Assert.Equal((0, 0), await Sandbox.CountAsync(second));

        // Nor is any other person with the number, not even if it is required and they are not registered;
        (await Client.PutAsync("/v1/categories/stop-test", new { required = true })).Is(200);
        var third = NewId("required");
        (
            await Client.SendAsync(
                new
                {
                    eventId = third,
                    to = new { phone = "+1 500 555 0004" },
                    category = "stop-test",
                    content = new { body = third },
                }
            )
        ).Is(202);
        Assert.Equal("SuppressedAddress", (await Client.BecomesAsync(third, "suppressed")).On("sms").Reason);
        var leftOut = Assert.Single((await Client.EventsAsync(third))[1].Data["leftOut"]!.AsArray())!;
        Assert.StartsWith("suppression: OptedOutAtProvider, says twilio, since ", leftOut["rule"]!.ToString(), StringComparison.Ordinal);

        // it can be looked up, and once it is lifted the provider is asked again.
        var found = Assert.Single(
            (await Client.PostAsync("/v1/suppressions/lookup", new { channel = "sms", address = "+15005550004" })).Is(200).Json[
                "items"
            ]!.AsArray()
        )!;
        Assert.Equal(
            ("OptedOutAtProvider", "twilio", "+1•••0004"),
            (found["reason"]!.ToString(), found["source"]!.ToString(), found["address"]!.ToString())
        );
        (await Client.DeleteAsync($"/v1/suppressions/{found["id"]}")).Is(204);
        var fourth = NewId("lifted");
        (
            await Client.SendAsync(
                new
                {
                    eventId = fourth,
                    userId = person.Id,
                    content = new { body = fourth },
                }
            )
        ).Is(202);
        Assert.Equal("OptedOutAtProvider", (await Client.BecomesAsync(fourth, "failed")).On("sms").Reason);
        Assert.Equal((1, 0), await Sandbox.CountAsync(fourth));
    }

    [Fact]
    public async Task A_dead_token_is_dropped_and_only_that()
    {
        var person = await Installation.NewPersonAsync(devices: 2, phone: false, token: i => Person.NewToken(i == 0 ? "dead" : "a0a0"));
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
        Assert.Equal("Unregistered", Assert.Single(state.Deliveries, d => d.Status == "failed").Reason);
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
        Assert.Equal(person.Tokens[1], Assert.Single(await Sandbox.LedgerAsync(second)).To);
        Assert.Equal(
            person.DeviceIds[1],
            Assert.Single((await Client.GetAsync($"/v1/users/{person.Id}")).Json["devices"]!.AsArray())!["deviceId"]!.ToString()
        );
    }

    [Fact]
    public async Task A_token_that_APNs_calls_bad_fails_but_is_kept()
    {
        var person = await Installation.NewPersonAsync(phone: false, token: _ => Person.NewToken("bad0"));
        var id = NewId("bad-token");

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
        Assert.Equal(("BadAddress", "BadDeviceToken", 1), (push.Reason, push["providerCode"], push.Attempts));
        Assert.Single((await Client.GetAsync($"/v1/users/{person.Id}")).Json["devices"]!.AsArray());
    }

    [Fact]
    public async Task A_token_of_another_topic_fails_but_is_kept()
    {
        // Test clients' pushes go out under a topic that is not the devices'; see NotifySystem.
        using var tester = await Installation.NewClientAsync(["send", "read"], mode: "test");
        var person = await Installation.NewPersonAsync(phone: false);
        var id = NewId("topic");

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

        Assert.Equal("DeviceTokenNotForTopic", (await tester.BecomesAsync(id, "failed")).On("push")["providerCode"]);
        Assert.Single((await Client.GetAsync($"/v1/users/{person.Id}")).Json["devices"]!.AsArray());
    }

    [Fact]
    public async Task An_SMS_that_Twilio_never_had_is_sent_again_only_after_the_deadline()
    {
        var id = NewId("dropped");

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    to = new { phone = "+15005550098" },
                    content = new { body = id },
                }
            )
        ).Is(202);

        await Client.BecomesAsync(id, "unknown");
        var entries = await Eventually.Becomes(
            () => Sandbox.LedgerAsync(id),
            e => e.Count >= 2,
            "it is sent again",
            TimeSpan.FromSeconds(20)
        );
        Assert.True(entries[1].ReceivedAt - entries[0].ReceivedAt >= TimeSpan.FromSeconds(6), "sent again before the deadline");
        Assert.All(entries, e => Assert.Equal("aborted", e.Outcome));
        var events = await Client.EventsAsync(id);
        var again = events.First(e => e.Type == "DeliveryDeferred");
        Assert.Equal("NotAtProvider", again.Data["reason"]!.ToString());
        Assert.True(events.First(e => e.Type == "DispatchOutcomeUnknown").Version < again.Version);
    }

    [Fact]
    public async Task A_text_too_long_for_SMS_is_left_out_there_and_goes_elsewhere()
    {
        var person = await Installation.NewPersonAsync();
        var id = NewId("large");

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    content = new { title = id, body = $"{id} {new string('x', 1700)}" },
                }
            )
        ).Is(202);

        var state = await Client.BecomesAsync(id, "dispatched");
        Assert.Equal(("suppressed", "TooLarge"), (state.On("sms").Status, state.On("sms").Reason));
        Assert.Equal("dispatched", state.On("push").Status);
        var leftOut = (await Client.EventsAsync(id))[1].Data["leftOut"]!.AsArray().Single()!;
        Assert.Equal("sms: 12 segments, at most 10", leftOut["rule"]!.ToString());
    }

    [Fact]
    public async Task A_wrong_topic_fails_every_push_and_deletes_no_token()
    {
        // Test clients' pushes go out under a topic that is not the devices'; see NotifySystem.
        using var tester = await Installation.NewClientAsync(["send", "read"], mode: "test");
        var people = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Installation.NewPersonAsync(devices: 10, phone: false)));
        var ids = people.Select(_ => NewId("topics")).ToList();

        for (var i = 0; i < people.Length; i++)
            (
                await tester.SendAsync(
                    new
                    {
                        eventId = ids[i],
                        userId = people[i].Id,
                        content = new { title = ids[i] },
                    }
                )
            ).Is(202);

        foreach (var id in ids)
            Assert.All(
                (await tester.BecomesAsync(id, "failed")).Deliveries,
                d => Assert.Equal(("BadAddress", "DeviceTokenNotForTopic"), (d.Reason, d["providerCode"]))
            );
        foreach (var person in people)
        {
            Assert.Equal(10, (await Client.GetAsync($"/v1/users/{person.Id}")).Json["devices"]!.AsArray().Count);
            Assert.Equal(
                0,
                await Installation.ScalarAsync<long>(
                    "select count(*) from events.mt_events where stream_id = $1 and type = 'DeviceRemoved'",
                    person.Key
                )
            );
        }
    }
}
