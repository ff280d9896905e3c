namespace Notify.Tests.EndToEnd;

using System.Text.Json.Nodes;
using Microsoft.Extensions.Configuration;
using Notify.Delivery.Privacy;
using Notify.Delivery.Tracking;
using Notify.Tests.Support;

/// <summary>Every email can be answered with «no more of these», by a mail program's button or by a page.</summary>
public sealed class Unsubscribing : SystemTest
{
    private const string OneClick = "List-Unsubscribe=One-Click";

    [Fact]
    public async Task One_click_opts_the_recipient_out_of_the_category_on_email_and_of_nothing_else()
    {
        var (person, id, entry) = await EmailAsync("newsletter");
        var token = TokenIn(entry);
        // The tests' installation is reached over http on this machine, where no mail program follows a link.
        Assert.Equal(["Auto-Submitted"], MailOf(entry)["personalizations"]![0]!["headers"]!.AsObject().Select(h => h.Key));

        await PostAsync(token, OneClick, 200);

        var events = await Client.EventsAsync(id);
        Assert.Equal(
            ["NotificationRequested", "DeliveriesPlanned", "DispatchAttempted", "NotificationDispatched", "Unsubscribed"],
            events.Select(e => e.Type)
        );
        Assert.Equal("one-click", events[4].Data["source"]!.ToString());
        Assert.NotNull((await Client.StateAsync(id)).On("email")["unsubscribedAt"]);
        var change = Assert.Single(
            (await Client.GetAsync($"/v1/users/{person.Id}/preferences/history")).Is(200).Json["changes"]!.AsArray()
        )!["data"]!;
        Assert.Equal(
            ("email", "newsletter", "recipient", "one-click"),
            (change["channel"]!.ToString(), change["category"]!.ToString(), change["by"]!.ToString(), change["through"]!.ToString())
        );

        var (more, other) = (NewId("more"), NewId("other"));
        (
            await Client.SendAsync(
                new
                {
                    eventId = more,
                    userId = person.Id,
                    category = "newsletter",
                    content = new { title = more, body = more },
                }
            )
        ).Is(202);
        (
            await Client.SendAsync(
                new
                {
                    eventId = other,
                    userId = person.Id,
                    category = "invoices",
                    content = new { title = other, body = other },
                }
            )
        ).Is(202);
        Assert.Equal("OptedOut", (await Client.BecomesAsync(more, "suppressed")).On("email").Reason);
        await Client.BecomesAsync(other, "dispatched");
    }

    [Fact]
    public async Task The_page_changes_nothing_until_its_button_is_pressed()
    {
        var (person, id, entry) = await EmailAsync("tips");
        var token = TokenIn(entry);
        using var nobody = new NotifyClient(Installation.ApiUrl, null, null);
        for (var i = 0; i < 3; i++) // as scanners do
        {
            var page = (await nobody.GetAsync($"/u/{token}")).Is(200);
            Assert.Equal("text/html", page.ContentType);
            Assert.Contains("<form method=\"post\">", page.Text, StringComparison.Ordinal);
            Assert.Contains("<strong>tips</strong>", page.Text, StringComparison.Ordinal);
            Assert.Contains("frame-ancestors 'none'", page.Headers.GetValues("Content-Security-Policy").Single(), StringComparison.Ordinal);
            Assert.Equal("no-referrer", page.Headers.GetValues("Referrer-Policy").Single());
        }

        Assert.Empty((await Client.GetAsync($"/v1/users/{person.Id}/preferences/history")).Is(200).Json["changes"]!.AsArray());

        Assert.Contains("You are unsubscribed", await PostAsync(token, "", 200), StringComparison.Ordinal);

        Assert.Equal("page", (await Client.EventsAsync(id))[^1].Data["source"]!.ToString());
    }

