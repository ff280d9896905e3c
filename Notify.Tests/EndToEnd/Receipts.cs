namespace Notify.Tests.EndToEnd;

using System.Net;
using System.Text;
using Notify.Domain.Notifications;
using Notify.Tests.Support;

/// <summary>Receipts are verified and appended once to the notification's stream, also when they come early, late or repeatedly.</summary>
public sealed class Receipts : SystemTest
{
    private Uri Dispatch => Installation.DispatchUrl;

    [Fact]
    public async Task A_signed_receipt_is_kept_word_for_word_and_what_follows_names_it()
    {
        var (id, sms, person) = await SentAsync();
        await SignedReceipts
            .TwilioAsync(
                Dispatch,
                Guid.Parse(sms.Id),
                ("MessageSid", sms.ProviderMessageId!),
                ("MessageStatus", "sent"),
                ("To", person.Phone!)
            )
            .Is(HttpStatusCode.NoContent);
        await SignedReceipts
            .TwilioAsync(
                Dispatch,
                Guid.Parse(sms.Id),
                ("MessageSid", sms.ProviderMessageId!),
                ("MessageStatus", "delivered"),
                ("To", person.Phone!)
            )
            .Is(HttpStatusCode.NoContent);

        Assert.Equal("delivered", (await Client.GetAsync($"/v1/notifications/{id}")).Is(200)["status"]);
        var delivered = Assert.Single(await Client.EventsAsync(id), e => e.Type == nameof(NotificationDelivered));
        Assert.Equal(
            ("twilio", $"{sms.ProviderMessageId}:delivered"),
            (delivered.Data["source"]!.ToString(), delivered.Data["receipt"]!.ToString())
        );
        var kept = (await Client.GetAsync($"/v1/notifications/{id}/receipts")).Is(200).Json["receipts"]!.AsArray();
        Assert.Equal(["accepted", "delivered"], kept.Select(r => r!["what"]!.ToString()));
        Assert.Contains(
            $"MessageStatus=delivered&To={Uri.EscapeDataString(person.Phone!)}",
            kept[1]!["raw"]!.ToString(),
            StringComparison.Ordinal
        );
        Assert.Equal(
            0L,
            await Installation.ScalarAsync<long>(
                "select count(*) from notify.receipts r where r::text like '%' || $1 || '%'",
                person.Phone![4..]
            )
        );

        using var sender = await Installation.NewClientAsync(["send", "read"]);
        (await sender.GetAsync($"/v1/notifications/{id}/receipts")).IsProblem(403, "missing_scope");
        using var auditor = await Installation.NewClientAsync(["read", "audit"]);
        Assert.Equal(
            2,
            (await auditor.GetAsync($"/v1/notifications/{id}/receipts?client={Client.AppKey}")).Is(200).Json["receipts"]!.AsArray().Count
        );
        (await auditor.GetAsync($"/v1/notifications/{id}/receipts")).IsProblem(404, "not_found");

        (await Client.CallAsync(HttpMethod.Delete, $"/v1/users/{person.Id}")).Is(204);
        await SignedReceipts
            .TwilioAsync(
                Dispatch,
                Guid.Parse(sms.Id),
                ("MessageSid", sms.ProviderMessageId!),
                ("MessageStatus", "read"),
                ("To", person.Phone!)
            )
            .Is(HttpStatusCode.NoContent);
        var forgotten = (await Client.GetAsync($"/v1/notifications/{id}/receipts")).Is(200).Json["receipts"]!.AsArray();
        Assert.Equal(3, forgotten.Count);
        Assert.All(forgotten, r => Assert.Null(r!["raw"]));
    }

