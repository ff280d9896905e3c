namespace Notify.Tests.Dispatch;

using System.Security.Cryptography;
using System.Text.Json;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Time.Testing;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Providers.Apns;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using static Notify.Tests.Dispatch.ScriptedServer;

public sealed class ApnsProviderTests : IAsyncDisposable
{
    private const string Token = "5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f";
    private static readonly Guid Id = Guid.Parse("e82ef91d-0847-8010-a731-d0a6056833f9");
    private readonly ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private readonly FakeTimeProvider clock = new(new DateTimeOffset(2026, 5, 4, 12, 10, 0, TimeSpan.Zero));
    private readonly List<IAsyncDisposable> servers = [];
    private ApnsProvider? provider;

    public async ValueTask DisposeAsync()
    {
        provider?.Dispose();
        key.Dispose();
        foreach (var server in servers)
            await server.DisposeAsync();
    }

    [Fact]
    public async Task A_push_is_sent_as_Apple_wants_it()
    {
        var server = await ServeAsync(Answer(200, "", ("apns-id", "apple-1")));
        var outcome = await SendAsync(Message(expiresAt: clock.GetUtcNow().AddHours(1)));
        Assert.Equal(new AttemptOutcome.Accepted("apple-1"), outcome);

        var request = Assert.Single(server.Received);
        Assert.Equal(("POST", $"/3/device/{Token}", "HTTP/2"), (request.Method, request.Target, request.Protocol));
        Assert.StartsWith("bearer ey", request.Headers["authorization"], StringComparison.Ordinal);
        Assert.Equal("com.example.app", request.Headers["apns-topic"]);
        Assert.Equal("alert", request.Headers["apns-push-type"]);
        Assert.Equal("10", request.Headers["apns-priority"]);
        Assert.Equal(Id.ToString(), request.Headers["apns-id"]);
        Assert.InRange(request.Headers["apns-collapse-id"].Length, 1, 64);
        Assert.Equal($"{clock.GetUtcNow().AddHours(1).ToUnixTimeSeconds()}", request.Headers["apns-expiration"]);
        var aps = JsonDocument.Parse(request.Body).RootElement.GetProperty("aps");
        Assert.Equal(
            ("Shipped", "It comes “tomorrow” 👋"),
            (aps.GetProperty("alert").GetProperty("title").GetString(), aps.GetProperty("alert").GetProperty("body").GetString())
        );
    }

    [Fact]
    public async Task A_repeat_replaces_itself_on_the_device()
    {
        var server = await ServeAsync(Answer(200));
        await SendAsync(Message());
        await SendAsync(Message());
        await SendAsync(Message() with { DeliveryId = Guid.NewGuid() });
        var ids = server.Received.Select(r => (r.Headers["apns-id"], r.Headers["apns-collapse-id"])).ToList();
        Assert.Equal(ids[0], ids[1]);
        Assert.NotEqual(ids[0], ids[2]);
    }

    [Theory]
    [InlineData(Priority.Critical, "10")]
    [InlineData(Priority.Normal, "10")]
    [InlineData(Priority.Bulk, "5")]
    public async Task Bulk_may_wait_for_the_device_s_convenience(Priority priority, string apnsPriority)
    {
        var server = await ServeAsync(Answer(200));
        await SendAsync(Message() with { Priority = priority });
        Assert.Equal(apnsPriority, server.Received[0].Headers["apns-priority"]);
        Assert.False(server.Received[0].Headers.ContainsKey("apns-expiration"));
    }

    // Apple, apns-expiration: a UNIX epoch in seconds; APNs stores a notification for 30 days at most.
    [Theory]
    [InlineData(29, 29)]
    [InlineData(30, 30)]
    [InlineData(31, 30)]
    [InlineData(400, 30)]
    public async Task Expiration_is_at_most_thirty_days_ahead(int days, int expected)
    {
        var server = await ServeAsync(Answer(200));
        await SendAsync(Message(expiresAt: clock.GetUtcNow().AddDays(days)));
        Assert.Equal($"{clock.GetUtcNow().AddDays(expected).ToUnixTimeSeconds()}", server.Received[0].Headers["apns-expiration"]);
    }

    [Fact]
    public async Task Page_of_a_gateway_is_no_yes()
    {
        await ServeAsync(Answer(200, "<html>Sign in</html>"));
        Assert.Equal(new AttemptOutcome.Unknown(Reasons.UnreadableAnswer), await SendAsync(Message()));
    }

