namespace Notify.Tests.EndToEnd;

using Notify.Tests.Support;

/// <summary>The way of one notification, from the request to the provider and to the queries.</summary>
public sealed class OneNotification : SystemTest
{
    [Fact]
    public async Task It_reaches_APNs_and_Twilio_and_its_stream_tells_it_all()
    {
        var person = await Installation.NewPersonAsync();
        var id = NewId("order");

        var reply = (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    category = "shipping",
                    priority = "critical",
                    content = new { title = "Shipped", body = $"Your parcel {id}" },
                }
            )
        ).Is(202);
        Assert.Equal($"/v1/notifications/{id}", reply.Headers.Location?.ToString());
        Assert.Equal(id, reply["eventId"]);
        Assert.Equal("accepted", reply["status"]);
        Assert.Equal("false", reply["duplicate"]);

        var state = await Client.BecomesAsync(id, "dispatched");
        var entries = await Sandbox.LedgerAsync(id);
        var push = Assert.Single(entries, e => e.Provider == "apns");
        var sms = Assert.Single(entries, e => e.Provider == "twilio");
        Assert.Equal(2, entries.Count);
        Assert.True(push.IsAccepted && sms.IsAccepted);
        Assert.Equal(person.Tokens[0], push.To);
        Assert.Equal($"Shipped\nYour parcel {id}", push.Text);
        Assert.Equal(person.Phone, sms.To);
        Assert.Equal($"Your parcel {id}", sms.Text);
        Assert.Equal("10", push.Header("apns-priority"));
        Assert.Equal("alert", push.Header("apns-push-type"));
        Assert.InRange(push.Header("apns-collapse-id")!.Length, 1, 64);

        // The state names what the providers call them.
        Assert.Equal(push.MessageId, state.On("push").ProviderMessageId, ignoreCase: true);
        Assert.Equal(sms.MessageId, state.On("sms").ProviderMessageId);
        Assert.All(state.Deliveries, d => Assert.Equal(1, d.Attempts));
        Assert.Equal(person.Id, state.Json["userId"]!.ToString());
        Assert.Equal("shipping", state.Json["category"]!.ToString());
        Assert.Equal("critical", state.Json["priority"]!.ToString());

        // The stream has the order: requested, planned, the SMS attempted before the call, both accepted.
        var events = await Client.EventsAsync(id);
        Assert.Equal(["NotificationRequested", "DeliveriesPlanned"], events.Take(2).Select(e => e.Type));
        Assert.Equal(["DispatchAttempted", "NotificationDispatched", "NotificationDispatched"], events.Skip(2).Select(e => e.Type).Order());
        Assert.Equal(Enumerable.Range(1, events.Count).Select(v => (long)v), events.Select(e => e.Version));
        Assert.Equal(
            events.Select(e => e.Json["sequence"]!.GetValue<long>()).Order(),
            events.Select(e => e.Json["sequence"]!.GetValue<long>())
        );
        var attempted = Assert.Single(events, e => e.Type == "DispatchAttempted");
        Assert.Equal(state.On("sms").Id, attempted.Data["deliveryId"]!.ToString());
        var smsDispatched = Assert.Single(events, e => e.Type == "NotificationDispatched" && e.Data["provider"]!.ToString() == "twilio");
        Assert.True(attempted.Version < smsDispatched.Version);
        Assert.True(attempted.Data["at"]!.GetValue<DateTimeOffset>() <= sms.ReceivedAt, "the attempt was not recorded before the call");
        Assert.Equal(sms.MessageId, smsDispatched.Data["providerMessageId"]!.ToString());
        Assert.Equal(Client.AppKey, events[0].Data["clientId"]!.ToString());
    }

    [Fact]
    public async Task The_same_request_again_is_a_duplicate_and_sends_nothing()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var id = NewId("twice");
        var request = new
        {
            eventId = id,
            userId = person.Id,
            content = new { body = $"once {id}" },
        };
        (await Client.SendAsync(request)).Is(202);
        await Client.BecomesAsync(id, "dispatched");

        var again = (await Client.SendAsync(request)).Is(200);

        Assert.Equal("true", again["duplicate"]);
        Assert.Equal("dispatched", again["status"]);
        Assert.Equal(4, (await Client.EventsAsync(id)).Count);
        Assert.Equal((1, 1), await Sandbox.CountAsync(id));
    }

    [Fact]
    public async Task Another_request_under_the_same_event_ID_conflicts_for_ever()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var id = NewId("conflict");
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    content = new { body = $"first {id}" },
                }
            )
        ).Is(202);
        await Client.BecomesAsync(id, "dispatched");

        for (var i = 0; i < 3; i++)
            (
                await Client.SendAsync(
                    new
                    {
                        eventId = id,
                        userId = person.Id,
                        content = new { body = $"other {id}" },
                    }
                )
            ).IsProblem(409, "event_id_conflict");

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    content = new { body = $"first {id}" },
                }
            )
        ).Is(200);
        Assert.Equal($"first {id}", Assert.Single(await Sandbox.LedgerAsync(id)).Text);
    }

    [Fact]
    public async Task Another_client_may_use_the_same_event_ID()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var id = NewId("shared");
        using var other = await Installation.NewClientAsync(["send", "read"]);
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    content = new { body = $"one {id}" },
                }
            )
        ).Is(202);

        (
            await other.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    content = new { body = $"two {id}" },
                }
            )
        ).Is(202);

        await Client.BecomesAsync(id, "dispatched");
        await other.BecomesAsync(id, "dispatched");
        Assert.Equal([$"one {id}", $"two {id}"], (await Sandbox.LedgerAsync(id)).Select(e => e.Text).Order());
    }

    [Fact]
    public async Task A_rejected_request_uses_up_no_event_ID()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var id = NewId("rejected");

        (await Client.SendAsync(new { eventId = id, userId = person.Id })).IsProblem(400, "invalid_request");

        (await Client.GetAsync($"/v1/notifications/{id}")).IsProblem(404, "not_found");
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
    }
}
