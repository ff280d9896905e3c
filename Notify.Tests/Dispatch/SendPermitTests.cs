namespace Notify.Tests.Dispatch;

using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Time.Testing;
using Notify.Dispatch;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Providers.Apns;
using Notify.Dispatch.Providers.Email;
using Notify.Dispatch.Providers.Email.Mailchimp;
using Notify.Dispatch.Providers.Email.SendGrid;
using Notify.Dispatch.Providers.Email.Smtp;
using Notify.Dispatch.Providers.Fcm;
using Notify.Dispatch.Providers.Sms.Twilio;
using Notify.Dispatch.Providers.Sms.Vonage;
using Notify.Dispatch.Providers.WebPush;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Sandbox.WebPush;
using Notify.Tests.Dispatch.WebPush;
using static Notify.Tests.Dispatch.ScriptedServer;

/// <summary>The permit without which no adapter sends, checked as the request leaves.</summary>
public sealed class SendPermitTests : IAsyncDisposable
{
    private static readonly TimeSpan HostTimeout = TimeSpan.FromSeconds(15);
    private readonly FakeTimeProvider clock = new(new DateTimeOffset(2026, 5, 4, 12, 0, 0, TimeSpan.Zero));
    private readonly List<IAsyncDisposable> servers = [];
    private readonly List<IDisposable> owned = [];
    private readonly HostLease lease;
    private bool isUnchanged = true;
    private int looks;

    public SendPermitTests()
    {
        lease = new HostLease(HostTimeout, clock);
        Beat();
    }

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public static TheoryData<string> EveryAdapter => [.. Adapters.All.Keys];

    public async ValueTask DisposeAsync()
    {
        foreach (var one in owned)
            one.Dispose();
        foreach (var server in servers)
            await server.DisposeAsync();
    }

    [Theory]
    [MemberData(nameof(EveryAdapter))]
    public async Task Adapter_with_permit_sends_once(string adapter)
    {
        var (provider, message, sent) = await MakeAsync(adapter);
        Permit().Enter();

        Assert.IsType<AttemptOutcome.Accepted>(await provider.SendAsync(message, Cancellation));

        Assert.Equal(1, sent());
        Assert.True(SendPermit.Current!.WasChecked);
    }

    [Theory]
    [MemberData(nameof(EveryAdapter))]
    public async Task Adapter_sends_nothing_when_lease_has_ended(string adapter)
    {
        var (provider, message, sent) = await MakeAsync(adapter);
        Permit().Enter();
        clock.Advance(HostTimeout);

        Assert.Equal(new AttemptOutcome.NotSent(AttemptOutcome.NotSent.LeaseEnded), await provider.SendAsync(message, Cancellation));

        Assert.Equal(0, sent());
    }

    [Theory]
    [MemberData(nameof(EveryAdapter))]
    public async Task Adapter_sends_nothing_of_an_earlier_term(string adapter)
    {
        var (provider, message, sent) = await MakeAsync(adapter);
        Permit().Enter();
        clock.Advance(HostTimeout * 2);
        Beat(); // the host lives again, and its claims may be another's

        Assert.Equal(new AttemptOutcome.NotSent(AttemptOutcome.NotSent.LeaseEnded), await provider.SendAsync(message, Cancellation));

        Assert.Equal(0, sent());
    }

    [Theory]
    [MemberData(nameof(EveryAdapter))]
    public async Task Adapter_sends_nothing_that_has_expired(string adapter)
    {
        var (provider, message, sent) = await MakeAsync(adapter);
        Permit(lifetime: TimeSpan.FromSeconds(0.5)).Enter();
        clock.Advance(TimeSpan.FromSeconds(0.5));

        Assert.Equal(new AttemptOutcome.NotSent(AttemptOutcome.NotSent.Expired), await provider.SendAsync(message, Cancellation));

        Assert.Equal((0, 0), (sent(), looks));
    }

