namespace Notify.Tests.Dispatch.WebPush;

using System.Buffers.Text;
using System.Text.Json;
using Microsoft.Extensions.Time.Testing;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Providers.WebPush;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Sandbox.WebPush;
using static Notify.Tests.Dispatch.ScriptedServer;

public sealed class WebPushProviderTests : IAsyncDisposable
{
    private static readonly Guid Id = Guid.Parse("e82ef91d-0847-8010-a731-d0a6056833f9");
    private readonly WebPushOptions options = WebPushOptionsTests.Options() with
    {
        AllowPrivateNetworks = true,
        Timeout = TimeSpan.FromSeconds(20),
    };
    private readonly FakeTimeProvider clock = new(new DateTimeOffset(2026, 5, 4, 12, 10, 0, TimeSpan.Zero));
    private readonly Subscription browser = new Subscriptions().Create(null, null);
    private readonly List<IAsyncDisposable> servers = [];
    private Uri endpoint = new("https://push.example.com/x");
    private WebPushProvider? provider;

    public async ValueTask DisposeAsync()
    {
        provider?.Dispose();
        foreach (var server in servers)
            await server.DisposeAsync();
    }

    [Fact]
    public async Task A_message_is_sent_as_the_RFCs_want_it()
    {
        var server = await ServeAsync(Answer(201, "", ("Location", "https://push.example.com/m/1")));
        var outcome = await SendAsync(Message());
        var request = Assert.Single(server.Received);

        Assert.Equal(("POST", "/push/x?y=1"), (request.Method, request.Target));
        Assert.Equal("aes128gcm", request.Headers["content-encoding"]);
        Assert.Equal("2419200", request.Headers["ttl"]);
        Assert.Equal("6C75HQhHgBCnMdCmBWgz-Q", request.Headers["topic"]);
        Assert.Equal("normal", request.Headers["urgency"]);
        var id = Assert.IsType<AttemptOutcome.Accepted>(outcome).MessageId!;
        Assert.DoesNotContain("push.example.com", id); // the address allows to delete the message
        Assert.Equal(22, id.Length);
    }

    [Fact]
    public async Task The_token_is_for_the_origin_alone_and_signed_by_the_public_key()
    {
        var server = await ServeAsync(Answer(201));
        await SendAsync(Message());
        var authorization = server.Received[0].Headers["authorization"];
        Assert.StartsWith("vapid t=", authorization, StringComparison.Ordinal);
        Assert.EndsWith($", k={options.PublicKey}", authorization, StringComparison.Ordinal);
        Assert.Null(
            new VapidTokens().Check(authorization, server.Url.GetLeftPart(UriPartial.Authority), options.PublicKey, clock.GetUtcNow())
        );
    }

    [Fact]
    public async Task A_token_is_shared_for_hours_and_never_good_for_more_than_twelve()
    {
        var server = await ServeAsync(Answer(201));
        var began = clock.GetUtcNow();
        for (var i = 0; i <= 24; i++)
        {
            await SendAsync(Message());
            var left = Expiry(server.Received[i].Headers["authorization"]) - clock.GetUtcNow();
            Assert.InRange(left, TimeSpan.FromHours(6), TimeSpan.FromHours(12));
            clock.SetUtcNow(began.AddMinutes(30 * (i + 1)));
        }

        Assert.InRange(server.Received.Select(r => r.Headers["authorization"]).Distinct().Count(), 2, 3);

        static DateTimeOffset Expiry(string authorization)
        {
            var claims = JsonDocument.Parse(Base64Url.DecodeFromChars(authorization.Split('.')[1])).RootElement;
            return DateTimeOffset.FromUnixTimeSeconds(claims.GetProperty("exp").GetInt64());
        }
    }

    [Theory]
    [InlineData(Priority.Critical, "high")]
    [InlineData(Priority.Normal, "normal")]
    [InlineData(Priority.Bulk, "low")]
    public async Task The_priority_is_the_urgency(Priority priority, string urgency)
    {
        var server = await ServeAsync(Answer(201));
        await SendAsync(Message() with { Priority = priority });
        Assert.Equal(urgency, server.Received[0].Headers["urgency"]);
    }

