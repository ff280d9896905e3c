namespace Notify.Tests.Api;

using Microsoft.AspNetCore.Http;
using Notify.Api.Tracking;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;

public class MachineHitsTests
{
    private const string Firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

    [Theory]
    // browsers, also those inside apps, and the proxies that fetch a picture when a person opens the mail
    [InlineData(Firefox, false)]
    [InlineData(
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 "
            + "Mobile/15E148 Safari/604.1",
        false
    )]
    [InlineData(
        "Mozilla/5.0 (Linux; Android 10; CUBOT NOTE 20) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Mobile Safari/537.36",
        false
    )]
    [InlineData(
        "Mozilla/5.0 (Linux; Android 15; SM-S931N; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/138.0.0.0 "
            + "Mobile Safari/537.36;KAKAOTALK 2511000",
        false
    )]
    [InlineData("Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; Microsoft Outlook 16.0.5134; ms-office)", false)]
    [InlineData("Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", false)]
    [InlineData("YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", false)]
    // no user agent, or one that identifies itself
    [InlineData("", true)]
    [InlineData("   ", true)]
    [InlineData("Mozilla/5.0", true)]
    [InlineData("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", true)]
    [InlineData("Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/534+ (KHTML, like Gecko) BingPreview/1.0b", true)]
    [InlineData("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", true)]
    [InlineData("TelegramBot (like TwitterBot)", true)]
    [InlineData("WhatsApp/2.23.20.0", true)]
    [InlineData("facebookexternalhit/1.1; kakaotalk-scrap/1.0; +https://devtalk.kakao.com/t/scrap/33984", true)]
    [InlineData("Mozilla/5.0 (compatible; Barracuda Sentinel)", true)]
    [InlineData("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/138.0.0.0 Safari/537.36", true)]
    [InlineData("curl/8.5.0", true)]
    [InlineData("python-requests/2.32.3", true)]
    [InlineData("Go-http-client/2.0", true)]
    [InlineData("Ruby", true)]
    public void A_user_agent_shows_a_machine(string agent, bool isMachine) => Assert.Equal(isMachine, MachineHits.IsAgent(agent));

    [Theory]
    [InlineData(DeliveryStatus.Queued, null, null, true)]
    [InlineData(DeliveryStatus.Attempting, 60, null, true)] // nobody has taken it yet, as far as is known
    [InlineData(DeliveryStatus.Dispatched, 60, 1, true)]
    [InlineData(DeliveryStatus.Dispatched, 60, 2, false)]
    [InlineData(DeliveryStatus.Unknown, 1, null, true)]
    [InlineData(DeliveryStatus.Unknown, 2, null, false)]
    [InlineData(DeliveryStatus.Delivered, 60, null, false)] // by an opening
    [InlineData(DeliveryStatus.Deferred, 60, null, false)]
    public void Hit_within_seconds_of_dispatch_is_automated(DeliveryStatus status, int? attempted, int? dispatched, bool isTooSoon)
    {
        var now = new DateTimeOffset(2026, 12, 1, 9, 0, 0, TimeSpan.Zero);
        var delivery = new Delivery(
            Guid.NewGuid(),
            Channel.Email,
            Lane.Email,
            status,
            AttemptedAt: attempted is { } a ? now.AddSeconds(-a) : null,
            DispatchedAt: dispatched is { } d ? now.AddSeconds(-d) : null
        );
        Assert.Equal(isTooSoon, MachineHits.IsTooSoon(delivery, now));
    }

    [Theory]
    [InlineData("GET", "Accept", "*/*", false)]
    [InlineData("GET", "Sec-Purpose", "prefetch", true)]
    [InlineData("GET", "Sec-Purpose", "prefetch;prerender", true)]
    [InlineData("GET", "Sec-Purpose", "prerender", true)]
    [InlineData("GET", "Purpose", "prefetch", true)]
    [InlineData("GET", "X-Purpose", "preview", true)]
    [InlineData("GET", "X-Moz", "Prefetch", true)]
    [InlineData("HEAD", "Accept", "*/*", true)]
    public void A_request_shows_a_machine(string method, string header, string value, bool isMachine)
    {
        var request = new DefaultHttpContext().Request;
        request.Method = method;
        request.Headers.UserAgent = Firefox;
        request.Headers[header] = value;
        Assert.Equal(isMachine, MachineHits.Is(request));
    }
}