    [Theory]
    [MemberData(nameof(EveryAdapter))]
    public async Task Adapter_sends_nothing_that_has_changed_since_its_last_check(string adapter)
    {
        var (provider, message, sent) = await MakeAsync(adapter);
        isUnchanged = false;
        Permit().Enter();
        clock.Advance(SendPermit.Fresh + TimeSpan.FromMilliseconds(1));

        Assert.Equal(new AttemptOutcome.NotSent(AttemptOutcome.NotSent.CheckOutdated), await provider.SendAsync(message, Cancellation));

        Assert.Equal((0, 1), (sent(), looks));
    }

    [Theory]
    [MemberData(nameof(EveryAdapter))]
    public async Task Adapter_looks_again_and_sends_when_nothing_has_changed(string adapter)
    {
        var (provider, message, sent) = await MakeAsync(adapter);
        Permit().Enter();
        clock.Advance(SendPermit.Fresh + TimeSpan.FromMilliseconds(1));

        Assert.IsType<AttemptOutcome.Accepted>(await provider.SendAsync(message, Cancellation));

        Assert.Equal((1, 1), (sent(), looks));
    }

    [Fact]
    public async Task Second_request_of_a_call_is_checked_too()
    {
        // Apple's answer to the first one takes longer than the lease lasts.
        var server = await ServeAsync(
            Http2Async(
                async (number, context) =>
                {
                    clock.Advance(HostTimeout);
                    await Answer(403, """{"reason":"ExpiredProviderToken"}""")(number, context);
                }
            )
        );
        var provider = Apns(server);
        Permit().Enter();

        Assert.IsType<AttemptOutcome.NotSent>(await provider.SendAsync(Push(), Cancellation));

        Assert.Single(server.Received);
    }

    [Fact]
    public async Task Time_that_a_token_takes_counts()
    {
        var server = await ServeAsync(
            Http1Async(
                FcmStandIn.Serve(
                    Answer(200, """{"name":"projects/p/messages/1"}"""),
                    async (number, context) =>
                    {
                        clock.Advance(HostTimeout);
                        await FcmStandIn.Grant(number, context);
                    }
                )
            )
        );
        var provider = Own(new FcmProvider(new FcmOptions { BaseUrl = server.Url }, FcmStandIn.Account(server.Url), clock));
        Permit().Enter();

        Assert.IsType<AttemptOutcome.NotSent>(await provider.SendAsync(Push("token"), Cancellation));

        Assert.Empty(server.Sends());
    }

    [Fact]
    public async Task Request_that_had_no_connection_in_time_has_not_left()
    {
        // It accepts connections, and does not answer the handshake.
        using var silent = new System.Net.Sockets.TcpListener(System.Net.IPAddress.Loopback, 0);
        silent.Start();
        var url = new Uri($"https://127.0.0.1:{((System.Net.IPEndPoint)silent.LocalEndpoint).Port}");
        var options = new TwilioOptions
        {
            AccountSid = "AC1",
            AuthToken = "t",
            From = "Acme",
            BaseUrl = url,
            Timeout = TimeSpan.FromMilliseconds(300),
        };
        var provider = Own(new TwilioProvider(options, clock));
        Permit().Enter();

        Assert.Equal(new AttemptOutcome.Retry(Reasons.TimedOut, null), await provider.SendAsync(Sms(), Cancellation));
    }

    [Fact]
    public async Task Mail_server_without_pipelining_gets_no_DATA_and_its_connection_no_other_mail()
    {
        var server = Mails();
        var provider = Smtp(server);
        var permit = Permit();
        permit.Enter();
        clock.Advance(HostTimeout);
        Assert.IsType<AttemptOutcome.NotSent>(await provider.SendAsync(Mail(), Cancellation));
        Beat();
        Permit().Enter();

        Assert.IsType<AttemptOutcome.Accepted>(await provider.SendAsync(Mail(), Cancellation));

        Assert.Equal((1, 2), (server.Commands.Count(c => c == "DATA"), server.Connections));
    }

