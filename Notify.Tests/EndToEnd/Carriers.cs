namespace Notify.Tests.EndToEnd;

using Notify.Tests.Support;

/// <summary>Vonage, Mailchimp and a mail server in the place of Twilio and SendGrid.</summary>
public sealed class Carriers : SystemTest
{
    /// <inheritdoc />
    public override async ValueTask InitializeAsync() =>
        Installation = await NotifySystem.StartAsync("carriers", projections: false, carriers: ["vonage", "mailchimp"]);

    /// <inheritdoc />
    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        await Installation.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task Each_carries_what_it_is_given()
    {
        var (sms, email, more) = (NewId("vonage"), NewId("mailchimp"), NewId("smtp"));
        (
            await Client.SendAsync(
                new
                {
                    eventId = sms,
                    to = new { phone = "+821012345678" },
                    content = new { body = $"안녕 {sms}" },
                }
            )
        ).Is(202);
        (
            await Client.SendAsync(
                new
                {
                    eventId = email,
                    to = new { email = "kim@mail.example" },
                    content = new
                    {
                        title = "Hello",
                        body = email,
                        html = $"<p>{email}</p>",
                    },
                }
            )
        ).Is(202);

        await ArrivedAsync(sms, "sms", "vonage", "821012345678", $"안녕 {sms}");
        await ArrivedAsync(email, "email", "mailchimp", "kim@mail.example", $"Hello\n{email}\n<p>{email}</p>");

        await Installation.StopDispatchAsync();
        var settings = await Installation.CarrierAsync("Providers", "smtp");
        foreach (var name in (await Installation.CarrierAsync("Providers", "mailchimp")).Keys)
            settings[name] = ""; // not there any more
        await Installation.StartDispatchAsync(settings);
        (
            await Client.SendAsync(
                new
                {
                    eventId = more,
                    to = new { email = "kim@mail.example" },
                    content = new
                    {
                        title = "안녕",
                        body = more,
                        html = $"<p>{more}</p>",
                    },
                }
            )
        ).Is(202);
        await ArrivedAsync(more, "email", "smtp", "kim@mail.example", $"안녕\n{more}\n<p>{more}</p>");
    }

    [Fact]
    public async Task Receipts_of_each_provider_end_in_the_right_state()
    {
        foreach (
            var (knob, status) in new[]
            {
                ("delivered", "delivered"),
                ("shuffled", "delivered"),
                ("repeated", "delivered"),
                ("failed", "failed"),
            }
        )
        {
            await Sandbox.KnobsAsync("vonage", new { receipts = knob });
            await Sandbox.KnobsAsync("mailchimp", new { receipts = knob });
            var (sms, email) = (NewId(knob), NewId(knob));
            (
                await Client.SendAsync(
                    new
                    {
                        eventId = sms,
                        to = new { phone = Person.NewPhone() },
                        content = new { body = sms },
                    }
                )
            ).Is(202);
            (
                await Client.SendAsync(
                    new
                    {
                        eventId = email,
                        to = new { email = Person.NewEmail() },
                        content = new { title = "Hello", body = email },
                    }
                )
            ).Is(202);
            await Client.BecomesAsync(sms, status);
            await Client.BecomesAsync(email, status);
        }

        await Sandbox.BehaveAsync();
    }

    [Fact]
    public async Task A_bounced_address_is_suppressed_and_a_reply_of_STOP_too_until_START()
    {
        var (email, bounced) = ($"bounced+{NewId("b")}@mail.example", NewId("bounced"));
        (
            await Client.SendAsync(
                new
                {
                    eventId = bounced,
                    to = new { email },
                    content = new { title = "Hello", body = bounced },
                }
            )
        ).Is(202);
        await Client.BecomesAsync(bounced, "failed");
        var again = NewId("again");
        (
            await Client.SendAsync(
                new
                {
                    eventId = again,
                    to = new { email },
                    content = new { title = "Hello", body = again },
                }
            )
        ).Is(202);
        Assert.Equal("SuppressedAddress", (await Client.BecomesAsync(again, "suppressed")).On("email")["reason"]);

        var phone = Person.NewPhone();
        foreach (var (reply, status) in new[] { ("STOP", "suppressed"), ("START", "dispatched") })
        {
            Assert.Equal(204, await Sandbox.InboundAsync("vonage", phone, reply));
            var id = NewId(reply);
            (
                await Client.SendAsync(
                    new
                    {
                        eventId = id,
                        to = new { phone },
                        content = new { body = id },
                    }
                )
            ).Is(202);
            await Client.BecomesAsync(id, status);
        }
    }

    private async Task ArrivedAsync(string id, string channel, string provider, string to, string text)
    {
        var delivery = (await Client.BecomesAsync(id, "dispatched")).On(channel);
        var entry = Assert.Single(await Sandbox.LedgerAsync(id));
        Assert.Equal((provider, to, text, "accepted"), (entry.Provider, entry.To, entry.Text!.ReplaceLineEndings("\n"), entry.Outcome));
        Assert.Equal((provider, entry.MessageId), (delivery["provider"], delivery["providerMessageId"]));
    }
}