    public static readonly TheoryData<int, string, AttemptOutcome> Errors = new()
    {
        { 404, """{"reason":"BadPath"}""", new AttemptOutcome.Halted("BadPath") },
        { 405, """{"reason":"MethodNotAllowed"}""", new AttemptOutcome.Halted("MethodNotAllowed") },
        { 400, """{"reason":"IdleTimeout"}""", new AttemptOutcome.Retry(Reasons.Retry, "IdleTimeout", TimeSpan.FromSeconds(30)) },
        { 400, """{"reason":"BadDeviceToken"}""", new AttemptOutcome.Rejected(Reasons.BadAddress, "BadDeviceToken") },
        { 400, """{"reason":"DeviceTokenNotForTopic"}""", new AttemptOutcome.Rejected(Reasons.BadAddress, "DeviceTokenNotForTopic") },
        { 400, """{"reason":"BadTopic"}""", new AttemptOutcome.Halted("BadTopic") },
        { 400, """{"reason":"MissingTopic"}""", new AttemptOutcome.Halted("MissingTopic") },
        { 400, """{"reason":"PayloadEmpty"}""", new AttemptOutcome.Rejected(Reasons.Rejected, "PayloadEmpty") },
        { 403, """{"reason":"Forbidden"}""", new AttemptOutcome.Halted("Forbidden") },
        { 403, """{"reason":"BadCertificate"}""", new AttemptOutcome.Halted("BadCertificate") },
        {
            410,
            """{"reason":"ExpiredToken","timestamp":1777593600000}""",
            new AttemptOutcome.Rejected(
                Reasons.Unregistered,
                "ExpiredToken",
                AddressVerdict.Dead,
                DateTimeOffset.FromUnixTimeMilliseconds(1777593600000)
            )
        },
        {
            429,
            """{"reason":"TooManyProviderTokenUpdates"}""",
            new AttemptOutcome.Retry(Reasons.Retry, "TooManyProviderTokenUpdates", TimeSpan.FromSeconds(30))
        },
        { 503, """{"reason":"Shutdown"}""", new AttemptOutcome.Retry(Reasons.Retry, "Shutdown", TimeSpan.FromSeconds(30)) },
        { 400, """{"reason":"TopicDisallowed"}""", new AttemptOutcome.Halted("TopicDisallowed") },
        { 403, """{"reason":"InvalidProviderToken"}""", new AttemptOutcome.Halted("InvalidProviderToken") },
        {
            410,
            """{"reason":"Unregistered","timestamp":1777593600000}""",
            new AttemptOutcome.Rejected(
                Reasons.Unregistered,
                "Unregistered",
                AddressVerdict.Dead,
                DateTimeOffset.FromUnixTimeMilliseconds(1777593600000)
            )
        },
        { 413, """{"reason":"PayloadTooLarge"}""", new AttemptOutcome.Rejected(Reasons.TooLarge, "PayloadTooLarge") },
        {
            429,
            """{"reason":"TooManyRequests"}""",
            new AttemptOutcome.Retry(Reasons.Retry, "TooManyRequests", TimeSpan.FromSeconds(30), ConcernsAddress: true)
        },
        { 500, "", new AttemptOutcome.Retry(Reasons.Retry, "500", TimeSpan.FromSeconds(30)) },
        { 503, "<html>", new AttemptOutcome.Retry(Reasons.Retry, "503", TimeSpan.FromSeconds(30)) },
        { 400, """{"reason":""", new AttemptOutcome.Retry(Reasons.Retry, "400", TimeSpan.FromSeconds(30)) },
        {
            410,
            """{"reason":"Unregistered","timestamp":"soon"}""",
            new AttemptOutcome.Rejected(Reasons.Unregistered, "Unregistered", AddressVerdict.Dead)
        },
    };

    [Theory, MemberData(nameof(Errors))]
    public async Task An_error_becomes_an_outcome(int status, string body, AttemptOutcome expected)
    {
        var server = await ServeAsync(Answer(status, body, ("retry-after", "30")));
        Assert.Equal(expected, await SendAsync(Message()));
        Assert.Single(server.Received);
    }

    [Fact]
    public async Task An_expired_token_is_signed_anew_once()
    {
        var server = await ServeAsync(
            InTurn(Answer(403, """{"reason":"ExpiredProviderToken"}"""), Answer(200, "", ("apns-id", "apple-1")))
        );
        Assert.Equal(new AttemptOutcome.Accepted("apple-1"), await SendAsync(Message()));
        Assert.Equal(2, server.Received.Select(r => r.Headers["authorization"]).Distinct().Count());
        await SendAsync(Message());
        Assert.Equal(server.Received[1].Headers["authorization"], server.Received[2].Headers["authorization"]);
    }

