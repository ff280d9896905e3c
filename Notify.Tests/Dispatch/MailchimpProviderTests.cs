namespace Notify.Tests.Dispatch;

using System.Text.Json.Nodes;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Providers.Email.Mailchimp;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using static Notify.Tests.Dispatch.ScriptedServer;

public sealed class MailchimpProviderTests : IAsyncDisposable
{
    private static readonly Guid Delivery = Guid.Parse("0199c0de-0000-7000-8000-000000000001");
    private readonly List<IAsyncDisposable> servers = [];
    private MailchimpProvider? provider;

    public async ValueTask DisposeAsync()
    {
        provider?.Dispose();
        foreach (var server in servers)
            await server.DisposeAsync();
    }

    [Theory]
    [InlineData("", "/api/1.0/messages/send.json")]
    [InlineData("/api/1.4", "/api/1.4/messages/send.json")]
    [InlineData("/api/1.4/", "/api/1.4/messages/send.json")]
    public async Task A_mail_is_sent_as_Mailchimp_wants_it(string path, string target)
    {
        var server = await ServeAsync(
            Answer(200, """[{"email":"someone@example.com","status":"sent","_id":"abc","reject_reason":null}]"""),
            path: path
        );
        Assert.Equal(new AttemptOutcome.Accepted("abc"), await SendAsync());

        var request = Assert.Single(server.Received);
        Assert.Equal(("POST", target), (request.Method, request.Target));
        Assert.StartsWith("application/json", request.Headers["content-type"], StringComparison.Ordinal);
        var body = JsonNode.Parse(request.Body)!;
        Assert.Equal("k", body["key"]!.ToString());
        var mail = body["message"]!;
        Assert.Equal(("Gruß", "Hello", "<p>Hello</p>"), (mail["subject"]!.ToString(), mail["text"]!.ToString(), mail["html"]!.ToString()));
        Assert.Equal(("news@example.com", "Acme"), (mail["from_email"]!.ToString(), mail["from_name"]!.ToString()));
        Assert.Equal("someone@example.com", Assert.Single(mail["to"]!.AsArray())!["email"]!.ToString());
        Assert.Equal(Delivery.ToString(), mail["metadata"]!["notify_delivery"]!.ToString());
    }

