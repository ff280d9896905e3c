namespace Notify.Tests.Projections.Net;

using System.Buffers.Text;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text.Json;
using Notify.Api.Contract;
using Notify.Delivery.Monitoring;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Providers.WebPush;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Infrastructure.Networking;
using Notify.Tests.Dispatch.WebPush;

/// <summary>
/// Addresses by which outsiders try to have us call ourselves. Every name in them leads to a listener on this machine, which
/// must never be connected to: not by registering a device, not by a web push, not by the alerts' webhook.
/// </summary>
public sealed class HostileUrls : IDisposable
{
    private static readonly string[] Corpus =
    [
        // The plain ones.
        "https://127.0.0.1:{0}/",
        "https://localhost:{0}/",
        "https://LOCALHOST:{0}/",
        "https://localhost.:{0}/",
        "https://localhost.localdomain:{0}/",
        "https://api.localhost:{0}/",
        "https://[::1]:{0}/",
        "https://0.0.0.0:{0}/",
        "http://127.0.0.1:{0}/",
        "http://push.example.com:{0}/",
        // Other spellings of 127.0.0.1: decimal, octal, hexadecimal, short, mixed, with leading zeros.
        "https://2130706433:{0}/",
        "https://017700000001:{0}/",
        "https://0x7f000001:{0}/",
        "https://0x7F.0x0.0x0.0x1:{0}/",
        "https://0177.0.0.1:{0}/",
        "https://0177.0x0.0.01:{0}/",
        "https://127.1:{0}/",
        "https://127.0.1:{0}/",
        "https://127.0.0.1.:{0}/",
        "https://127.000.000.001:{0}/",
        "https://127.255.255.254:{0}/",
        "https://0:{0}/",
        "https://4294967295:{0}/",
        "https://0x7f.1:{0}/@push.example.com",
        // Private, shared, link-local, metadata, multicast, reserved, documentation.
        "https://10.0.0.1:{0}/",
        "https://10.255.255.255:{0}/",
        "https://172.16.0.1:{0}/",
        "https://172.31.255.254:{0}/",
        "https://192.168.0.1:{0}/",
        "https://100.64.0.1:{0}/",
        "https://169.254.169.254:{0}/latest/meta-data/",
        "https://169.254.170.2:{0}/v2/credentials",
        "https://2852039166:{0}/",
        "https://192.0.0.192:{0}/",
        "https://198.18.0.1:{0}/",
        "https://203.0.113.7:{0}/",
        "https://224.0.0.1:{0}/",
        "https://255.255.255.255:{0}/",
        // IPv6 that wraps IPv4, and IPv6 that is not public.
        "https://[::ffff:127.0.0.1]:{0}/",
        "https://[::ffff:7f00:1]:{0}/",
        "https://[::127.0.0.1]:{0}/",
        "https://[::ffff:0:127.0.0.1]:{0}/",
        "https://[64:ff9b::127.0.0.1]:{0}/",
        "https://[64:ff9b::a9fe:a9fe]:{0}/",
        "https://[64:ff9b:1::7f00:1]:{0}/",
        "https://[2002:7f00:1::]:{0}/",
        "https://[2001:0:4136:e378:8000:63bf:807f:fffe]:{0}/",
        "https://[2a00:1450:4001::5efe:127.0.0.1]:{0}/",
        "https://[fd00:ec2::254]:{0}/",
        "https://[fe80::1]:{0}/",
        "https://[fec0::1]:{0}/",
        "https://[ff02::1]:{0}/",
        "https://[::]:{0}/",
        "https://[0:0:0:0:0:0:0:1]:{0}/",
        // Names that lead inside: by their own meaning, or by what they resolve to.
        "https://metadata.google.internal:{0}/computeMetadata/v1/",
        "https://metadata:{0}/",
        "https://instance-data:{0}/latest/",
        "https://kubernetes.default.svc.cluster.local:{0}/",
        "https://printer.local:{0}/",
        "https://router.home.arpa:{0}/",
        "https://database:{0}/",
        "https://127.0.0.1.nip.io:{0}/",
        "https://localtest.me:{0}/",
        "https://spoofed.burpcollaborator.example:{0}/",
        "https://rebind.example.com:{0}/",
        "https://a.b.c.d.example.com.:{0}/",
        "https://xn--push-example.com:{0}/",
        // URLs with an ambiguous host: user names, fragments, back slashes, encoded characters, digits of other scripts.
        "https://push.example.com@127.0.0.1:{0}/",
        "https://push.example.com:secret@127.0.0.1:{0}/",
        "https://127.0.0.1:{0}#@push.example.com/",
        "https://127.0.0.1:{0}?@push.example.com/",
        "https://push.example.com:{0}\\@127.0.0.1/",
        "https://127.0.0.1:{0}\\.push.example.com/",
        "https://%31%32%37.0.0.1:{0}/",
        "https://127%2e0%2e0%2e1:{0}/",
        "https://①②⑦.⓪.⓪.①:{0}/",
        "https://１２７.０.０.１:{0}/",
        "https://127。0。0。1:{0}/",
        "https://ｌｏｃａｌｈｏｓｔ:{0}/",
        "https://loc\u00adalhost:{0}/",
        "https://\u200b127.0.0.1:{0}/",
        // Other schemes and well-known services.
        "gopher://127.0.0.1:{0}/_",
        "file:///etc/passwd",
        "ftp://127.0.0.1:{0}/",
        "dict://127.0.0.1:{0}/",
        "ldap://127.0.0.1:{0}/",
        "unix:///var/run/docker.sock",
        "data:text/plain,x",
        "https:127.0.0.1:{0}",
        "//127.0.0.1:{0}/",
        "https://push.example.com:22/",
        "https://push.example.com:25/",
        "https://push.example.com:0/",
        "https://push.example.com:99999/",
    ];