    [Fact]
    public async Task Receipt_with_wrong_signature_is_rejected_and_not_kept()
    {
        var (sid, now) = ($"SM{Guid.NewGuid():N}", TimeProvider.System.GetUtcNow());
        var events = $$"""[{"event":"delivered","sg_event_id":"{{sid}}"}]""";
        var form = new FormUrlEncodedContent(new Dictionary<string, string> { ["MessageSid"] = sid, ["MessageStatus"] = "delivered" });
        foreach (
            var (answer, status, code) in new (Task<HttpResponseMessage>, HttpStatusCode, string)[]
            {
                (
                    SignedReceipts.PlainAsync(HttpMethod.Post, new Uri(Dispatch, "/receipts/twilio"), form),
                    HttpStatusCode.Forbidden,
                    "wrong_signature"
                ),
                (SignedReceipts.SendGridAsync(Dispatch, events, altered: true), HttpStatusCode.Forbidden, "wrong_signature"),
                (SignedReceipts.SendGridAsync(Dispatch, events, now.AddHours(-25)), HttpStatusCode.Forbidden, "wrong_signature"),
                (SignedReceipts.SendGridAsync(Dispatch, events, now.AddHours(25)), HttpStatusCode.Forbidden, "wrong_signature"),
                (SignedReceipts.SendGridAsync(Dispatch, $$"""[{"event":"delivered"}]"""), HttpStatusCode.BadRequest, "malformed"),
                (SignedReceipts.TwilioAsync(Dispatch, null, ("MessageStatus", "sent")), HttpStatusCode.BadRequest, "malformed"),
                (
                    SignedReceipts.SendGridAsync(Dispatch, "[" + new string(' ', 9 * 1024 * 1024) + "]"),
                    HttpStatusCode.RequestEntityTooLarge,
                    "too_large"
                ),
                (
                    SignedReceipts.PlainAsync(HttpMethod.Post, new Uri(Dispatch, "/receipts/pigeon")),
                    HttpStatusCode.NotFound,
                    "no_such_provider"
                ),
                (
                    SignedReceipts.PlainAsync(HttpMethod.Post, new Uri(Dispatch, "/receipts/mailchimp")),
                    HttpStatusCode.NotFound,
                    "not_configured"
                ),
                (
                    SignedReceipts.PlainAsync(HttpMethod.Get, new Uri(Dispatch, "/receipts/twilio")),
                    HttpStatusCode.MethodNotAllowed,
                    "method_not_allowed"
                ),
            }
        )
        {
            var problem = await answer.Is(status);
            Assert.Contains($"\"code\":\"{code}\"", problem, StringComparison.Ordinal);
            Assert.DoesNotContain(sid, problem, StringComparison.Ordinal);
        }

        await SignedReceipts.PlainAsync(HttpMethod.Head, new Uri(Dispatch, "/receipts/mailchimp")).Is(HttpStatusCode.OK);
        await SignedReceipts.SendGridAsync(Dispatch, "[]").Is(HttpStatusCode.NoContent);
        Assert.Equal(
            0L,
            await Installation.ScalarAsync<long>("select count(*) from notify.receipts where event_id like '%' || $1 || '%'", sid)
        );
    }

    [Fact]
    public async Task One_receipt_posted_fifty_times_at_once_is_one_event()
    {
        var (id, sms, _) = await SentAsync();
        await Task.WhenAll(
            Enumerable
                .Range(0, 50)
                .Select(_ =>
                    SignedReceipts
                        .TwilioAsync(Dispatch, Guid.Parse(sms.Id), ("MessageSid", sms.ProviderMessageId!), ("MessageStatus", "delivered"))
                        .Is(HttpStatusCode.NoContent)
                )
        );
        Assert.Single(await Client.EventsAsync(id), e => e.Type == nameof(NotificationDelivered));
        Assert.Equal(
            1L,
            await Installation.ScalarAsync<long>("select count(*) from notify.receipts where message_id = $1", sms.ProviderMessageId!)
        );
    }