    public static readonly TheoryData<string, string?, AttemptOutcome> Recipients = new()
    {
        { "sent", null, new AttemptOutcome.Accepted("id") },
        { "queued", null, new AttemptOutcome.Accepted("id") },
        { "scheduled", null, new AttemptOutcome.Accepted("id") },
        { "invalid", null, new AttemptOutcome.Rejected(Reasons.BadAddress, "invalid") },
        { "rejected", "hard-bounce", new AttemptOutcome.Rejected(Reasons.HardBounced, "hard-bounce", AddressVerdict.Suppress) },
        { "rejected", "spam", new AttemptOutcome.Rejected(Reasons.Complained, "spam", AddressVerdict.Suppress) },
        { "rejected", "unsub", new AttemptOutcome.Rejected(Reasons.OptedOutAtProvider, "unsub", AddressVerdict.Suppress) },
        { "rejected", "soft-bounce", new AttemptOutcome.Rejected(Reasons.Rejected, "soft-bounce") },
        { "rejected", "custom", new AttemptOutcome.Rejected(Reasons.Rejected, "custom") },
        { "rejected", "rule", new AttemptOutcome.Rejected(Reasons.Rejected, "rule") },
        { "rejected", "invalid", new AttemptOutcome.Rejected(Reasons.BadAddress, "invalid") },
        { "rejected", "invalid-sender", new AttemptOutcome.Halted("invalid-sender") },
        { "rejected", "unsigned", new AttemptOutcome.Halted("unsigned") },
        { "rejected", "test-mode-limit", new AttemptOutcome.Halted("test-mode-limit") },
        { "rejected", null, new AttemptOutcome.Rejected(Reasons.Rejected, "rejected") },
        { "lost", null, new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
    };

    [Theory, MemberData(nameof(Recipients))]
    public async Task Two_hundred_says_nothing_and_the_recipient_s_status_all(string status, string? rejected, AttemptOutcome expected) =>
        Assert.Equal(
            expected,
            await OutcomeAsync(
                200,
                $$"""[{"email":"a@example.com","status":"{{status}}","_id":"id","reject_reason":{{(rejected is null ? "null" : $"\"{rejected}\"")}}}]"""
            )
        );

    public static readonly TheoryData<int, string, AttemptOutcome> Errors = new()
    {
        { 500, "ValidationError", new AttemptOutcome.Rejected(Reasons.Rejected, "ValidationError") },
        { 500, "GeneralError", new AttemptOutcome.Retry(Reasons.Retry, "GeneralError") },
        { 500, "Invalid_Key", new AttemptOutcome.Halted("Invalid_Key") },
        { 401, "Invalid_Key", new AttemptOutcome.Halted("Invalid_Key") },
        { 402, "PaymentRequired", new AttemptOutcome.Halted("PaymentRequired") },
        { 404, "Unknown_Subaccount", new AttemptOutcome.Halted("Unknown_Subaccount") },
        { 429, "RequestLimitExceeded", new AttemptOutcome.Retry(Reasons.Retry, "RequestLimitExceeded") },
        { 503, "ServiceUnavailable", new AttemptOutcome.Retry(Reasons.Retry, "ServiceUnavailable") },
        { 200, "ValidationError", new AttemptOutcome.Rejected(Reasons.Rejected, "ValidationError") },
        { 500, "Something_New", new AttemptOutcome.Retry(Reasons.Retry, "Something_New") },
        { 500, "Unknown_Template", new AttemptOutcome.Rejected(Reasons.Rejected, "Unknown_Template") },
        // OpenAPI: the names that it has are permanent; another one with a 5xx is the service's fault.
        { 500, "Invalid_Something_New", new AttemptOutcome.Retry(Reasons.Retry, "Invalid_Something_New") },
        { 503, "Unknown_Error", new AttemptOutcome.Retry(Reasons.Retry, "Unknown_Error") },
        { 400, "Invalid_Something_New", new AttemptOutcome.Rejected(Reasons.Rejected, "Invalid_Something_New") },
        { 504, "Something_New", new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 504, "GeneralError", new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 400, "a name with someone@example.com in it", new AttemptOutcome.Rejected(Reasons.Rejected, "400") },
    };

    [Theory, MemberData(nameof(Errors))]
    public async Task An_error_is_known_by_its_name(int status, string name, AttemptOutcome expected) =>
        Assert.Equal(expected, await OutcomeAsync(status, $$"""{"status":"error","code":-2,"name":"{{name}}","message":"for a person"}"""));

    public static readonly TheoryData<int, string, AttemptOutcome> Unreadable = new()
    {
        { 200, "", new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
        { 200, "[]", new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
        { 200, "[1]", new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
        { 200, """[{"status":"\ud800"}]""", new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
        // OpenAPI, MessagesSendResponse: a status and an _id for each recipient, with 200.
        { 200, """[{"email":"a@example.com","status":"sent"}]""", new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
        { 201, """[{"email":"a@example.com","status":"sent","_id":"id"}]""", new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
        { 202, "", new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
        { 303, "", new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
        { 405, "", new AttemptOutcome.Halted("405") },
        { 500, "<html>", new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 500, "", new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 502, "<html>", new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 504, "", new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 429, "", new AttemptOutcome.Retry(Reasons.Retry, "429") },
        { 403, "", new AttemptOutcome.Halted("403") },
        { 400, "", new AttemptOutcome.Retry(Reasons.Retry, "400") },
        { 301, "", new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
        { 302, "", new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
    };

    [Theory, MemberData(nameof(Unreadable))]
    public async Task Without_a_readable_body_the_status_must_do(int status, string body, AttemptOutcome expected) =>
        Assert.Equal(expected, await OutcomeAsync(status, body));

    [Fact]
    public async Task A_limit_s_time_is_waited_for()
    {
        await ServeAsync(Answer(429, "", ("Retry-After", "30")));
        Assert.Equal(new AttemptOutcome.Retry(Reasons.Retry, "429", TimeSpan.FromSeconds(30)), await SendAsync());
    }

    [Fact]
    public async Task A_connection_broken_after_the_request_left_is_an_unknown_outcome_and_nothing_is_repeated()
    {
        var server = await ServeAsync(Break);
        Assert.Equal(new AttemptOutcome.Unknown(Reasons.ConnectionLost), await SendAsync());
        Assert.Single(server.Received);
    }

    [Fact]
    public async Task A_refused_connection_is_tried_again_since_nothing_left()
    {
        var options = new MailchimpOptions
        {
            ApiKey = "k",
            From = "news@example.com",
            BaseUrl = new Uri($"http://127.0.0.1:{ClosedPort()}"),
        };
        provider = new MailchimpProvider(options, options.LoadSender("Providers:Mailchimp", [])!, TimeProvider.System);
        Assert.Equal(Reasons.ConnectionLost, Assert.IsType<AttemptOutcome.Retry>(await SendAsync()).Reason);
    }

    [Fact]
    public async Task Silence_is_an_unknown_outcome()
    {
        await ServeAsync(Silence, timeout: TimeSpan.FromMilliseconds(300));
        Assert.Equal(new AttemptOutcome.Unknown(Reasons.TimedOut), await SendAsync());
    }

    [Fact]
    public void Every_fault_of_the_settings_is_told()
    {
        var faults = new List<string>();
        new MailchimpOptions { Concurrency = 0, BaseUrl = new Uri("ftp://x") }.LoadSender("Providers:Mailchimp", faults);
        Assert.Equal(4, faults.Count);
        Assert.All(faults, f => Assert.StartsWith("Providers:Mailchimp:", f, StringComparison.Ordinal));
    }

    private async Task<AttemptOutcome> OutcomeAsync(int status, string body)
    {
        await ServeAsync(Answer(status, body));
        return await SendAsync();
    }

    private Task<AttemptOutcome> SendAsync() =>
        provider!.SendAsync(
            new OutboundMessage(
                Delivery,
                "someone@example.com",
                new NotificationContent(Title: "Gruß", Body: "Hello", Html: "<p>Hello</p>"),
                Priority.Normal,
                null
            ),
            TestContext.Current.CancellationToken
        );

    private async Task<ScriptedServer> ServeAsync(Script script, TimeSpan? timeout = null, string path = "")
    {
        var server = await Http1Async(script);
        servers.Add(server);
        var options = new MailchimpOptions
        {
            ApiKey = "k",
            From = "Acme <news@example.com>",
            BaseUrl = new Uri(server.Url, path),
            Timeout = timeout ?? TimeSpan.FromSeconds(10),
        };
        provider = new MailchimpProvider(options, options.LoadSender("Providers:Mailchimp", [])!, TimeProvider.System);
        return server;
    }
}