    [Fact]
    public async Task Said_many_times_at_once_it_is_done_once()
    {
        var (person, id, entry) = await EmailAsync("offers");
        await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => PostAsync(TokenIn(entry), OneClick, 200)));
        Assert.Single(await Client.EventTypesAsync(id), t => t == "Unsubscribed");
        Assert.Single((await Client.GetAsync($"/v1/users/{person.Id}/preferences/history")).Is(200).Json["changes"]!.AsArray());
    }

    [Fact]
    public async Task Bare_address_is_unsubscribed_from_the_category_alone_and_its_registered_owner_from_nothing()
    {
        var (offers, resets, codes, address) = (NewKey("offers"), NewKey("resets"), NewKey("codes"), Person.NewEmail());
        (await Client.PutAsync($"/v1/categories/{codes}", new { required = true })).Is(200);
        var owner = await Installation.NewPersonAsync(devices: 0, phone: false, email: address);
        foreach (var category in new[] { offers, codes })
        {
            var sent = Assert.Single(await Sandbox.LedgerAsync(await SentAsync(ToAddress(address, category), "dispatched")));
            await PostAsync(TokenIn(sent), "List-Unsubscribe=One-Click", 200);
        }

        var left = await SentAsync(ToAddress(address, offers), "suppressed");
        Assert.Equal("OptedOut", (await Client.StateAsync(left)).On("email").Reason);
        await SentAsync(ToAddress(address, resets), "dispatched");
        await SentAsync(ToAddress(address, codes), "dispatched"); // required: it passes what was said
        await SentAsync(
            new
            {
                userId = owner.Id,
                category = offers,
                channels = new[] { "email" },
            },
            "dispatched"
        );
        var lookup = await Client.PostAsync("/v1/suppressions/lookup", new { channel = "email", address });
        Assert.Empty(lookup.Is(200).Json["items"]!.AsArray());

        var wish = new
        {
            channel = "email",
            address,
            categories = new Dictionary<string, object> { [offers] = new { optIn = true } },
        };
        Assert.Equal([codes], OptedOut((await Client.PutAsync("/v1/address-preferences", wish)).Is(200)));
        Assert.Equal(
            [codes],
            OptedOut((await Client.PostAsync("/v1/address-preferences/lookup", new { channel = "email", address })).Is(200))
        );
        await SentAsync(ToAddress(address, offers), "dispatched");

        static string[] OptedOut(Reply reply) => [.. reply.Json["optedOut"]!.AsArray().Select(c => c!.ToString())];
    }

    [Fact]
    public async Task User_who_unsubscribed_gets_nothing_of_the_category_at_the_bare_address_either()
    {
        var (offers, resets) = (NewKey("offers"), NewKey("resets"));
        var (person, _, entry) = await EmailAsync(offers);

        await PostAsync(TokenIn(entry), "List-Unsubscribe=One-Click", 200);

        await SentAsync(ToAddress(person.Email!, offers), "suppressed");
        await SentAsync(ToAddress(person.Email!, resets), "dispatched");
        await SentAsync(ToAddress(Person.NewEmail(), offers), "dispatched");
        var later = Person.NewEmail(); // the person's word goes with them to another address
        (await Client.PutAsync($"/v1/users/{person.Id}", new { email = later })).Is(200);
        await SentAsync(ToAddress(later, offers), "suppressed");
    }

    [Fact]
    public async Task A_link_that_we_did_not_make_does_nothing()
    {
        var (person, _, entry) = await EmailAsync("news");
        var token = TokenIn(entry);
        foreach (
            var wrong in new[]
            {
                token[..^1],
                token[..20] + (token[20] == 'A' ? 'B' : 'A') + token[21..],
                "x",
                new string('A', 39),
                token + "A",
                "%00",
                "..%2F..%2Fetc",
            }
        )
        {
            using var nobody = new NotifyClient(Installation.ApiUrl, null, null);
            var reply = await nobody.GetAsync($"/u/{wrong}");
            Assert.True(reply.Status is 404 or 400, $"{wrong}: {reply}");
            Assert.True(
                (
                    await nobody.CallAsync(
                        HttpMethod.Post,
                        $"/u/{wrong}",
                        new FormUrlEncodedContent([new("List-Unsubscribe", "One-Click")])
                    )
                ).Status
                    is 404
                        or 400,
                wrong
            );
        }

        Assert.Empty((await Client.GetAsync($"/v1/users/{person.Id}/preferences/history")).Is(200).Json["changes"]!.AsArray());
    }

    [Fact]
    public async Task The_page_of_a_required_category_promises_nothing()
    {
        var category = $"k-{Guid.NewGuid():N}"[..20];
        var (person, _, entry) = await EmailAsync(category);
        var token = TokenIn(entry);
        (await Client.PutAsync($"/v1/categories/{category}", new { required = true })).Is(200);

        using var nobody = new NotifyClient(Installation.ApiUrl, null, null);
        var page = (await nobody.GetAsync($"/u/{token}")).Is(200).Text;
        Assert.Contains("must be sent", page, StringComparison.Ordinal);
        Assert.DoesNotContain("<form", page, StringComparison.Ordinal);
        var answer = await PostAsync(token, OneClick, 200);
        Assert.Contains("must be sent", answer, StringComparison.Ordinal);
        Assert.DoesNotContain("You will get no more", answer, StringComparison.Ordinal);
        Assert.Single((await Client.GetAsync($"/v1/users/{person.Id}/preferences/history")).Is(200).Json["changes"]!.AsArray());
    }

    /// <summary>The token of the unsubscribe link of an email that SendGrid got.</summary>
    public static string TokenIn(LedgerEntry entry) =>
        Tokens.Make(
            DeliveryTokens.Unsubscribe,
            Guid.Parse(MailOf(entry)["personalizations"]![0]!["custom_args"]!["notify_delivery"]!.ToString())
        );

    private static DeliveryTokens Tokens { get; } =
        new(
            MasterKeyRing.Read(
                new ConfigurationBuilder()
                    .AddInMemoryCollection(TestRun.Secrets.ToDictionary(s => s.Key.Replace("__", ":"), string? (s) => s.Value))
                    .Build(),
                []
            )!
        );

    private static object ToAddress(string email, string category) =>
        new
        {
            to = new { email },
            category,
            channels = new[] { "email" },
        };

    private static JsonObject Request(string id, object request)
    {
        var json = System.Text.Json.JsonSerializer.SerializeToNode(request)!.AsObject();
        (json["eventId"], json["content"]) = (id, new JsonObject { ["title"] = id, ["body"] = id });
        return json;
    }

    private async Task<string> SentAsync(object request, string status)
    {
        var id = NewId("sent");
        (await Client.SendAsync(Request(id, request))).Is(202);
        await Client.BecomesAsync(id, status);
        return id;
    }

    private static string NewKey(string kind) => $"{kind}-{Guid.NewGuid():N}"[..20];

    private async Task<(Person Person, string Id, LedgerEntry Entry)> EmailAsync(string category, string priority = "normal")
    {
        var person = await Installation.NewPersonAsync(devices: 0, phone: false, email: Person.NewEmail());
        var id = NewId(category);
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    category,
                    priority,
                    content = new { title = id, body = id },
                }
            )
        ).Is(202);
        await Client.BecomesAsync(id, "dispatched");
        return (person, id, Assert.Single(await Sandbox.LedgerAsync(id)));
    }

    private async Task<string> PostAsync(string token, string form, int status)
    {
        using var mailProgram = new NotifyClient(Installation.ApiUrl, null, null);
        return (
            await mailProgram.CallAsync(
                HttpMethod.Post,
                $"/u/{token}",
                new StringContent(form, System.Text.Encoding.UTF8, "application/x-www-form-urlencoded")
            )
        )
            .Is(status)
            .Text;
    }

    private static JsonObject MailOf(LedgerEntry entry) => JsonNode.Parse(entry.Json["request"]!["body"]!.GetValue<string>())!.AsObject();
}