    [Fact]
    public async Task Receipts_that_come_before_their_notification_wait_for_it()
    {
        var (id, address) = (NewId("early"), Person.NewEmail());
        var delivery = DeterministicId.OfDelivery(NotificationKey.Of(Client.AppKey, id), "email");
        await SignedReceipts.SendGridAsync(Dispatch, Events(delivery, address, "delivered", "processed")).Is(HttpStatusCode.NoContent);
        Assert.Equal(2L, await Waiting());

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    to = new { email = address },
                    content = new { title = id, body = id },
                }
            )
        ).Is(202);
        await Client.BecomesAsync(id, "delivered");
        await Eventually.Becomes(Waiting, n => n == 0, "nothing waits");
        Assert.Single(await Sandbox.LedgerAsync(id));
        Assert.Equal(2, (await Client.GetAsync($"/v1/notifications/{id}/receipts")).Is(200).Json["receipts"]!.AsArray().Count);

        Task<long> Waiting() =>
            Installation.ScalarAsync<long>("select count(*) from notify.receipts where delivery_id = $1 and due_at is not null", delivery);
    }

    [Fact]
    public async Task A_receipt_without_our_ID_finds_its_delivery_by_the_provider_s()
    {
        var (id, sms, _) = await SentAsync();
        await SignedReceipts
            .TwilioAsync(Dispatch, null, ("MessageSid", sms.ProviderMessageId!), ("MessageStatus", "undelivered"), ("ErrorCode", "30005"))
            .Is(HttpStatusCode.NoContent);
        var failed = (await Client.BecomesAsync(id, "failed")).On("sms");
        Assert.Equal(("BadAddress", "30005"), (failed["reason"], failed["providerCode"]));
    }

    [Fact]
    public async Task A_mailbox_that_bounces_after_it_took_the_email_is_not_written_to_again()
    {
        var person = await Installation.NewPersonAsync(devices: 0, phone: false, email: Person.NewEmail());
        var id = NewId("bounced");
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    content = new { title = id, body = id },
                }
            )
        ).Is(202);
        var email = (await Client.BecomesAsync(id, "dispatched")).On("email");
        await SignedReceipts
            .SendGridAsync(Dispatch, Events(Guid.Parse(email.Id), person.Email!, "delivered", "bounce"))
            .Is(HttpStatusCode.NoContent);
        Assert.Equal(
            ("failed", "HardBounced"),
            (await Client.BecomesAsync(id, "failed")).On("email") is var d ? (d.Status, d["reason"]) : default
        );

        var next = NewId("bounced");
        (
            await Client.SendAsync(
                new
                {
                    eventId = next,
                    userId = person.Id,
                    content = new { title = next, body = next },
                }
            )
        ).Is(202);
        Assert.Equal("SuppressedAddress", (await Client.BecomesAsync(next, "suppressed")).On("email")["reason"]);
    }

    [Fact]
    public async Task Person_who_replies_STOP_gets_no_SMS_until_START()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        foreach (var (word, status) in new[] { ("Stop", "suppressed"), ("please don't start", "suppressed"), ("START", "dispatched") })
        {
            await SignedReceipts
                .TwilioAsync(
                    Dispatch,
                    null,
                    ("MessageSid", $"SM{Guid.NewGuid():N}"),
                    ("SmsStatus", "received"),
                    ("From", person.Phone!),
                    ("Body", word)
                )
                .Is(HttpStatusCode.NoContent);
            var id = NewId("reply");
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
            await Client.BecomesAsync(id, status);
        }
    }

    [Fact]
    public async Task An_app_acknowledges_a_push_and_repeats_are_no_news()
    {
        var person = await Installation.NewPersonAsync(devices: 2, phone: false);
        var id = NewId("ack");
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    content = new { title = id, body = id },
                }
            )
        ).Is(202);
        var state = await Client.BecomesAsync(id, "dispatched");
        var path = $"/v1/notifications/{id}/ack";
        foreach (var _ in new[] { 1, 2 })
        {
            Assert.Equal(
                "delivered",
                (await Client.PostAsync(path, new { deliveryId = state.Deliveries[0].Id, @event = "delivered" })).Is(200)["status"]
            );
            Assert.NotNull(
                (await Client.PostAsync(path, new { deliveryId = state.Deliveries[1].Id, @event = "opened" })).Is(200)["openedAt"]
            );
        }

        await Client.BecomesAsync(id, "delivered");
        Assert.Equal(
            ["NotificationDelivered", "NotificationDelivered", "NotificationOpened"],
            (await Client.EventsAsync(id)).Select(e => e.Type).Where(t => t is "NotificationDelivered" or "NotificationOpened").Order()
        );

        (await Client.PostAsync(path, new { deliveryId = Guid.NewGuid(), @event = "opened" })).IsProblem(404, "no_such_delivery");
        (await Client.PostAsync(path, new { deliveryId = state.Deliveries[0].Id, @event = "burnt" })).IsProblem(400, "invalid_request");
        (await Client.PostAsync("/v1/notifications/never-asked-for/ack", new { deliveryId = Guid.NewGuid(), @event = "opened" })).IsProblem(
            404,
            "not_found"
        );
        using var app = await Installation.NewClientAsync(["recipients"]);
        (await app.PostAsync(path, new { deliveryId = state.Deliveries[0].Id, @event = "opened" })).IsProblem(404, "not_found");
        using var reader = await Installation.NewClientAsync(["read"]);
        (await reader.PostAsync(path, new { deliveryId = state.Deliveries[0].Id, @event = "opened" })).IsProblem(403, "missing_scope");
    }

    private static string Events(Guid delivery, string address, params string[] names) =>
        "["
        + string.Join(
            ",",
            names.Select(name =>
                $$"""{"event":"{{name}}","type":"bounce","sg_event_id":"{{delivery:N}}{{name}}","sg_message_id":"m{{delivery:N}}.filter1","notify_delivery":"{{delivery}}","email":"{{address}}","timestamp":{{TimeProvider.System.GetUtcNow().ToUnixTimeSeconds()}}}"""
            )
        )
        + "]";

    private async Task<(string Id, DeliveryState Sms, Person Person)> SentAsync()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var id = NewId("receipt");
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
        return (id, (await Client.BecomesAsync(id, "dispatched")).On("sms"), person);
    }
}