    [Fact]
    public async Task A_token_that_stays_expired_halts_after_the_second_call()
    {
        var server = await ServeAsync(Answer(403, """{"reason":"ExpiredProviderToken"}"""));
        Assert.Equal(new AttemptOutcome.Halted("ExpiredProviderToken"), await SendAsync(Message()));
        Assert.Equal(2, server.Received.Count);
    }

    [Fact]
    public async Task Silence_is_an_unknown_outcome()
    {
        await ServeAsync(Silence, timeout: TimeSpan.FromMilliseconds(300));
        Assert.Equal(new AttemptOutcome.Unknown(Reasons.TimedOut), await SendAsync(Message()));
    }

    [Fact]
    public async Task A_stream_broken_after_the_request_left_is_an_unknown_outcome()
    {
        await ServeAsync(Break);
        Assert.Equal(new AttemptOutcome.Unknown(Reasons.ConnectionLost), await SendAsync(Message()));
    }

    [Fact]
    public async Task A_connection_broken_amid_the_answer_is_an_unknown_outcome()
    {
        await ServeAsync(
            async (_, context) =>
            {
                context.Response.ContentLength = 100;
                await context.Response.Body.WriteAsync("half"u8.ToArray());
                await context.Response.Body.FlushAsync();
                context.Abort();
            }
        );
        Assert.Equal(new AttemptOutcome.Unknown(Reasons.ConnectionLost), await SendAsync(Message()));
    }

    [Fact]
    public async Task A_stream_that_was_refused_unread_is_sent_again()
    {
        const int RefusedStream = 7;
        await ServeAsync(
            InTurn(
                (_, context) =>
                {
                    context.Features.GetRequiredFeature<IHttpResetFeature>().Reset(RefusedStream);
                    return Task.CompletedTask;
                },
                Answer(200, "", ("apns-id", "apple-1"))
            )
        );
        Assert.Equal(new AttemptOutcome.Accepted("apple-1"), await SendAsync(Message()));
    }

    [Fact]
    public async Task A_refused_connection_is_tried_again_since_nothing_left()
    {
        Use(new Uri($"https://127.0.0.1:{ClosedPort()}"));
        Assert.Equal(Reasons.ConnectionLost, Assert.IsType<AttemptOutcome.Retry>(await SendAsync(Message())).Reason);
    }

    [Fact]
    public async Task A_server_with_a_strange_certificate_gets_nothing()
    {
        var server = await Http2Async(Answer(200));
        servers.Add(server);
        Use(server.Url, ca: Certificate.OtherCaPath);
        Assert.IsType<AttemptOutcome.Retry>(await SendAsync(Message()));
        Assert.Empty(server.Received);
    }

    [Fact]
    public async Task Goaway_is_survived()
    {
        var first = await ServeAsync(Answer(200, "", ("apns-id", "apple-1")));
        Assert.Equal(new AttemptOutcome.Accepted("apple-1"), await SendAsync(Message()));
        await first.StopAsync();
        servers.Add(await Http2Async(Answer(200, "", ("apns-id", "apple-2")), first.Url.Port));
        Assert.Equal(new AttemptOutcome.Accepted("apple-2"), await SendAsync(Message()));
    }

