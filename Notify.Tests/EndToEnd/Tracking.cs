namespace Notify.Tests.EndToEnd;

using System.Text.Json;
using System.Text.Json.Nodes;
using Notify.Tests.Support;

/// <summary>Clicks and openings: recorded for clients that ask for it, separate from automated hits, and never an open redirect.</summary>
public sealed class Tracking : SystemTest
{
    private const string Browser = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

    [Fact]
    public async Task A_person_s_first_click_and_opening_are_events_and_further_ones_are_counted()
    {
        using var client = await Installation.NewClientAsync(["send", "read", "audit"]);
        var (id, text) = await EmailAsync(client);
        var (link, pixel) = (PathIn(text, "/t/", '"'), PathIn(text, "/o/", '"'));
        Assert.DoesNotContain("shop.example", text, StringComparison.Ordinal);
        Assert.Contains("mailto:a@help.example", text, StringComparison.Ordinal);
        await PastTheMachinesAsync(id, client);
        await HitAsync(link, r => r.Method = HttpMethod.Head);

        for (var i = 0; i < 3; i++)
        {
            Assert.Equal("https://shop.example/orders?a=1&b=2", (await HitAsync(link)).Is(302).Headers.Location!.OriginalString);
            var image = (await HitAsync(pixel)).Is(200);
            Assert.Equal(("image/gif", "no-store"), (image.ContentType, image.Headers.CacheControl!.NoStore ? "no-store" : ""));
        }

        var events = await client.EventsAsync(id);
        Assert.Equal(
            [
                "NotificationRequested",
                "DeliveriesPlanned",
                "DispatchAttempted",
                "NotificationDispatched",
                "LinkClicked",
                "NotificationDelivered",
                "NotificationOpened",
            ],
            events.Select(e => e.Type)
        );
        var delivery = (await client.StateAsync(id)).On("email");
        Assert.NotNull(delivery["clickedAt"]);
        Assert.NotNull(delivery["openedAt"]);
        Assert.Equal(("3", "3", "1"), (delivery["opens"], delivery["clicks"], delivery["machineHits"]));
        Assert.Null((await client.GetAsync($"/v1/notifications/{id}?asOfVersion=7")).Is(200).Json["deliveries"]![0]!["opens"]);
        Assert.Equal("-1:3:0 0:3:1", await HitsAsync(delivery.Id));
        Assert.DoesNotContain(
            "shop.example",
            await Installation.ScalarAsync<string>("select destination from notify.links where delivery_id = $1", Guid.Parse(delivery.Id)),
            StringComparison.Ordinal
        );
        const string Said = "opened 1/3 clicked 1/1/3 machines 0/1";
        await Eventually.Becomes(
            async () => Told((await client.GetAsync("/v1/analytics")).Is(200).Json["items"]![0]!, n => n),
            told => told == Said,
            "the numbers are unique and total"
        );
        var row = await Installation.ScalarAsync<string>(
            "select to_jsonb(d)::text from analytics.daily_engagement d where client_id = $1",
            client.AppKey
        );
        Assert.Equal(Said, Told(JsonNode.Parse(row)!, JsonNamingPolicy.SnakeCaseLower.ConvertName));

        static string Told(JsonNode n, Func<string, string> name) =>
            $"opened {n[name("opened")]}/{n[name("openedTotal")]} clicked {n[name("clicked")]}/{n[name("clickedLinks")]}/{n[name("clickedTotal")]} machines {n[name("machineOpens")]}/{n[name("machineClicks")]}";
    }