    [Theory]
    [InlineData(90, "90")]
    [InlineData(-5, "0")]
    [InlineData(100 * 86400, "2419200")]
    public async Task Ttl_ends_at_the_expiry(int seconds, string ttl)
    {
        var server = await ServeAsync(Answer(201));
        await SendAsync(Message() with { ExpiresAt = clock.GetUtcNow().AddSeconds(seconds) });
        Assert.Equal(ttl, server.Received[0].Headers["ttl"]);
    }

    [Fact]
    public async Task A_repeat_replaces_itself_and_nothing_else()
    {
        var server = await ServeAsync(Answer(201));
        await SendAsync(Message());
        await SendAsync(Message());
        await SendAsync(Message() with { DeliveryId = Guid.NewGuid() });
        var topics = server.Received.Select(r => r.Headers["topic"]).ToList();
        Assert.Equal(topics[0], topics[1]);
        Assert.NotEqual(topics[0], topics[2]);
        Assert.All(topics, t => Assert.InRange(t.Length, 1, 32));
        Assert.Equal(topics[0], JsonDocument.Parse(WebPushProvider.Payload(Message())).RootElement.GetProperty("tag").GetString());
    }

    [Fact]
    public void The_payload_has_what_there_is_and_nothing_else()
    {
        using var data = JsonDocument.Parse("""{ "order": 7 }""");
        var full = JsonDocument
            .Parse(
                WebPushProvider.Payload(
                    Message() with
                    {
                        Content = new NotificationContent("t", "b", "<p>", data.RootElement, "https://x.example/y"),
                    }
                )
            )
            .RootElement;
        Assert.Equal(["title", "body", "url", "data", "deliveryId", "tag"], full.EnumerateObject().Select(p => p.Name));
        Assert.Equal(Id, full.GetProperty("deliveryId").GetGuid());
        var bare = JsonDocument.Parse(WebPushProvider.Payload(Message() with { Content = new NotificationContent(Body: "b") })).RootElement;
        Assert.Equal(["body", "deliveryId", "tag"], bare.EnumerateObject().Select(p => p.Name));
    }

    private static readonly TimeSpan Half = TimeSpan.FromSeconds(30);

    public static readonly TheoryData<int, AttemptOutcome> Errors = new()
    {
        { 307, new AttemptOutcome.Rejected(Reasons.Rejected, "307") },
        { 400, new AttemptOutcome.Rejected(Reasons.Rejected, "400") },
        { 401, new AttemptOutcome.Halted("401", IsAttempt: true) },
        { 403, new AttemptOutcome.Halted("403", IsAttempt: true) },
        {
            404,
            new AttemptOutcome.Rejected(
                Reasons.Unregistered,
                "404",
                AddressVerdict.Dead,
                new DateTimeOffset(2026, 5, 4, 12, 10, 0, TimeSpan.Zero)
            )
        },
        {
            410,
            new AttemptOutcome.Rejected(
                Reasons.Unregistered,
                "410",
                AddressVerdict.Dead,
                new DateTimeOffset(2026, 5, 4, 12, 10, 0, TimeSpan.Zero)
            )
        },
        { 406, new AttemptOutcome.Retry(Reasons.Retry, "406", Half) }, // Microsoft: «the cloud service exceeded its throttle limit»
        { 413, new AttemptOutcome.Rejected(Reasons.TooLarge, "413") },
        { 425, new AttemptOutcome.Retry(Reasons.Retry, "425", Half) },
        { 429, new AttemptOutcome.Retry(Reasons.Retry, "429", Half) },
        { 500, new AttemptOutcome.Retry(Reasons.Retry, "500", Half) },
        { 503, new AttemptOutcome.Retry(Reasons.Retry, "503", Half) },
    };

    [Theory, MemberData(nameof(Errors))]
    public async Task An_error_becomes_an_outcome(int status, AttemptOutcome expected)
    {
        var server = await ServeAsync(Answer(status, "{}", ("Retry-After", "30"), ("Location", "/elsewhere")));
        Assert.Equal(expected, await SendAsync(Message()));
        Assert.Single(server.Received); // a redirect is not followed
    }

    // RFC 8030, 5: 201 and the message's Location; 5.1: 202 for later.
    [Theory]
    [InlineData(201, null, true)]
    [InlineData(202, null, true)]
    [InlineData(200, "/m/1", true)]
    [InlineData(200, null, false)]
    [InlineData(204, null, false)]
    public async Task Only_the_push_services_own_yes_is_one(int status, string? location, bool accepted)
    {
        await ServeAsync(Answer(status, "", location is null ? [] : [("Location", location)]));
        var outcome = await SendAsync(Message());
        if (accepted)
            Assert.IsType<AttemptOutcome.Accepted>(outcome);
        else
            Assert.Equal(new AttemptOutcome.Unknown(Reasons.UnreadableAnswer), outcome);
    }

