namespace Notify.Tests.EndToEnd;

using System.Text.Json.Nodes;
using Notify.Tests.Support;

/// <summary>Emails, from the request to the provider; an email with an unknown outcome is never repeated.</summary>
public sealed class Emails : SystemTest
{
    [Fact]
    public async Task Category_names_the_sender_and_where_answers_go()
    {
        var (id, category) = (NewId("sender"), $"k-{Guid.NewGuid():N}"[..20]);
        var rules = new { email = new { fromName = "Accounts", replyTo = "accounts@shop.example" } };
        Assert.Equal("Accounts", $"{(await Client.PutAsync($"/v1/categories/{category}", rules)).Is(200).Json["email"]!["fromName"]}");
        Assert.NotNull(
            (await Client.PutAsync($"/v1/categories/{category}", new { email = new { fromName = "A\r\nBcc: b@mail.example" } }))
                .IsProblem(400, "invalid_request")
                .Json["errors"]!["email.fromName"]
        );

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    to = new { email = Person.NewEmail() },
                    category,
                    content = new { title = id, body = id },
                }
            )
        ).Is(202);
        await Client.BecomesAsync(id, "dispatched");

        var mail = MailOf(Assert.Single(await Sandbox.LedgerAsync(id)));
        Assert.Equal(("Accounts", "accounts@shop.example"), ($"{mail["from"]!["name"]}", $"{mail["reply_to"]!["email"]}"));
    }

    [Fact]
    public async Task An_email_arrives_once_with_subject_text_and_html()
    {
        var person = await Installation.NewPersonAsync(devices: 0, phone: false, email: Person.NewEmail());
        var id = NewId("email");

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    content = new
                    {
                        title = "Your parcel – 안녕",
                        body = $"Text {id}\nsecond line",
                        html = $"<p>HTML &amp; {id}</p>",
                    },
                }
            )
        ).Is(202);

        var email = (await Client.BecomesAsync(id, "dispatched")).On("email");
        var entry = Assert.Single(await Sandbox.LedgerAsync(id));
        Assert.True(entry.IsAccepted);
        Assert.Equal(
            ("sendgrid", person.Email, $"Your parcel – 안녕\nText {id}\nsecond line\n<p>HTML &amp; {id}</p>"),
            (entry.Provider, entry.To, entry.Text)
        );
        Assert.Equal(("sendgrid", entry.MessageId, 1), (email["provider"], email.ProviderMessageId, email.Attempts));
        var mail = MailOf(entry);
        Assert.Equal(email.Id, mail["personalizations"]![0]!["custom_args"]!["notify_delivery"]!.ToString());
        Assert.Equal(["text/plain", "text/html"], mail["content"]!.AsArray().Select(c => c!["type"]!.ToString()));
        Assert.Equal("Notify", mail["from"]!["name"]!.ToString());
        var events = await Client.EventsAsync(id);
        Assert.Equal(
            ["NotificationRequested", "DeliveriesPlanned", "DispatchAttempted", "NotificationDispatched"],
            events.Select(e => e.Type)
        );
        Assert.True(events[2].Data["at"]!.GetValue<DateTimeOffset>() <= entry.ReceivedAt, "the attempt was not recorded before the call");
    }

    [Fact]
    public async Task User_with_phone_and_email_address_gets_both()
    {
        var person = await Installation.NewPersonAsync(email: Person.NewEmail());
        var id = NewId("both");

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

        Assert.All((await Client.BecomesAsync(id, "dispatched")).Deliveries, d => Assert.Equal("dispatched", d.Status));
        Assert.Equal(
            [("apns", person.Tokens[0]), ("sendgrid", person.Email), ("twilio", person.Phone)],
            (await Sandbox.LedgerAsync(id)).Select(e => (e.Provider, e.To)).Order()
        );
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Many_with_the_same_words_share_requests_and_one_that_is_refused_harms_no_other(bool isTracked)
    {
        var (mark, refused) = (NewId("shared"), Person.NewEmail("failed"));
        string[] addresses = [.. Enumerable.Range(0, 150).Select(i => i == 70 ? refused : Person.NewEmail())];
        var requests = addresses
            .Select(
                (a, i) =>
                    new
                    {
                        eventId = $"{mark}-{i}",
                        to = new { email = a },
                        content = new
                        {
                            title = "News",
                            body = mark,
                            html = $"<p>{mark}</p><a href=\"https://shop.example/1\">x</a>",
                            track = new { links = isTracked, opens = isTracked },
                        },
                    }
            )
            .ToArray();

        (await Client.PostAsync("/v1/notifications/batch", new { notifications = requests })).Is(200);

        foreach (var request in requests)
            await Client.BecomesAsync(request.eventId, request.to.email == refused ? "failed" : "dispatched");
        var taken = (await Sandbox.LedgerAsync(mark)).Where(e => e.IsAccepted).ToList();
        Assert.Equal(addresses.Where(a => a != refused).Order(), taken.Select(e => e.To!).Order());
        Assert.True(taken.Select(e => e.MessageId).Distinct().Count() < taken.Count, "no two emails went in one request");
        // Each has links of its own, wherever they were put in.
        var links = taken.Select(e => e.Text!.Split("href=\"")[1].Split('"')[0]).ToList();
        Assert.Equal(isTracked ? taken.Count : 1, links.Distinct().Count());
        Assert.All(
            taken,
            e =>
                Assert.Equal(
                    (isTracked, false),
                    (e.Text!.Contains("/o/", StringComparison.Ordinal), e.Text.Contains("-notify-link-", StringComparison.Ordinal))
                )
        );
    }

    [Fact]
    public async Task Mails_too_heavy_to_be_open_together_all_arrive_once()
    {
        var mark = NewId("heavy");
        var file = new
        {
            filename = "a.bin",
            contentType = "application/octet-stream",
            content = Convert.ToBase64String(new byte[3 * 1024 * 1024]),
        };
        string[] ids = [.. Enumerable.Range(0, 14).Select(i => $"{mark}-{i}")];
        foreach (var id in ids)
            (
                await Client.SendAsync(
                    new
                    {
                        eventId = id,
                        to = new { email = Person.NewEmail() },
                        content = new
                        {
                            title = "Files",
                            body = mark,
                            attachments = new[] { file },
                        },
                    }
                )
            ).Is(202);
        foreach (var id in ids)
            await Client.BecomesAsync(id, "dispatched", TimeSpan.FromSeconds(60));
        Assert.Equal((ids.Length, ids.Length), await Sandbox.CountAsync(mark));
    }

    [Fact]
    public async Task Someone_unregistered_is_reached_at_a_domain_of_other_letters()
    {
        var id = NewId("idn");

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    to = new { email = "kim@예시.한국" },
                    content = new { body = $"{id}\nmore" },
                }
            )
        ).Is(202);

        await Client.BecomesAsync(id, "dispatched");
        var entry = Assert.Single(await Sandbox.LedgerAsync(id));
        Assert.Equal(("kim@xn--vv4b11d.xn--3e0b707e", $"{id}\n{id}\nmore"), (entry.To, entry.Text)); // its first line is its subject
    }

    [Fact]
    public async Task An_email_of_a_category_that_says_so_is_sent_again_once_at_its_deadline()
    {
        var (id, tooLate) = (NewId("resend"), NewId("resend-late"));
        (await Client.PutAsync("/v1/categories/resend-test", new { unknownOutcome = "resend" })).Is(200);
        object Request(string id, DateTimeOffset? expiresAt) =>
            new
            {
                eventId = id,
                to = new { email = Person.NewEmail("dropped") },
                category = "resend-test",
                expiresAt,
                content = new { title = id, body = id },
            };

        (await Client.SendAsync(Request(id, null))).Is(202);
        (await Client.SendAsync(Request(tooLate, TimeProvider.System.GetUtcNow().AddSeconds(5)))).Is(202); // before the deadline

        await Client.BecomesAsync(tooLate, "failed");
        Assert.Equal((1, 0), await Sandbox.CountAsync(tooLate));
        Assert.Equal("OutcomeNeverKnown", (await Client.BecomesAsync(id, "failed", TimeSpan.FromSeconds(30))).On("email").Reason);
        Assert.Equal((2, 0), await Sandbox.CountAsync(id));
        var events = await Client.EventsAsync(id);
        Assert.Equal(
            [
                "NotificationRequested",
                "DeliveriesPlanned",
                "DispatchAttempted",
                "DispatchOutcomeUnknown",
                "DeliveryDeferred",
                "DispatchAttempted",
                "DispatchOutcomeUnknown",
                "NotificationFailed",
            ],
            events.Select(e => e.Type)
        );
        Assert.Equal("ResentByPolicy", events[4].Data["reason"]!.ToString());
        Assert.True(events[4].Timestamp >= events[3].Data["deadline"]!.GetValue<DateTimeOffset>(), "sent again before the deadline");
    }

    [Theory]
    [InlineData("unanswered", true)]
    [InlineData("dropped", false)]
    public async Task An_email_whose_answer_was_lost_is_unknown_and_at_its_deadline_failed_and_never_repeated(string fate, bool taken)
    {
        var id = NewId(fate);

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    to = new { email = Person.NewEmail(fate) },
                    content = new { title = id, body = id },
                }
            )
        ).Is(202);

        var unknown = await Client.BecomesAsync(id, "unknown");
        Assert.Equal("ConnectionLost", unknown.On("email").Reason);
        await Eventually.Becomes(
            async () =>
            {
                Assert.Equal((1, taken ? 1 : 0), await Sandbox.CountAsync(id));
                return await Client.StateAsync(id);
            },
            s => s.Status == "failed",
            "the deadline passes"
        );
        Assert.Equal("OutcomeNeverKnown", (await Client.StateAsync(id)).On("email").Reason);
        var events = await Client.EventsAsync(id);
        Assert.Equal(
            ["NotificationRequested", "DeliveriesPlanned", "DispatchAttempted", "DispatchOutcomeUnknown", "NotificationFailed"],
            events.Select(e => e.Type)
        );
        Assert.Equal("sendgrid", events[4].Data["provider"]!.ToString());
        Assert.True(events[4].Timestamp >= events[3].Data["deadline"]!.GetValue<DateTimeOffset>(), "given up before the deadline");
        await Eventually.Stays(() => Sandbox.CountAsync(id), (1, taken ? 1 : 0), TimeSpan.FromSeconds(1));
    }

    [Fact]
    public async Task An_address_that_SendGrid_calls_wrong_fails_for_good_and_is_kept()
    {
        var person = await Installation.NewPersonAsync(devices: 0, phone: false, email: Person.NewEmail("invalid"));
        var id = NewId("wrong");

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

        var email = (await Client.BecomesAsync(id, "failed")).On("email");
        Assert.Equal(("BadAddress", "400 personalizations.0.to.0.email", 1), (email.Reason, email["providerCode"], email.Attempts));
        Assert.Equal((1, 0), await Sandbox.CountAsync(id));
        Assert.Equal(person.Email, (await Client.GetAsync($"/v1/users/{person.Id}")).Is(200)["email"]);
    }

    [Fact]
    public async Task An_email_is_tried_again_until_SendGrid_takes_it()
    {
        var id = NewId("again");

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    to = new { email = Person.NewEmail("unavailable") },
                    content = new { body = id },
                }
            )
        ).Is(202);

        Assert.Equal(3, (await Client.BecomesAsync(id, "dispatched")).On("email").Attempts);
        Assert.Equal(["503", "503", "accepted"], (await Sandbox.LedgerAsync(id)).Select(e => e.Outcome));
    }

    [Fact]
    public async Task User_who_opted_out_of_email_gets_none()
    {
        var person = await Installation.NewPersonAsync(devices: 0, email: Person.NewEmail());
        (await Client.PutAsync($"/v1/users/{person.Id}/preferences", new { channels = new { email = new { optIn = false } } })).Is(200);
        var id = NewId("no-mail");

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

        var state = await Client.BecomesAsync(id, "dispatched");
        Assert.Equal(("suppressed", "OptedOut"), (state.On("email").Status, state.On("email").Reason));
        Assert.Equal("twilio", Assert.Single(await Sandbox.LedgerAsync(id)).Provider);
    }

    [Fact]
    public async Task Nothing_that_a_sender_writes_becomes_a_header_or_another_recipient()
    {
        var (id, email) = (NewId("inject"), Person.NewEmail());
        (
            await Client.SendAsync(
                new
                {
                    eventId = $"{id}-no",
                    to = new { email = $"{email}\r\nBcc: victim@mail.example" },
                    content = new { body = id },
                }
            )
        ).IsProblem(400, "invalid_request");
        (
            await Client.SendAsync(
                new
                {
                    eventId = $"{id}-no",
                    to = new { email = $"{email},victim@mail.example" },
                    content = new { body = id },
                }
            )
        ).IsProblem(400, "invalid_request");

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    to = new { email },
                    content = new
                    {
                        title = $"{id}\r\nBcc: victim@mail.example\r\n\r\n<b>",
                        body = "\r\n.\r\nMAIL FROM:<x>",
                        html = "<p>\r\n.\r\n",
                    },
                }
            )
        ).Is(202);

        await Client.BecomesAsync(id, "dispatched");
        var entry = Assert.Single(await Sandbox.LedgerAsync(id));
        Assert.Equal(email, entry.To);
        Assert.StartsWith($"{id} Bcc: victim@mail.example <b>\n", entry.Text, StringComparison.Ordinal);
        Assert.Equal(["content", "from", "personalizations", "tracking_settings"], MailOf(entry).Select(p => p.Key).Order());
    }

    [Fact]
    public async Task The_largest_email_arrives_whole_and_one_without_text_and_html_is_left_out()
    {
        var (large, empty, email) = (NewId("large"), NewId("empty"), Person.NewEmail());
        var html = $"<p>{large}</p>{new string('x', 199_000)}";

        (
            await Client.SendAsync(
                new
                {
                    eventId = large,
                    to = new { email },
                    content = new { title = large, html },
                }
            )
        ).Is(202);
        (
            await Client.SendAsync(
                new
                {
                    eventId = empty,
                    to = new { email },
                    channels = new[] { "email" },
                    content = new { title = empty },
                }
            )
        ).Is(202);

        await Client.BecomesAsync(large, "dispatched");
        Assert.Equal($"{large}\n{html}", Assert.Single(await Sandbox.LedgerAsync(large)).Text);
        Assert.Equal("NoContent", (await Client.BecomesAsync(empty, "suppressed")).On("email").Reason);
    }

    [Fact]
    public async Task A_test_client_s_email_goes_to_the_test_provider_alone()
    {
        using var tester = await Installation.NewClientAsync(["send", "read"], mode: "test");
        var id = NewId("tester");

        (
            await tester.SendAsync(
                new
                {
                    eventId = id,
                    to = new { email = Person.NewEmail() },
                    content = new { body = id },
                }
            )
        ).Is(202);

        await tester.BecomesAsync(id, "dispatched");
        Assert.Equal("sendgrid", Assert.Single(await Installation.TestSandbox.LedgerAsync(id)).Provider);
        Assert.Empty(await Sandbox.LedgerAsync(id));
    }

    private static JsonObject MailOf(LedgerEntry entry) => JsonNode.Parse(entry.Json["request"]!["body"]!.GetValue<string>())!.AsObject();
}