    private readonly TcpListener v4 = new(IPAddress.Loopback, 0),
        v6 = new(IPAddress.IPv6Loopback, 0);
    private readonly int port;
    private readonly bool hasV6;

    public HostileUrls()
    {
        v4.Start();
        port = ((IPEndPoint)v4.LocalEndpoint).Port;
        try
        {
            v6.Start();
            hasV6 = true;
        }
        catch (SocketException)
        {
            // A machine without IPv6 has nothing to be reached by it.
        }
    }

    public void Dispose()
    {
        v4.Dispose();
        v6.Dispose();
    }

    private IEnumerable<string> Urls => Corpus.Select(u => u.Replace("{0}", $"{port}", StringComparison.Ordinal));

    private static OutboundGuard Inside => new(false, (_, _) => Task.FromResult<IPAddress[]>([IPAddress.Loopback, IPAddress.IPv6Loopback]));

    [Fact]
    public void There_are_enough_of_them() => Assert.True(Corpus.Distinct().Count() >= 60, $"{Corpus.Length}");

    [Fact]
    public async Task No_web_push_connects_to_any_of_them()
    {
        var options = WebPushOptionsTests.Options();
        using var provider = new WebPushProvider(options, options.LoadKey("Providers:WebPush", [])!, TimeProvider.System, Inside);
        foreach (var url in Urls)
        {
            var outcome = await provider.SendAsync(
                new OutboundMessage(Guid.NewGuid(), Subscription(url), new NotificationContent(Body: "b"), Priority.Normal, null),
                TestContext.Current.CancellationToken
            );
            Assert.True(
                outcome is AttemptOutcome.Rejected { Reason: Reasons.BadAddress, Verdict: AddressVerdict.None },
                $"{url}: {outcome}"
            );
        }

        AssertNobodyCame();
    }

    [Fact]
    public async Task The_webhook_of_alerts_connects_to_none_of_them()
    {
        using var client = AlertWebhook.CreateClient(new AlertRules(), Inside);
        foreach (var url in Urls)
        {
            if (!Uri.TryCreate(url, UriKind.Absolute, out var uri) || uri.Scheme is not ("http" or "https"))
                continue; // HttpClient takes no others
            if (Inside.Allows(uri))
                await RefusedAsync(uri);
            else if (uri.Host.Length > 0 && uri.Port > 0)
                await RefusedAsync(uri); // even if somebody forgot to ask
        }

        AssertNobodyCame();

        async Task RefusedAsync(Uri uri)
        {
            var error = await Assert.ThrowsAnyAsync<Exception>(() =>
                client.PostAsync(uri, new ByteArrayContent([]), TestContext.Current.CancellationToken)
            );
            Assert.True(error is HttpRequestException { InnerException: ForbiddenAddressException }, $"{uri}: {error.Message}");
        }
    }