    // W3C Push API, userVisibleOnly: a browser shows a line of its own for a push without a notification.
    [Fact]
    public async Task Data_alone_does_not_go_to_a_browser()
    {
        var server = await ServeAsync(Answer(201));
        using var data = JsonDocument.Parse("""{ "order": 7 }""");
        var message = Message() with { Content = new NotificationContent(Data: data.RootElement) };
        Assert.Equal(new AttemptOutcome.Rejected(Reasons.NoContent, "DataAlone"), await SendAsync(message));
        Assert.Empty(server.Received);
    }

    [Fact]
    public async Task A_refusal_is_about_the_subscription_where_others_are_accepted_with_the_same_token()
    {
        await ServeAsync(InTurn(Answer(201), Answer(403), Answer(403)));
        await SendAsync(Message());
        Assert.Equal(new AttemptOutcome.Rejected(Reasons.BadAddress, "403"), await SendAsync(Message()));
        clock.Advance(PushService.Trusted);
        Assert.Equal(new AttemptOutcome.Halted("403", IsAttempt: true), await SendAsync(Message()));
    }

    [Fact]
    public async Task Silence_is_an_unknown_outcome()
    {
        await ServeAsync(Silence, options with { Timeout = TimeSpan.FromMilliseconds(300) });
        Assert.Equal(new AttemptOutcome.Unknown(Reasons.TimedOut), await SendAsync(Message()));
    }

    [Fact]
    public async Task A_connection_broken_after_the_request_left_is_an_unknown_outcome()
    {
        await ServeAsync(Break);
        Assert.Equal(new AttemptOutcome.Unknown(Reasons.ConnectionLost), await SendAsync(Message()));
    }

    [Fact]
    public async Task An_answer_s_body_is_not_waited_for_and_may_be_nonsense()
    {
        await ServeAsync(
            async (_, context) =>
            {
                context.Response.StatusCode = 201;
                context.Response.ContentLength = 1_000_000;
                await context.Response.Body.WriteAsync("<html>"u8.ToArray());
                await context.Response.Body.FlushAsync();
                await Task.Delay(Timeout.Infinite, context.RequestAborted).ContinueWith(_ => { }, TaskScheduler.Default);
            }
        );
        Assert.Equal(new AttemptOutcome.Accepted(null), await SendAsync(Message()));
    }

