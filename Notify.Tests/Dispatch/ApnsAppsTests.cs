namespace Notify.Tests.Dispatch;

using System.Security.Cryptography;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Time.Testing;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Providers.Apns;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using static Notify.Tests.Dispatch.ScriptedServer;

public sealed class ApnsAppsTests : IAsyncDisposable
{
    private const string Token = "5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f";
    private readonly ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256),
        other = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private readonly FakeTimeProvider clock = new(new DateTimeOffset(2026, 5, 4, 12, 10, 0, TimeSpan.Zero));
    private readonly List<IAsyncDisposable> servers = [];

    public async ValueTask DisposeAsync()
    {
        key.Dispose();
        other.Dispose();
        foreach (var server in servers)
            await server.DisposeAsync();
    }

    [Fact]
    public async Task Push_goes_by_the_settings_of_the_app_that_its_device_names()
    {
        var (production, sandbox) = (await ServeAsync(Answer(200)), await ServeAsync(Answer(200)));
        using var provider = Provider(
            production.Url,
            new()
            {
                ["driver"] = new() { Topic = "com.example.driver" },
                ["driver-dev"] = new()
                {
                    Topic = "com.example.driver",
                    Environment = "sandbox",
                    BaseUrl = sandbox.Url,
                },
                ["partner"] = new()
                {
                    Topic = "com.partner",
                    TeamId = "PARTNER123",
                    KeyId = "OTHERKEY12",
                    PrivateKey = other.ExportPkcs8PrivateKeyPem(),
                },
            }
        );

        await SendAsync(provider, null);
        await SendAsync(provider, new DeviceApp("com.example.driver"));
        await SendAsync(provider, new DeviceApp("com.example.driver", PushEnvironment.Sandbox));
        await SendAsync(provider, new DeviceApp("com.partner"));

        Assert.Equal(["com.example.app", "com.example.driver", "com.partner"], production.Received.Select(r => r.Headers["apns-topic"]));
        Assert.Equal(["com.example.driver"], sandbox.Received.Select(r => r.Headers["apns-topic"]));
        Assert.Equal(2, production.Received.Concat(sandbox.Received).Select(r => r.Headers["authorization"]).Distinct().Count());
        Assert.Equal(["default", "driver", "driver-dev", "partner"], provider.Apps.Select(a => a.Name));
    }

    [Theory]
    [InlineData("com.example.driver", null)]
    [InlineData("com.example.app", PushEnvironment.Sandbox)]
    [InlineData(null, PushEnvironment.Sandbox)]
    public async Task Device_of_an_app_without_settings_is_sent_nothing(string? app, PushEnvironment? environment)
    {
        var server = await ServeAsync(Answer(200));
        using var provider = Provider(server.Url, []);

        var outcome = await SendAsync(provider, new DeviceApp(app, environment));

        Assert.Equal(new AttemptOutcome.Retry(Reasons.AppNotConfigured, null, TimeSpan.FromMinutes(1), IsCall: false), outcome);
        Assert.Empty(server.Received);
    }

    [Fact]
    public async Task App_whose_server_fails_is_left_alone_and_delays_no_other()
    {
        var (well, ill) = (await ServeAsync(Answer(200)), await ServeAsync(Answer(503)));
        using var provider = Provider(
            well.Url,
            new()
            {
                ["driver"] = new() { Topic = "com.example.driver", BaseUrl = ill.Url },
            }
        );
        var app = new DeviceApp("com.example.driver");

        var outcomes = new List<AttemptOutcome>();
        for (var i = 0; i < 20; i++)
            outcomes.Add(await SendAsync(provider, app));

        Assert.InRange(ill.Received.Count, 1, 10);
        Assert.All(
            outcomes.Skip(10),
            o => Assert.Equal((Reasons.AppPaused, false), o is AttemptOutcome.Retry r ? (r.Reason, r.IsCall) : default)
        );
        Assert.IsType<AttemptOutcome.Accepted>(await SendAsync(provider, null));

        // When the pause has passed, one push is tried.
        var before = ill.Received.Count;
        clock.Advance(TimeSpan.FromSeconds(11));
        Assert.Equal(new AttemptOutcome.Retry(Reasons.Retry, "503"), await SendAsync(provider, app));
        Assert.Equal(Reasons.AppPaused, Assert.IsType<AttemptOutcome.Retry>(await SendAsync(provider, app)).Reason);
        Assert.Equal(before + 1, ill.Received.Count);
    }

    [Fact]
    public async Task Only_app_of_an_installation_is_always_tried()
    {
        var server = await ServeAsync(Answer(503));
        using var provider = Provider(server.Url, []);
        for (var i = 0; i < 20; i++)
            await SendAsync(provider, null);
        Assert.Equal(20, server.Received.Count);
    }

    [Fact]
    public async Task Refused_app_is_not_taken_for_a_server_that_fails()
    {
        var server = await ServeAsync(Answer(400, """{"reason":"TopicDisallowed"}"""));
        using var provider = Provider(server.Url, new() { ["driver"] = new() { Topic = "com.example.driver" } });
        for (var i = 0; i < 20; i++)
            Assert.Equal(new AttemptOutcome.Halted("TopicDisallowed"), await SendAsync(provider, new DeviceApp("com.example.driver")));
    }

    // Apple: Sending notification requests to APNs, «Development server: api.sandbox.push.apple.com».
    [Theory]
    [InlineData(null, null, null, "https://api.push.apple.com/", PushEnvironment.Production)]
    [InlineData(null, "Sandbox", null, "https://api.sandbox.push.apple.com/", PushEnvironment.Sandbox)]
    [InlineData("https://api.sandbox.push.apple.com", "production", null, "https://api.push.apple.com/", PushEnvironment.Production)]
    [InlineData("https://127.0.0.1:5091", "sandbox", null, "https://127.0.0.1:5091/", PushEnvironment.Sandbox)]
    [InlineData(
        "https://127.0.0.1:5091",
        null,
        "https://api.sandbox.push.apple.com",
        "https://api.sandbox.push.apple.com/",
        PushEnvironment.Sandbox
    )]
    public void Environment_decides_the_address(string? own, string? environment, string? address, string expected, PushEnvironment servers)
    {
        var app = new ApnsAppOptions
        {
            Topic = "com.example.driver",
            Environment = environment,
            BaseUrl = address is null ? null : new Uri(address),
        };
        var found = Assert.Single(ApnsApps.Further(Options(own is null ? null : new Uri(own), new() { ["driver"] = app }), key, "P", []));
        Assert.Equal((expected, servers), (found.Address.AbsoluteUri, found.Identity.Environment));
    }

    [Fact]
    public void Wrong_settings_of_an_app_name_every_fault()
    {
        var settings = new Dictionary<string, string?>
        {
            ["P:TeamId"] = "TEAMID1234",
            ["P:KeyId"] = "KEYID67890",
            ["P:Topic"] = "com.example.app",
            ["P:PrivateKey"] = key.ExportPkcs8PrivateKeyPem(),
            ["P:Apps:a:TeamId"] = "OTHER12345",
            ["P:Apps:b:Topic"] = "com.example.app",
            ["P:Apps:c:Topic"] = "com.example.c",
            ["P:Apps:c:Environment"] = "staging",
            ["P:Apps:d:Topic"] = "com.example.d",
            ["P:Apps:d:BaseUrl"] = "nowhere",
        };
        var faults = new List<string>();
        Assert.Null(ApnsProvider.Create(new ConfigurationBuilder().AddInMemoryCollection(settings).Build().GetSection("P"), clock, faults));
        Assert.Equal(
            ["P:Apps:a:Topic", "P:Apps:a:KeyId", "P:Apps:a:PrivateKeyPath", "P:Apps:b", "P:Apps:c:Environment", "P:Apps:d:BaseUrl"],
            faults.Select(f => f.Split(' ')[0])
        );
    }

    private async Task<ScriptedServer> ServeAsync(Script script)
    {
        var server = await Http2Async(script);
        servers.Add(server);
        return server;
    }

    private static ApnsOptions Options(Uri? url, Dictionary<string, ApnsAppOptions> apps) =>
        new()
        {
            TeamId = "TEAMID1234",
            KeyId = "KEYID67890",
            Topic = "com.example.app",
            BaseUrl = url,
            TrustedCaPath = Certificate.CaPath,
            Timeout = TimeSpan.FromSeconds(20),
            Apps = apps,
        };

    private ApnsProvider Provider(Uri url, Dictionary<string, ApnsAppOptions> apps)
    {
        var (options, faults) = (Options(url, apps), new List<string>());
        var further = ApnsApps.Further(options, key, "Providers:Apns", faults);
        Assert.Empty(faults);
        return new ApnsProvider(options, key, clock, further);
    }

    private static Task<AttemptOutcome> SendAsync(ApnsProvider provider, DeviceApp? app) =>
        provider.SendAsync(
            new OutboundMessage(Guid.NewGuid(), Token, new NotificationContent("t", "b"), Priority.Normal, null, App: app),
            TestContext.Current.CancellationToken
        );
}