    [Fact]
    public async Task Many_pushes_share_few_connections()
    {
        var server = await ServeAsync(Answer(200));
        await SendAsync(Message());
        var outcomes = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => SendAsync(Message() with { DeliveryId = Guid.NewGuid() })));
        Assert.All(outcomes, o => Assert.IsType<AttemptOutcome.Accepted>(o));
        Assert.InRange(server.Received.Select(r => r.Connection).Distinct().Count(), 1, 2);
    }

    [Theory]
    [InlineData("../../etc/passwd")]
    [InlineData("5e0f?x=1")]
    [InlineData("5e0f\r\nx: y")]
    [InlineData("héx")]
    public async Task Malformed_token_is_rejected_without_a_call(string token)
    {
        var server = await ServeAsync(Answer(200));
        Assert.Equal(
            Reasons.BadAddress,
            Assert.IsType<AttemptOutcome.Rejected>(await SendAsync(Message() with { Address = token })).Reason
        );
        Assert.Empty(server.Received);
    }

    [Fact]
    public async Task Oversized_payload_is_rejected_without_a_call()
    {
        var server = await ServeAsync(Answer(200));
        var outcome = await SendAsync(Message() with { Content = new NotificationContent("t", new string('가', 1400)) });
        Assert.Equal(new AttemptOutcome.Rejected(Reasons.TooLarge, "PayloadTooLarge"), outcome);
        Assert.Empty(server.Received);
    }

    [Fact]
    public void The_payload_has_what_there_is_and_nothing_else()
    {
        using var data = JsonDocument.Parse("""{ "order": 7 }""");
        var full = JsonDocument
            .Parse(
                ApnsPayload.Write(
                    Message() with
                    {
                        Content = new NotificationContent("t", "b", "<p>", data.RootElement, "https://x.example/y"),
                    }
                )
            )
            .RootElement;
        Assert.Equal("https://x.example/y", full.GetProperty("url").GetString());
        Assert.Equal(7, full.GetProperty("data").GetProperty("order").GetInt32());
        Assert.Equal(Id, full.GetProperty("deliveryId").GetGuid());
        var bare = JsonDocument.Parse(ApnsPayload.Write(Message() with { Content = new NotificationContent(Body: "b") })).RootElement;
        Assert.Equal(["aps", "deliveryId"], bare.EnumerateObject().Select(p => p.Name));
        Assert.Equal(["body"], bare.GetProperty("aps").GetProperty("alert").EnumerateObject().Select(p => p.Name));
    }

    [Fact]
    public void A_wrong_configuration_names_every_fault()
    {
        var faults = new List<string>();
        Assert.Null(new ApnsOptions { PrivateKeyPath = "/nowhere.p8", TrustedCaPath = "/nowhere.pem" }.LoadKey("Providers:Apns", faults));
        Assert.Equal(5, faults.Count);
        Assert.All(
            new[] { "TeamId", "KeyId", "Topic", "TrustedCaPath", "PrivateKeyPath" },
            name => Assert.Contains(faults, f => f.Contains($"Providers:Apns:{name}"))
        );
    }

    [Theory]
    [InlineData("not a key", "cannot be read")]
    [InlineData("P-384", "P-256")]
    [InlineData("public", "private")]
    public void A_wrong_key_is_told_in_one_line(string kind, string expected)
    {
        using var other = ECDsa.Create(kind == "P-384" ? ECCurve.NamedCurves.nistP384 : ECCurve.NamedCurves.nistP256);
        var pem = kind switch
        {
            "P-384" => other.ExportPkcs8PrivateKeyPem(),
            "public" => other.ExportSubjectPublicKeyInfoPem(),
            _ => kind,
        };
        var faults = new List<string>();
        Assert.Null(
            new ApnsOptions
            {
                TeamId = "T",
                KeyId = "K",
                Topic = "t",
                PrivateKey = pem,
            }.LoadKey("Providers:Apns", faults)
        );
        Assert.Contains(expected, Assert.Single(faults), StringComparison.Ordinal);
        Assert.DoesNotContain('\n', faults[0]);
    }

    [Fact]
    public void A_right_key_is_loaded()
    {
        var faults = new List<string>();
        using var loaded = new ApnsOptions
        {
            TeamId = "T",
            KeyId = "K",
            Topic = "t",
            PrivateKey = key.ExportPkcs8PrivateKeyPem(),
        }.LoadKey("Providers:Apns", faults);
        Assert.Empty(faults);
        Assert.NotNull(loaded);
    }

    private async Task<ScriptedServer> ServeAsync(Script script, TimeSpan? timeout = null)
    {
        var server = await Http2Async(script);
        servers.Add(server);
        Use(server.Url, timeout: timeout);
        return server;
    }

    private void Use(Uri url, string? ca = null, TimeSpan? timeout = null) =>
        provider = new ApnsProvider(
            new ApnsOptions
            {
                TeamId = "TEAMID1234",
                KeyId = "KEYID67890",
                Topic = "com.example.app",
                BaseUrl = url,
                TrustedCaPath = ca ?? Certificate.CaPath,
                Timeout = timeout ?? TimeSpan.FromSeconds(20),
            },
            key,
            clock
        );

    private Task<AttemptOutcome> SendAsync(OutboundMessage message) => provider!.SendAsync(message, TestContext.Current.CancellationToken);

    private static OutboundMessage Message(DateTimeOffset? expiresAt = null) =>
        new(Id, Token, new NotificationContent("Shipped", "It comes “tomorrow” 👋"), Priority.Normal, expiresAt);
}