    [Fact]
    public void Registering_a_device_connects_to_none_of_them_and_refuses_all_that_can_be_told_from_the_address()
    {
        var taken = Urls.Where(u =>
                !ContactRules
                    .CheckDevice(
                        Platform.Web,
                        null,
                        JsonSerializer.Deserialize<WebPushSubscription>(Subscription(u), Notify.Infrastructure.Json.NotifyJson.Options),
                        Inside
                    )
                    .Any()
            )
            .ToList();
        // Only what looks like a name on the Internet; where it leads is known when it is called.
        Assert.All(taken, u => Assert.Contains(new Uri(u).IdnHost.TrimEnd('.').Split('.')[^1], new[] { "com", "io", "me", "example" }));
        AssertNobodyCame();
    }

    [Theory]
    [InlineData("http://127.0.0.1:{0}/")]
    [InlineData("https://[::1]:{0}/")]
    [InlineData("https://push.example.com@127.0.0.1:{0}/")]
    [InlineData("https://metadata.google.internal/")]
    [InlineData("https://push.example.com:25/")]
    public void The_webhook_s_setting_is_refused_at_the_start(string url)
    {
        var faults = new List<string>();
        var settings = new Dictionary<string, string?>
        {
            ["Notify:Alerts:WebhookUrl"] = url.Replace("{0}", $"{port}", StringComparison.Ordinal),
            ["Notify:Alerts:WebhookSecret"] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        };
        AlertRules.Read(
            Microsoft
                .Extensions.Configuration.MemoryConfigurationBuilderExtensions.AddInMemoryCollection(
                    new Microsoft.Extensions.Configuration.ConfigurationBuilder(),
                    settings
                )
                .Build(),
            faults
        );
        Assert.Contains("WebhookUrl", Assert.Single(faults), StringComparison.Ordinal);
    }

    // The first answer is a public address that nobody can reach from here (the name's owner wants it to pass a check), the next ones lead
    // inside.
    [Fact]
    public async Task A_name_that_answers_differently_the_second_time_gains_nothing()
    {
        var asked = 0;
        var guard = new OutboundGuard(
            false,
            (_, _) =>
                Task.FromResult<IPAddress[]>(
                    Interlocked.Increment(ref asked) == 1 ? [IPAddress.Parse("2606:4700::6810:84e5")] : [IPAddress.Loopback]
                )
        );
        var options = WebPushOptionsTests.Options() with { Timeout = TimeSpan.FromSeconds(2) };
        using var provider = new WebPushProvider(options, options.LoadKey("Providers:WebPush", [])!, TimeProvider.System, guard);
        var message = new OutboundMessage(
            Guid.NewGuid(),
            Subscription($"https://rebind.example.com:{port}/x"),
            new NotificationContent(Body: "b"),
            Priority.Normal,
            null
        );

        var first = await provider.SendAsync(message, TestContext.Current.CancellationToken);
        Assert.False(first is AttemptOutcome.Accepted or AttemptOutcome.Rejected, $"{first}");
        Assert.Equal(1, asked);
        Assert.Equal(
            new AttemptOutcome.Rejected(Reasons.BadAddress, "ForbiddenAddress"),
            await provider.SendAsync(message, TestContext.Current.CancellationToken)
        );
        AssertNobodyCame();
    }

    [Fact]
    public async Task Of_a_name_s_addresses_those_inside_are_left_out()
    {
        var guard = new OutboundGuard(
            false,
            (_, _) =>
                Task.FromResult<IPAddress[]>([
                    IPAddress.Loopback,
                    IPAddress.Parse("2606:4700::6810:84e5"),
                    IPAddress.Parse("::ffff:127.0.0.1"),
                    IPAddress.IPv6Loopback,
                ])
        );
        using var client = AlertWebhook.CreateClient(new AlertRules { WebhookTimeout = TimeSpan.FromSeconds(2) }, guard);
        await Assert.ThrowsAnyAsync<Exception>(() =>
            client.GetAsync($"https://mixed.example.com:{port}/", TestContext.Current.CancellationToken)
        );
        AssertNobodyCame();
    }

    private void AssertNobodyCame()
    {
        Assert.False(v4.Pending(), "somebody connected by IPv4");
        Assert.False(hasV6 && v6.Pending(), "somebody connected by IPv6");
    }

    private static string Subscription(string endpoint)
    {
        using var browser = ECDiffieHellman.Create(ECCurve.NamedCurves.nistP256);
        var q = browser.ExportParameters(false).Q;
        return JsonSerializer.Serialize(
            new
            {
                endpoint,
                keys = new { p256dh = Base64Url.EncodeToString([4, .. q.X!, .. q.Y!]), auth = Base64Url.EncodeToString(new byte[16]) },
            }
        );
    }
}