    [Fact]
    public async Task Mails_of_one_call_stay_together_when_one_has_changed()
    {
        var server = await ServeAsync(Http1Async(Answer(202, "", ("X-Message-Id", "m-1"))));
        var provider = SendGrid(server);
        isUnchanged = false;
        Permit().Enter();
        clock.Advance(TimeSpan.FromSeconds(2));

        var outcomes = await provider.SendManyAsync(
            [Mail(), Mail() with { DeliveryId = Guid.NewGuid(), Address = "other@example.com" }],
            Cancellation
        );

        Assert.All(outcomes, o => Assert.IsType<AttemptOutcome.NotSent>(o));
        Assert.Empty(server.Received);
    }

    [Fact]
    public async Task Large_body_stops_leaving_when_the_lease_ends()
    {
        var permit = Permit();
        var inner = new MemoryStream();
        await using var stream = new PermittedStream(inner, permit);
        await stream.WriteAsync(new byte[100_000], Cancellation);
        clock.Advance(HostTimeout);

        await Assert.ThrowsAsync<CallNotMadeException>(async () => await stream.WriteAsync(new byte[10], Cancellation));

        Assert.Equal(100_000, inner.Length);
    }

    [Fact]
    public async Task Database_that_cannot_be_asked_permits_nothing()
    {
        var permit = new SendPermit(lease, lease.Term, clock, clock.GetTimestamp(), null, _ => throw new IOException("It is away."));
        clock.Advance(TimeSpan.FromSeconds(2));

        Assert.Equal(
            AttemptOutcome.NotSent.CheckOutdated,
            (
                await Assert.ThrowsAsync<CallNotMadeException>(async () => await permit.CheckAsync(TimeSpan.FromSeconds(10), Cancellation))
            ).Reason
        );
    }

    private void Beat() => lease.Renew(clock.GetTimestamp());

    private SendPermit Permit(TimeSpan? lifetime = null) =>
        new(
            lease,
            lease.Term,
            clock,
            clock.GetTimestamp(),
            lifetime,
            _ =>
            {
                looks++;
                return Task.FromResult(isUnchanged);
            }
        );

