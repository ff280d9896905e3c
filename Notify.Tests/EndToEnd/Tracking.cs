using Notify.Tests.Support;

namespace Notify.Tests.EndToEnd;

/// <summary>Clicks and openings: noted for who asks for it, told from those of machines, and never a way to anywhere else.</summary>
public sealed class Tracking : SystemTest
{
    private const string Browser = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

    [Fact]
    public async Task A_person_s_first_click_and_opening_are_events_and_further_ones_are_counted()
    {
        var (id, text) = await EmailAsync();
        var (link, pixel) = (PathIn(text, "/t/", '"'), PathIn(text, "/o/", '"'));
        Assert.DoesNotContain("shop.example", text, StringComparison.Ordinal);
        Assert.Contains("mailto:a@help.example", text, StringComparison.Ordinal);
        await PastTheMachinesAsync(id);

        for (var i = 0; i < 3; i++)
        {
            Assert.Equal("https://shop.example/orders?a=1&b=2", (await HitAsync(link)).Is(302).Headers.Location!.OriginalString);
            var image = (await HitAsync(pixel)).Is(200);
            Assert.Equal(("image/gif", "no-store"), (image.ContentType, image.Headers.CacheControl!.NoStore ? "no-store" : ""));
        }

        var events = await Client.EventsAsync(id);
        Assert.Equal(
            ["NotificationRequested", "DeliveriesPlanned", "DispatchAttempted", "NotificationDispatched", "LinkClicked", "NotificationDelivered", "NotificationOpened"], events.Select(e => e.Type));
        var delivery = (await Client.StateAsync(id)).On("email");
        Assert.NotNull(delivery["clickedAt"]);
        Assert.NotNull(delivery["openedAt"]);
        Assert.Equal("-1:3:0 0:3:0", await HitsAsync(delivery.Id));
        Assert.DoesNotContain("shop.example", await Installation.ScalarAsync<string>("select destination from notify.tracked_links where delivery_id = $1", Guid.Parse(delivery.Id)), StringComparison.Ordinal);
        await Eventually.Becomes(() => Installation.ScalarAsync<long>("select count(*) from analytics.engagement where delivery_id = $1 and kind in ('opened', 'clicked')", Guid.Parse(delivery.Id)), n => n == 2, "analytics know it");
    }

    [Fact]
    public async Task Machines_are_counted_apart_and_are_no_event()
    {
        var (id, text) = await EmailAsync();
        var (link, pixel) = (PathIn(text, "/t/", '"'), PathIn(text, "/o/", '"'));
        await HitAsync(link); // sooner than anybody can read
        await PastTheMachinesAsync(id);

        foreach (var agent in new[] { "Mozilla/5.0", "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)" }) await HitAsync(pixel, r => Agent(r, agent));
        await HitAsync(link, r => Agent(r, "Mozilla/5.0 (compatible; bingbot/2.0)"));
        await HitAsync(link, r => r.Headers.Add("Sec-Purpose", "prefetch;prerender"));
        await HitAsync(link, r => r.Method = HttpMethod.Head);

        Assert.Equal("NotificationDispatched", (await Client.EventTypesAsync(id))[^1]);
        Assert.Equal("-1:0:2 0:0:4", await HitsAsync((await Client.StateAsync(id)).On("email").Id));
    }

    [Fact]
    public async Task A_token_that_is_not_ours_leads_nowhere()
    {
        var (id, text) = await EmailAsync();
        var (link, pixel) = (PathIn(text, "/t/", '"'), PathIn(text, "/o/", '"'));
        var altered = link[..^1] + (link[^1] == 'A' ? 'B' : 'A');

        foreach (var path in new[] { altered, "/t/x", $"/t/{pixel[3..]}", "/t/https:%2F%2Fevil.example", link + "A", altered + "?url=https://evil.example" })
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
        (await Client.PutAsync($"/v1/templates/{key}", new { channels = new { sms = new { text = "{{ id }} {{ url }}." } }, track = new { links = true } })).Is(201);
        var person = await Installation.NewPersonAsync(devices: 0);

        (await Client.SendAsync(new { eventId = id, userId = person.Id, template = new { key, @params = new { id, url = "https://shop.example/a/long/address?with=much&more=of-it" } } })).Is(202);

        await Client.BecomesAsync(id, "dispatched");
        var text = Assert.Single(await Sandbox.LedgerAsync(id)).Text!;
        var link = PathIn(text, "/t/", '.');
        Assert.InRange(link.Length, 4, 30);
        Assert.EndsWith(".", text, StringComparison.Ordinal);
        (await HitAsync(link)).Is(302);
        (await Client.DeleteAsync($"/v1/users/{person.Id}")).Is(204);
        (await HitAsync(link)).Is(404);
    }

    [Fact]
    public async Task A_repeated_attempt_sends_the_same_links()
    {
        var id = NewId("again");
        (await Client.SendAsync(new { eventId = id, to = new { phone = Person.NewPhone() }, content = new { body = $"{id} https://shop.example/1", track = new { links = true } } })).Is(202);
        await Client.BecomesAsync(id, "dispatched");
        var text = Assert.Single(await Sandbox.LedgerAsync(id)).Text!;
        var delivery = (await Client.StateAsync(id)).On("sms").Id;

        Assert.Equal(PathIn(text, "/t/", ' ')[3..], await Installation.ScalarAsync<string>("select token from notify.tracked_links where delivery_id = $1", Guid.Parse(delivery)));
    }

    private async Task<(string Id, string Text)> EmailAsync()
    {
        var id = NewId("tracked");
        const string Html = "<p><a href=\"https://shop.example/orders?a=1&amp;b=2\">Your order</a> <a href='mailto:a@help.example'>Help</a></p>";
        (await Client.SendAsync(new { eventId = id, to = new { email = Person.NewEmail() }, content = new { title = id, html = Html, track = new { links = true, opens = true } } })).Is(202);
        await Client.BecomesAsync(id, "dispatched");
        return (id, Assert.Single(await Sandbox.LedgerAsync(id)).Text!);
    }

    private async Task PastTheMachinesAsync(string id)
    {
        var dispatched = DateTimeOffset.Parse((await Client.StateAsync(id)).Deliveries[0]["dispatchedAt"]!, System.Globalization.CultureInfo.InvariantCulture);
        await Eventually.Becomes(() => Task.FromResult(TimeProvider.System.GetUtcNow() - dispatched), past => past > TimeSpan.FromSeconds(2.1), "a person may have read it");
    }

    private Task<string> HitsAsync(string delivery) =>
        Installation.ScalarAsync<string>("select coalesce(string_agg(number || ':' || people || ':' || machines, ' ' order by number), '') from notify.tracked_hits where delivery_id = $1", Guid.Parse(delivery));

    private async Task<Reply> HitAsync(string path, Action<HttpRequestMessage>? shape = null)
    {
        using var nobody = new NotifyClient(Installation.ApiUrl, null, null);
        return await nobody.CallAsync(HttpMethod.Get, path, null, request =>
        {
            Agent(request, Browser);
            shape?.Invoke(request);
        });
    }

    private static void Agent(HttpRequestMessage request, string agent)
    {
        request.Headers.Remove("User-Agent");
        request.Headers.TryAddWithoutValidation("User-Agent", agent);
    }

    // The path of our own address in a text, from its beginning to a mark or the end.
    private static string PathIn(string text, string start, char end)
    {
        var path = text[text.IndexOf(start, StringComparison.Ordinal)..];
        return path.IndexOf(end, StringComparison.Ordinal) is >= 0 and var at ? path[..at] : path;
    }
}
