namespace Notify.Tests.EndToEnd;

using Microsoft.Playwright;
using Notify.Tests.Support;

/// <summary>Pushes in a real browser: the sample page's service worker shows them, and a click opens their address.</summary>
public sealed class WebPushInBrowser : SystemTest
{
    private const string Shop = "https://shop.example/";
    private static readonly float Patience = (float)Eventually.Patience.TotalMilliseconds;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_push_is_shown_and_its_click_leads_to_its_address(bool isPageOpen)
    {
        var person = await Installation.NewPersonAsync(devices: 0, phone: false);
        await Installation.AddBrowserAsync(person);
        var id = NewId("browser");
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    content = new
                    {
                        title = "Unterwegs",
                        body = id,
                        url = Shop + id,
                        data = new { order = 7 },
                    },
                }
            )
        ).Is(202);
        var delivery = (await Client.BecomesAsync(id, "dispatched")).On("push");
        var message = Assert.Single(await Sandbox.LedgerAsync(id)).Json["request"]!["body"]!.GetValue<string>();

        await using var browser = await Browser.StartAsync(Installation.SandboxUrl);
        var context = browser.Profile;
        await context.RouteAsync(
            $"{Shop}**",
            route => route.FulfillAsync(new() { ContentType = "text/html", Body = "<h1>The order</h1>" })
        );
        var page = await context.NewPageAsync();
        await page.GotoAsync(new Uri(Installation.SandboxUrl, "/webpush/sample/").ToString());
        await Assertions.Expect(page.Locator("#state")).ToHaveTextAsync("ready", new() { Timeout = Patience });

        await Browser.PushAsync(page, message);

        var (shown, click) = await browser.Desktop.NextAsync();
        Assert.Equal("Unterwegs", shown.Title);
        Assert.Contains(id, shown.Body, StringComparison.Ordinal);
        const string Notifications =
            "async () => (await (await navigator.serviceWorker.ready).getNotifications()).map(n => [n.title, n.body, n.tag, "
            + "n.data.deliveryId, `${n.data.order}`])";
        var there = Assert.Single(await page.EvaluateAsync<string[][]>(Notifications));
        Assert.Equal(
            ["Unterwegs", id, Notify.Dispatch.Providers.WebPush.WebPushProvider.Topic(Guid.Parse(delivery.Id)), delivery.Id, "7"],
            there
        );

        // The same message once more replaces the first.
        await Browser.PushAsync(page, message);
        (_, click) = await browser.Desktop.NextAsync();
        Assert.Single(await page.EvaluateAsync<string[][]>(Notifications));

        var opened = page;
        if (isPageOpen)
        {
            await click();
        }
        else
        {
            await page.CloseAsync();
            opened = await context.RunAndWaitForPageAsync(click);
        }

        await Assertions.Expect(opened).ToHaveURLAsync(Shop + id, new() { Timeout = Patience });
        await Assertions.Expect(opened.Locator("h1")).ToHaveTextAsync("The order", new() { Timeout = Patience });
    }
}