    // Makes an adapter with its server and a message, and a counter of the messages that arrived.
    private async Task<(IDeliveryProvider Provider, OutboundMessage Message, Func<int> Sent)> MakeAsync(string adapter)
    {
        switch (adapter)
        {
            case "Apns":
                var apns = await ServeAsync(Http2Async(Answer(200, "", ("apns-id", "a"))));
                return (Apns(apns), Push(), () => apns.Received.Count);
            case "Fcm":
                var fcm = await ServeAsync(Http1Async(FcmStandIn.Serve(Answer(200, """{"name":"projects/p/messages/1"}"""))));
                return (
                    Own(new FcmProvider(new FcmOptions { BaseUrl = fcm.Url }, FcmStandIn.Account(fcm.Url), clock)),
                    Push("token"),
                    () => fcm.Sends().Count
                );
            case "WebPush":
                var browser = new Subscriptions().Create(null, null);
                var push = await ServeAsync(Http1Async(Answer(201)));
                var keys = new
                {
                    p256dh = Base64Url.EncodeToString(browser.PublicKey),
                    auth = Base64Url.EncodeToString(browser.Authentication),
                };
                var options = WebPushOptionsTests.Options() with { AllowPrivateNetworks = true };
                return (
                    Own(new WebPushProvider(options, options.LoadKey("WebPush", [])!, clock)),
                    Push(JsonSerializer.Serialize(new { endpoint = new Uri(push.Url, "/push/x"), keys })),
                    () => push.Received.Count
                );
            case "Twilio":
                var twilio = await ServeAsync(Http1Async(Answer(201, """{"sid":"SM1"}""")));
                return (
                    Own(
                        new TwilioProvider(
                            new TwilioOptions
                            {
                                AccountSid = "AC1",
                                AuthToken = "t",
                                From = "Acme",
                                BaseUrl = twilio.Url,
                            },
                            clock
                        )
                    ),
                    Sms(),
                    () => twilio.Received.Count
                );
            case "Vonage":
                var vonage = await ServeAsync(Http1Async(Answer(200, """{"messages":[{"message-id":"0A01","status":"0"}]}""")));
                return (
                    Own(
                        new VonageProvider(
                            new VonageOptions
                            {
                                ApiKey = "k",
                                ApiSecret = "s",
                                From = "Acme",
                                BaseUrl = vonage.Url,
                            },
                            clock
                        )
                    ),
                    Sms(),
                    () => vonage.Received.Count
                );
            case "SendGrid":
                var sendGrid = await ServeAsync(Http1Async(Answer(202, "", ("X-Message-Id", "m"))));
                return (SendGrid(sendGrid), Mail(), () => sendGrid.Received.Count);
            case "Mailchimp":
                var mailchimp = await ServeAsync(
                    Http1Async(Answer(200, """[{"email":"someone@example.com","status":"sent","_id":"abc"}]"""))
                );
                var mandrill = new MailchimpOptions
                {
                    ApiKey = "k",
                    From = "news@example.com",
                    BaseUrl = mailchimp.Url,
                };
                return (
                    Own(new MailchimpProvider(mandrill, mandrill.LoadSender("Mailchimp", [])!, clock)),
                    Mail(),
                    () => mailchimp.Received.Count
                );
            case "Smtp":
                var server = Mails("PIPELINING");
                return (Smtp(server), Mail(), () => server.Commands.Count(c => c == "DATA"));
            default:
                throw new ArgumentException($"How {adapter} sends one message is not written here yet.", nameof(adapter));
        }
    }

    private ApnsProvider Apns(ScriptedServer server) =>
        Own(
            new ApnsProvider(
                new ApnsOptions
                {
                    TeamId = "TEAMID1234",
                    KeyId = "KEYID67890",
                    Topic = "com.example.app",
                    BaseUrl = server.Url,
                    TrustedCaPath = Certificate.CaPath,
                },
                Own(ECDsa.Create(ECCurve.NamedCurves.nistP256)),
                clock
            )
        );

    private ScriptedMailServer Mails(params string[] extensions)
    {
        var server = new ScriptedMailServer(null, extensions);
        servers.Add(server);
        return server;
    }

    private SmtpProvider Smtp(ScriptedMailServer server)
    {
        var options = new SmtpOptions
        {
            Host = "127.0.0.1",
            Port = server.Port,
            Security = SmtpSecurity.None,
            From = "news@example.com",
        };
        return Own(new SmtpProvider(options, options.LoadSender("Smtp", [])!, TimeProvider.System));
    }

    private SendGridProvider SendGrid(ScriptedServer server)
    {
        Assert.True(EmailSender.TryParse("news@example.com", out var from));
        return Own(new SendGridProvider(new SendGridOptions { ApiKey = "SG.key", BaseUrl = server.Url }, from, clock));
    }

    private static OutboundMessage Push(string? token = null) =>
        new(Guid.NewGuid(), token ?? new string('a', 64), new NotificationContent("Shipped", "It comes."), Priority.Normal, null);

    private static OutboundMessage Sms() =>
        new(Guid.NewGuid(), "+821012345678", new NotificationContent(Body: "It comes."), Priority.Normal, null);

    private static OutboundMessage Mail() =>
        new(Guid.NewGuid(), "someone@example.com", new NotificationContent("Shipped", "It comes."), Priority.Normal, null);

    private async Task<ScriptedServer> ServeAsync(Task<ScriptedServer> starting)
    {
        servers.Add(await starting);
        return await starting;
    }

    private T Own<T>(T one)
        where T : IDisposable
    {
        owned.Add(one);
        return one;
    }
}