    [Fact]
    public async Task An_email_whose_answer_was_lost_has_arrived_when_its_reader_opens_it()
    {
        var id = NewId("unclear");
        var content = new
        {
            title = id,
            html = "<p><a href=\"https://shop.example/1\">1</a></p>",
            track = new { links = true, opens = true },
        };
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    to = new { email = Person.NewEmail("unanswered") },
                    content,
                }
            )
        ).Is(202);
        await Client.BecomesAsync(id, "unknown");
        var text = Assert.Single(await Sandbox.LedgerAsync(id)).Text!;
        var attempted = (await Client.EventsAsync(id)).Single(e => e.Type == "DispatchAttempted").Data["at"]!.GetValue<DateTimeOffset>();
        await Eventually.Becomes(
            () => Task.FromResult(TimeProvider.System.GetUtcNow() - attempted),
            past => past > TimeSpan.FromSeconds(2.1),
            "a person may have read it"
        );

        (await HitAsync(PathIn(text, "/t/", '"'))).Is(302);
        (await HitAsync(PathIn(text, "/o/", '"'))).Is(200);
        (await HitAsync(PathIn(text, "/o/", '"'))).Is(200);

        var state = await Client.StateAsync(id);
        var email = state.On("email");
        Assert.Equal(("delivered", "2", "1", null), (state.Status, email["opens"], email["clicks"], email["machineHits"]));
        Assert.Equal(
            ["DispatchOutcomeUnknown", "LinkClicked", "NotificationDelivered", "NotificationOpened"],
            (await Client.EventTypesAsync(id)).TakeLast(4)
        );
        Assert.Equal(
            0,
            await Installation.ScalarAsync<long>("select count(*) from notify.open_deliveries where delivery_id = $1", Guid.Parse(email.Id))
        ); // nobody asks any more
    }

    [Fact]
    public async Task Machines_are_counted_apart_and_are_no_event()
    {
        var (id, text) = await EmailAsync();
        var (link, pixel) = (PathIn(text, "/t/", '"'), PathIn(text, "/o/", '"'));
        await HitAsync(link); // sooner than anybody can read
        await PastTheMachinesAsync(id);

        foreach (var agent in new[] { "Mozilla/5.0", "Mozilla/5.0 (compatible; Barracuda Sentinel)" })
            await HitAsync(pixel, r => Agent(r, agent)); // Apple's proxy fetches every picture
        await HitAsync(link, r => Agent(r, "Mozilla/5.0 (compatible; bingbot/2.0)"));
        await HitAsync(link, r => r.Headers.Add("Sec-Purpose", "prefetch;prerender"));
        await HitAsync(link, r => r.Method = HttpMethod.Head);

        Assert.Equal("NotificationDispatched", (await Client.EventTypesAsync(id))[^1]);
        Assert.Equal("-1:0:2 0:0:4", await HitsAsync((await Client.StateAsync(id)).On("email").Id));
    }

    [Fact]
    public async Task Visitor_of_every_link_at_once_is_automated_from_the_second_hit()
    {
        const string Html =
            "<a href=\"https://shop.example/0\">0</a><a href=\"https://한글.example/길\">1</a><a "
            + "href=\"javascript:alert(2)\">2</a><a href=\"https://shop.example/2\">3</a>";
        var (id, text) = await EmailAsync(Client, Html);
        Assert.Contains("javascript:alert(2)", text, StringComparison.Ordinal);
        var links = Enumerable.Range(0, 3).Select(i => PathIn(text[NthOf(text, "/t/", i)..], "/t/", '"')).ToList();
        await PastTheMachinesAsync(id, Client);

        var replies = new List<Reply>();
        foreach (var link in links)
            replies.Add((await HitAsync(link)).Is(302));

        Assert.Equal(
            ["https://shop.example/0", "https://xn--bj0bj06e.example/%EA%B8%B8", "https://shop.example/2"],
            replies.Select(r => r.Headers.Location!.OriginalString)
        );
        Assert.Equal(1, (await Client.EventTypesAsync(id)).Count(t => t == "LinkClicked"));
        var delivery = (await Client.StateAsync(id)).On("email").Id;
        Assert.Equal("0:1:0 1:0:1 2:0:1", await HitsAsync(delivery));

        await Eventually.Holds(
            () =>
                Installation.ScalarAsync<bool>(
                    "select max(last_at) < now() - interval '1 second' from notify.tracked_hits where delivery_id = $1",
                    Guid.Parse(delivery)
                ),
            "a person may have read on"
        );
        await HitAsync(links[2]);
        Assert.Equal(2, (await Client.EventTypesAsync(id)).Count(t => t == "LinkClicked"));
    }

    [Fact]
    public async Task Of_ten_thousand_altered_tokens_none_leads_anywhere()
    {
        var (_, text) = await EmailAsync(Client);
        var (token, random) = (PathIn(text, "/t/", '"')[3..], new Random(20261123));
        const string Characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        var altered = new HashSet<string>(StringComparer.Ordinal);
        while (altered.Count < 10_000)
        {
            var letters = token.ToCharArray();
            for (var changes = random.Next(1, 4); changes > 0; changes--)
                letters[random.Next(letters.Length)] = Characters[random.Next(Characters.Length)];
            if (new string(letters) is var other && other != token)
                altered.Add(other);
        }

        using var nobody = new NotifyClient(Installation.ApiUrl, null, null);
        var redirects = 0;
        await Parallel.ForEachAsync(
            altered,
            new ParallelOptions { MaxDegreeOfParallelism = 16, CancellationToken = TestContext.Current.CancellationToken },
            async (other, _) =>
            {
                if ((await nobody.GetAsync($"/t/{other}")).Status != 404)
                    Interlocked.Increment(ref redirects);
            }
        );

        Assert.Equal(0, redirects);
        foreach (
            var huge in new[]
            {
                new string('A', 4000),
                string.Concat(Enumerable.Repeat(token, 200)),
                "%0d%0aLocation:%20https://evil.example",
                "..%2f..%2f",
                "%00",
                "%F0%9F%98%80",
            }
        )
            Assert.InRange((await HitAsync($"/t/{huge}")).Status, 400, 499);
        Assert.Equal(
            "https://shop.example/orders?a=1&b=2",
            (await HitAsync($"/t/{token}?to=https://evil.example")).Is(302).Headers.Location!.OriginalString
        );
    }

    [Fact]
    public async Task A_token_that_is_not_ours_leads_nowhere()
    {
        var (id, text) = await EmailAsync();
        var (link, pixel) = (PathIn(text, "/t/", '"'), PathIn(text, "/o/", '"'));
        var altered = link[..^1] + (link[^1] == 'A' ? 'B' : 'A');

        foreach (
            var path in new[]
            {
                altered,
                "/t/x",
                $"/t/{pixel[3..]}",
                "/t/https:%2F%2Fevil.example",
                link + "A",
                altered + "?url=https://evil.example",
            }
        )
        {
            Assert.Null((await HitAsync(path)).Is(404).Headers.Location);
        }

        (await HitAsync($"/o/{link[3..]}")).Is(200);
        Assert.Equal("NotificationDispatched", (await Client.EventTypesAsync(id))[^1]);
    }

    [Fact]
    public async Task An_SMS_of_a_template_has_a_short_link_and_an_erased_person_s_leads_nowhere()
    {
        var (key, id) = ($"tracked-{Guid.NewGuid():N}", NewId("sms"));
        (
            await Client.PutAsync(
                $"/v1/templates/{key}",
                new { channels = new { sms = new { text = "{{ id }} {{ url }}." } }, track = new { links = true } }
            )
        ).Is(201);
        var person = await Installation.NewPersonAsync(devices: 0);

        var preview = (
            await Client.PostAsync(
                $"/v1/templates/{key}/preview",
                new { @params = new { id, url = "https://shop.example/" + new string('a', 140) } }
            )
        )
            .Is(200)
            .Json;
        Assert.Equal("1", preview["sms"]!["segments"]!.ToString()); // two with its own address
        Assert.Contains(
            preview["warnings"]!.AsArray(),
            w => w!.ToString().StartsWith("sms: its links are tracked", StringComparison.Ordinal)
        );
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    template = new { key, @params = new { id, url = "https://shop.example/a/long/address?with=much&more=of-it" } },
                }
            )
        ).Is(202);

        await Client.BecomesAsync(id, "dispatched");
        var text = Assert.Single(await Sandbox.LedgerAsync(id)).Text!;
        var link = PathIn(text, "/t/", '.');
        Assert.InRange(link.Length, 4, 30);
        Assert.EndsWith(".", text, StringComparison.Ordinal);
        (await HitAsync(link)).Is(302);
        (await Client.DeleteAsync($"/v1/users/{person.Id}")).Is(204);
        (await HitAsync(link)).Is(404);
    }

    private Task<(string Id, string Text)> EmailAsync() => EmailAsync(Client);

    private async Task<(string Id, string Text)> EmailAsync(
        NotifyClient client,
        string html = "<p><a href=\"https://shop.example/orders?a=1&amp;b=2\">Your order</a> <a href='mailto:a@help.example'>Help</a></p>"
    )
    {
        var id = NewId("tracked");
        (
            await client.SendAsync(
                new
                {
                    eventId = id,
                    to = new { email = Person.NewEmail() },
                    content = new
                    {
                        title = id,
                        html,
                        track = new { links = true, opens = true },
                    },
                }
            )
        ).Is(202);
        await client.BecomesAsync(id, "dispatched");
        return (id, Assert.Single(await Sandbox.LedgerAsync(id)).Text!);
    }

    private Task PastTheMachinesAsync(string id) => PastTheMachinesAsync(id, Client);

    private static async Task PastTheMachinesAsync(string id, NotifyClient client)
    {
        var dispatched = DateTimeOffset.Parse(
            (await client.StateAsync(id)).Deliveries[0]["dispatchedAt"]!,
            System.Globalization.CultureInfo.InvariantCulture
        );
        await Eventually.Becomes(
            () => Task.FromResult(TimeProvider.System.GetUtcNow() - dispatched),
            past => past > TimeSpan.FromSeconds(2.1),
            "a person may have read it"
        );
    }

    private Task<string> HitsAsync(string delivery) =>
        Installation.ScalarAsync<string>(
            "select coalesce(string_agg(number || ':' || people || ':' || machines, ' ' order by number), '') from "
                + "notify.tracked_hits where delivery_id = $1",
            Guid.Parse(delivery)
        );

    private async Task<Reply> HitAsync(string path, Action<HttpRequestMessage>? shape = null)
    {
        using var nobody = new NotifyClient(Installation.ApiUrl, null, null);
        return await nobody.CallAsync(
            HttpMethod.Get,
            path,
            null,
            request =>
            {
                Agent(request, Browser);
                shape?.Invoke(request);
            }
        );
    }

    private static void Agent(HttpRequestMessage request, string agent)
    {
        request.Headers.Remove("User-Agent");
        request.Headers.TryAddWithoutValidation("User-Agent", agent);
    }

    private static int NthOf(string text, string part, int n)
    {
        var at = text.IndexOf(part, StringComparison.Ordinal);
        for (; n > 0; n--)
            at = text.IndexOf(part, at + 1, StringComparison.Ordinal);
        return at;
    }

    // The path of our own address in a text, from its beginning to a mark or the end.
    private static string PathIn(string text, string start, char end)
    {
        var path = text[text.IndexOf(start, StringComparison.Ordinal)..];
        return path.IndexOf(end, StringComparison.Ordinal) is >= 0 and var at ? path[..at] : path;
    }
}