    [Fact]
    public async Task A_silent_service_holds_no_more_than_its_share()
    {
        var server = await ServeAsync(InTurn(Silence), options with { Timeout = TimeSpan.FromSeconds(2), Concurrency = 8 });
        Assert.IsType<AttemptOutcome.Unknown>(await SendAsync(Message()));
        var outcomes = await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => SendAsync(Message())));
        Assert.Equal(2, outcomes.OfType<AttemptOutcome.Unknown>().Count());
        Assert.Equal(4, outcomes.Count(o => o is AttemptOutcome.Retry { Code: "PushServiceSilent" }));
        Assert.Equal(3, server.Received.Count);
    }

    [Fact]
    public async Task A_service_that_answers_again_has_all_there_is()
    {
        var server = await ServeAsync(InTurn(Break, Answer(201)), options with { Concurrency = 4 });
        Assert.IsType<AttemptOutcome.Unknown>(await SendAsync(Message()));
        Assert.IsType<AttemptOutcome.Accepted>(await SendAsync(Message()));
        Assert.All(
            await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => SendAsync(Message()))),
            o => Assert.IsType<AttemptOutcome.Accepted>(o)
        );
        Assert.Equal(6, server.Received.Count);
    }

    [Fact]
    public async Task A_refused_connection_is_tried_again_since_nothing_left()
    {
        Use(new Uri($"http://127.0.0.1:{ClosedPort()}"), options);
        Assert.Equal(Reasons.ConnectionLost, Assert.IsType<AttemptOutcome.Retry>(await SendAsync(Message())).Reason);
    }

    [Fact]
    public async Task Over_TLS_many_messages_share_few_connections()
    {
        var server = await Http2Async(Answer(201));
        servers.Add(server);
        Use(server.Url, options with { TrustedCaPath = Certificate.CaPath });
        await SendAsync(Message());
        Assert.All(
            await Task.WhenAll(Enumerable.Range(0, 30).Select(_ => SendAsync(Message()))),
            o => Assert.IsType<AttemptOutcome.Accepted>(o)
        );
        Assert.InRange(server.Received.Select(r => r.Connection).Distinct().Count(), 1, 2);
        Assert.All(server.Received, r => Assert.Equal("HTTP/2", r.Protocol));
    }

    [Fact]
    public async Task A_service_with_a_strange_certificate_gets_nothing()
    {
        var server = await Http2Async(Answer(201));
        servers.Add(server);
        Use(server.Url, options with { TrustedCaPath = Certificate.OtherCaPath });
        Assert.IsType<AttemptOutcome.Retry>(await SendAsync(Message()));
        Assert.Empty(server.Received);
    }

    [Theory]
    [InlineData("https")]
    [InlineData("http")]
    public async Task Our_own_network_is_not_called(string scheme)
    {
        var server = await ServeAsync(Answer(201), options with { AllowPrivateNetworks = false });
        endpoint = new UriBuilder(endpoint) { Scheme = scheme }.Uri;
        Assert.Equal(new AttemptOutcome.Rejected(Reasons.BadAddress, "ForbiddenAddress"), await SendAsync(Message()));
        Assert.Empty(server.Received);
    }

    [Fact]
    public async Task Oversized_payload_is_rejected_without_a_call()
    {
        var server = await ServeAsync(Answer(201));
        Assert.Equal(
            new AttemptOutcome.Rejected(Reasons.TooLarge, "PayloadTooLarge"),
            await SendAsync(Message() with { Content = new NotificationContent("t", new string('가', 1400)) })
        );
        Assert.Empty(server.Received);
    }

    [Theory]
    [InlineData("a token")]
    [InlineData("{}")]
    [InlineData("[]")]
    [InlineData("""{"endpoint":7,"keys":{}}""")]
    [InlineData("""{"endpoint":"https://push.example.com/x","keys":{"p256dh":"AA","auth":"AA"}}""")]
    [InlineData("""{"endpoint":"https://push.example.com/x","keys":[]}""")]
    public async Task Malformed_subscription_is_rejected_without_a_call(string address)
    {
        Use(new Uri("http://127.0.0.1:1"), options);
        Assert.Equal(
            new AttemptOutcome.Rejected(Reasons.BadAddress, "BadSubscription"),
            await provider!.SendAsync(Message() with { Address = address }, TestContext.Current.CancellationToken)
        );
    }

    [Fact]
    public async Task A_key_that_is_no_point_is_refused_without_a_call()
    {
        var server = await ServeAsync(Answer(201));
        var address = Address(endpoint, [4, .. Enumerable.Repeat((byte)1, 64)]);
        Assert.Equal(
            new AttemptOutcome.Rejected(Reasons.BadAddress, "BadKeys"),
            await provider!.SendAsync(Message() with { Address = address }, TestContext.Current.CancellationToken)
        );
        Assert.Empty(server.Received);
    }

    private async Task<ScriptedServer> ServeAsync(Script script, WebPushOptions? with = null)
    {
        var server = await Http1Async(script);
        servers.Add(server);
        Use(server.Url, with ?? options);
        return server;
    }

    private void Use(Uri url, WebPushOptions with)
    {
        endpoint = new Uri(url, "/push/x?y=1");
        var faults = new List<string>();
        provider = new WebPushProvider(with, with.LoadKey("Providers:WebPush", faults)!, clock);
        Assert.Empty(faults);
    }

    private Task<AttemptOutcome> SendAsync(OutboundMessage message) =>
        provider!.SendAsync(message with { Address = Address(endpoint, browser.PublicKey) }, TestContext.Current.CancellationToken);

    private string Address(Uri to, byte[] key) =>
        JsonSerializer.Serialize(
            new
            {
                endpoint = to.ToString(),
                keys = new { p256dh = Base64Url.EncodeToString(key), auth = Base64Url.EncodeToString(browser.Authentication) },
            }
        );

    private static OutboundMessage Message() =>
        new(Id, "", new NotificationContent("Shipped", "It comes “tomorrow” 👋"), Priority.Normal, null);
}