/// <summary>Emails while SendGrid refuses.</summary>
public sealed class EmailsUnderKnobs(KnobSystem knobs) : KnobTest(knobs)
{
    [Fact]
    public async Task The_time_at_which_SendGrid_takes_more_is_waited_for()
    {
        var id = NewId("limit");
        await Sandbox.KnobsAsync(
            "sendgrid",
            new
            {
                errorRate = 1,
                errorStatus = 429,
                retryAfterSeconds = 3,
            }
        );
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    to = new { email = Person.NewEmail() },
                    content = new { body = id },
                }
            )
        ).Is(202);
        var first = (await Eventually.Becomes(() => Sandbox.LedgerAsync(id), e => e.Count == 1, "the first attempt"))[0];

        await Sandbox.BehaveAsync();

        await Client.BecomesAsync(id, "dispatched");
        var entries = await Sandbox.LedgerAsync(id);
        Assert.Equal(["429", "accepted"], entries.Select(e => e.Outcome));
        Assert.True(
            entries[1].ReceivedAt - first.ReceivedAt > TimeSpan.FromSeconds(2),
            $"tried again after {entries[1].ReceivedAt - first.ReceivedAt}"
        ); // whole seconds
        Assert.Equal(
            "ProviderAskedToWait",
            Assert.Single(await Client.EventsAsync(id), e => e.Type == "DeliveryDeferred").Data["reason"]!.ToString()
        );
    }

    [Fact]
    public async Task An_email_whose_call_timed_out_is_unknown_and_not_repeated_when_SendGrid_is_well_again()
    {
        var id = NewId("hang");
        await Sandbox.KnobsAsync("sendgrid", new { blackhole = true });
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    to = new { email = Person.NewEmail() },
                    content = new { body = id },
                }
            )
        ).Is(202);

        var email = (await Client.BecomesAsync(id, "unknown")).On("email");

        Assert.Equal(("TimedOut", 1), (email.Reason, email.Attempts));
        await Sandbox.BehaveAsync();
        await Eventually.Stays(() => Sandbox.CountAsync(id), (1, 0), TimeSpan.FromSeconds(2)); // while others would ask
        (await Client.CancelAsync(id)).IsProblem(409, "already_dispatched");
    }

    [Fact]
    public async Task A_sender_that_SendGrid_does_not_know_halts_and_loses_nothing()
    {
        var id = NewId("forbidden");
        await Sandbox.KnobsAsync("sendgrid", new { errorRate = 1, errorStatus = 403 });
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    to = new { email = Person.NewEmail() },
                    content = new { body = id },
                }
            )
        ).Is(202);

        var state = await Eventually.Becomes(() => Client.StateAsync(id), s => s.On("email").Status == "deferred", "it waits");

        Assert.Equal("ChannelHalted", state.On("email").Reason);
        (await Client.CancelAsync(id)).Is(200);
    }
}
