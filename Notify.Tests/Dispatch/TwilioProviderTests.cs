namespace Notify.Tests.Dispatch;

using System.Text;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.Time.Testing;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Providers.Sms.Twilio;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using static Notify.Tests.Dispatch.ScriptedServer;

public sealed class TwilioProviderTests : IAsyncDisposable
{
    private static readonly DateTimeOffset Now = new(2026, 5, 4, 12, 10, 0, TimeSpan.Zero);
    private readonly FakeTimeProvider clock = new(Now);
    private readonly List<IAsyncDisposable> servers = [];
    private TwilioProvider? provider;

    public async ValueTask DisposeAsync()
    {
        provider?.Dispose();
        foreach (var server in servers)
            await server.DisposeAsync();
    }

    [Fact]
    public async Task An_sms_is_sent_as_Twilio_wants_it()
    {
        var server = await ServeAsync(Answer(201, """{"sid":"SM1","status":"queued"}"""));
        Assert.Equal(new AttemptOutcome.Accepted("SM1"), await SendAsync(Message("Gruß & Küsse = 50 % + 👋")));

        var request = Assert.Single(server.Received);
        Assert.Equal(("POST", "/2010-04-01/Accounts/AC123/Messages.json"), (request.Method, request.Target));
        Assert.Equal("Basic " + Convert.ToBase64String("AC123:secret"u8), request.Headers["authorization"]);
        Assert.StartsWith("application/x-www-form-urlencoded", request.Headers["content-type"], StringComparison.Ordinal);
        var form = QueryHelpers.ParseQuery(request.Body);
        Assert.Equal(["Body", "From", "To"], form.Keys.Order());
        Assert.Equal(
            ("+821012345678", "+15005550006", "Gruß & Küsse = 50 % + 👋"),
            (form["To"].ToString(), form["From"].ToString(), form["Body"].ToString())
        );
    }

    [Fact]
    public async Task A_messaging_service_takes_the_place_of_the_sender()
    {
        var server = await Http1Async(Answer(201, """{"sid":"SM1"}"""));
        servers.Add(server);
        provider = new TwilioProvider(
            new TwilioOptions
            {
                AccountSid = "AC123",
                AuthToken = "secret",
                From = "+15005550006",
                MessagingServiceSid = "MG9",
                BaseUrl = server.Url,
            },
            clock
        );
        await SendAsync(Message());
        var form = QueryHelpers.ParseQuery(server.Received[0].Body);
        Assert.Equal("MG9", form["MessagingServiceSid"].ToString());
        Assert.False(form.ContainsKey("From"));
    }

    [Fact]
    public async Task Twilio_is_told_where_receipts_go_and_which_delivery_they_are_about()
    {
        var server = await Http1Async(Answer(201, """{"sid":"SM1"}"""));
        servers.Add(server);
        provider = new TwilioProvider(
            new TwilioOptions
            {
                AccountSid = "AC123",
                AuthToken = "secret",
                From = "+15005550006",
                BaseUrl = server.Url,
                ReceiptsUrl = new Uri("https://notify.example.com/"),
            },
            clock
        );
        var message = Message();
        await SendAsync(message);
        Assert.Equal(
            $"https://notify.example.com/receipts/twilio?d={message.DeliveryId:N}",
            QueryHelpers.ParseQuery(server.Received[0].Body)["StatusCallback"].ToString()
        );
    }

    public static readonly TheoryData<int, string, AttemptOutcome> Errors = new()
    {
        {
            400,
            """{"code":21610,"status":400}""",
            new AttemptOutcome.Rejected(Reasons.OptedOutAtProvider, "21610", AddressVerdict.Suppress)
        },
        { 400, """{"code":21211,"status":400}""", new AttemptOutcome.Rejected(Reasons.BadAddress, "21211") },
        { 400, """{"code":21614,"status":400}""", new AttemptOutcome.Rejected(Reasons.BadAddress, "21614") },
        { 400, """{"code":21212,"status":400}""", new AttemptOutcome.Halted("21212") },
        { 400, """{"code":21606,"status":400}""", new AttemptOutcome.Halted("21606") },
        { 403, """{"code":20003,"status":403}""", new AttemptOutcome.Halted("20003") },
        { 404, """{"code":20404,"status":404}""", new AttemptOutcome.Halted("20404") },
        // OpenAPI, CreateMessage: 201 and the message, which has a sid. A captive portal's 200, or half a body, has none.
        { 201, "half a bod", new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
        { 201, "{}", new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
        { 200, "<html>Sign in</html>", new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
        { 200, """{"sid":"SM1","status":"queued"}""", new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
        { 202, "", new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
        { 408, "", new AttemptOutcome.Retry(Reasons.Retry, "408", TimeSpan.FromSeconds(30)) },
        { 400, """{"code":21611,"status":400}""", new AttemptOutcome.Retry(Reasons.Retry, "21611", TimeSpan.FromSeconds(30)) },
        { 400, """{"code":21612,"status":400}""", new AttemptOutcome.Rejected(Reasons.Rejected, "21612") },
        { 400, "not json", new AttemptOutcome.Retry(Reasons.Retry, "400", TimeSpan.FromSeconds(30)) },
        { 401, """{"code":20003,"status":401}""", new AttemptOutcome.Halted("20003") },
        { 429, """{"code":20429,"status":429}""", new AttemptOutcome.Retry(Reasons.Retry, "20429", TimeSpan.FromSeconds(30)) },
        {
            500,
            """{"code":20500,"message":"Internal Server Error","status":500}""",
            new AttemptOutcome.Retry(Reasons.Retry, "20500", TimeSpan.FromSeconds(30))
        },
        {
            503,
            """{"code":20503,"message":"Service Unavailable","status":503}""",
            new AttemptOutcome.Retry(Reasons.Retry, "20503", TimeSpan.FromSeconds(30))
        },
        { 500, "", new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 503, "<html>", new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 502, "<html>", new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 504, "", new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 521, "<html>", new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
    };

    [Theory, MemberData(nameof(Errors))]
    public async Task An_error_becomes_an_outcome_and_nothing_is_repeated(int status, string body, AttemptOutcome expected)
    {
        var server = await ServeAsync(Answer(status, body, ("Retry-After", "30")));
        Assert.Equal(expected, await SendAsync(Message()));
        Assert.Single(server.Received);
    }

    [Theory]
    [InlineData("120", 120)]
    [InlineData("Mon, 04 May 2026 12:12:00 GMT", 120)]
    [InlineData("Mon, 04 May 2026 12:00:00 GMT", null)]
    [InlineData("0", null)]
    [InlineData("soon", null)]
    public async Task Retry_after_comes_in_seconds_or_as_a_date(string header, int? seconds)
    {
        await ServeAsync(Answer(429, "{}", ("Retry-After", header)));
        Assert.Equal(
            seconds is { } s ? TimeSpan.FromSeconds(s) : null,
            Assert.IsType<AttemptOutcome.Retry>(await SendAsync(Message())).After
        );
    }

    [Fact]
    public async Task Silence_is_an_unknown_outcome()
    {
        var server = await ServeAsync(Silence, timeout: TimeSpan.FromMilliseconds(300));
        Assert.Equal(new AttemptOutcome.Unknown(Reasons.TimedOut), await SendAsync(Message()));
        Assert.InRange(server.Received.Count, 0, 1);
    }

    [Fact]
    public async Task A_connection_broken_after_the_request_left_is_an_unknown_outcome_and_nothing_is_repeated()
    {
        var server = await ServeAsync(Break);
        Assert.Equal(new AttemptOutcome.Unknown(Reasons.ConnectionLost), await SendAsync(Message()));
        Assert.Single(server.Received);
    }

    [Fact]
    public async Task A_used_connection_broken_after_the_request_left_is_no_different()
    {
        var server = await ServeAsync(InTurn(Answer(201, """{"sid":"SM1"}"""), Break));
        await SendAsync(Message());
        Assert.Equal(new AttemptOutcome.Unknown(Reasons.ConnectionLost), await SendAsync(Message()));
        Assert.Equal(2, server.Received.Count);
    }

    [Fact]
    public async Task A_refused_connection_is_tried_again_since_nothing_left()
    {
        Use(new Uri($"http://127.0.0.1:{ClosedPort()}"));
        Assert.Equal(Reasons.ConnectionLost, Assert.IsType<AttemptOutcome.Retry>(await SendAsync(Message())).Reason);
    }

    [Fact]
    public async Task A_call_that_outlives_its_total_time_is_unknown()
    {
        using var total = new CancellationTokenSource();
        await ServeAsync(
            (number, context) =>
            {
                total.Cancel();
                return Silence(number, context);
            }
        );
        Assert.Equal(new AttemptOutcome.Unknown(Reasons.TimedOut), await provider!.SendAsync(Message(), total.Token));
    }

    [Fact]
    public async Task A_closed_idle_connection_is_survived()
    {
        var first = await ServeAsync(Answer(201, """{"sid":"SM1"}"""));
        Assert.Equal(new AttemptOutcome.Accepted("SM1"), await SendAsync(Message()));
        await first.StopAsync();
        servers.Add(await Http1Async(Answer(201, """{"sid":"SM2"}"""), first.Url.Port));
        Assert.Equal(new AttemptOutcome.Accepted("SM2"), await SendAsync(Message()));
    }

    [Fact]
    public async Task A_redirect_is_not_followed()
    {
        var server = await ServeAsync(Answer(307, "", ("Location", "http://127.0.0.1:1/elsewhere")));
        Assert.Equal(new AttemptOutcome.Halted("307"), await SendAsync(Message())); // RFC 9110, 15.4.8
        Assert.Single(server.Received);
    }

    [Fact]
    public async Task Oversized_text_is_rejected_without_a_call()
    {
        var server = await ServeAsync(Answer(201));
        Assert.Equal(new AttemptOutcome.Rejected(Reasons.TooLarge, "21617"), await SendAsync(Message(new string('x', 1601))));
        Assert.Empty(server.Received);
    }

    [Fact]
    public async Task An_sms_that_Twilio_has_is_found()
    {
        var server = await ServeAsync(
            Answer(200, """{"messages":[{"sid":"SM7","body":"Hello","date_created":"Mon, 04 May 2026 12:10:01 +0000"}]}""")
        );
        Assert.Equal(["SM7"], (await AskAsync())!.MessageIds);
        var request = Assert.Single(server.Received);
        Assert.Equal("GET", request.Method);
        // OpenAPI, ListMessage: «DateSent: filter by sent_date», which a queued message does not have.
        var query = QueryHelpers.ParseQuery(new Uri(server.Url, request.Target).Query);
        Assert.Equal(["PageSize", "To"], query.Keys.Order());
        Assert.Equal("+821012345678", query["To"].ToString());
    }

    [Fact]
    public async Task An_sms_on_a_later_page_is_found()
    {
        static string Page(string sid, string body, string next) =>
            $$"""{"messages":[{"sid":"{{sid}}","body":"{{body}}","date_created":"Mon, 04 May 2026 12:10:05 +0000"}],"next_page_uri":{{next}}}""";
        var server = await ServeAsync(
            InTurn(Answer(200, Page("SM9", "Other words", "\"/p2\"")), Answer(200, Page("SM7", "Hello", "null")))
        );
        Assert.Equal(["SM7"], (await AskAsync())!.MessageIds);
        Assert.Equal("/p2", server.Received[1].Target);
    }

    [Fact]
    public async Task Redacted_text_makes_the_answer_unclear()
    {
        await ServeAsync(Answer(200, """{"messages":[{"sid":"SM7","body":"","date_created":"Mon, 04 May 2026 12:10:01 +0000"}]}"""));
        var answer = await AskAsync();
        Assert.Equal((0, "SM7"), (answer!.MessageIds.Count, Assert.Single(answer.Unclear)));
    }

    // OpenAPI, CreateMessage: «integers from 1 to 36000. Default value is 36000.»
    [Theory]
    [InlineData(null, null)]
    [InlineData(90.9, "90")]
    [InlineData(0.5, "1")]
    [InlineData(-5d, "1")]
    [InlineData(35_999d, "35999")]
    [InlineData(36_000d, null)]
    [InlineData(90_000d, null)]
    public async Task Expiry_becomes_the_validity_period(double? seconds, string? expected)
    {
        var server = await ServeAsync(Answer(201, """{"sid":"SM1"}"""));
        await SendAsync(Message() with { ExpiresAt = seconds is { } s ? Now.AddSeconds(s) : null });
        var form = QueryHelpers.ParseQuery(server.Received[0].Body);
        Assert.Equal(expected, form.TryGetValue("ValidityPeriod", out var period) ? period.ToString() : null);
    }

    [Fact]
    public async Task An_sms_that_Twilio_does_not_have_is_not_found()
    {
        await ServeAsync(Answer(200, """{"messages":[]}"""));
        var answer = await AskAsync();
        Assert.Equal((0, true), (answer!.MessageIds.Count, answer.IsComplete));
    }

    [Theory]
    [InlineData(500, "")]
    [InlineData(429, "{}")]
    [InlineData(401, """{"code":20003}""")]
    [InlineData(200, "not json")]
    [InlineData(200, "{}")]
    public async Task While_Twilio_cannot_tell_nothing_is_concluded(int status, string body)
    {
        await ServeAsync(Answer(status, body));
        Assert.Null(await AskAsync());
    }

    [Fact]
    public async Task While_Twilio_cannot_be_asked_nothing_is_concluded()
    {
        Use(new Uri($"http://127.0.0.1:{ClosedPort()}"));
        Assert.Null(await AskAsync());
        await ServeAsync(Break);
        Assert.Null(await AskAsync());
        await ServeAsync(Silence, timeout: TimeSpan.FromMilliseconds(300));
        Assert.Null(await AskAsync());
    }

    [Fact]
    public void A_wrong_configuration_names_every_fault()
    {
        var faults = new List<string>();
        new TwilioOptions().Check("Providers:Twilio", faults);
        Assert.Equal(3, faults.Count);
        Assert.All(
            new[] { "AccountSid", "AuthToken", "From" },
            name => Assert.Contains(faults, f => f.Contains($"Providers:Twilio:{name}"))
        );
    }

    private async Task<ScriptedServer> ServeAsync(Script script, TimeSpan? timeout = null)
    {
        var server = await Http1Async(script);
        servers.Add(server);
        Use(server.Url, timeout);
        return server;
    }

    private void Use(Uri url, TimeSpan? timeout = null) =>
        provider = new TwilioProvider(
            new TwilioOptions
            {
                AccountSid = "AC123",
                AuthToken = "secret",
                From = "+15005550006",
                BaseUrl = url,
                Timeout = timeout ?? TimeSpan.FromSeconds(20),
            },
            clock
        );

    private Task<AttemptOutcome> SendAsync(OutboundMessage message) => provider!.SendAsync(message, TestContext.Current.CancellationToken);

    private Task<InquiryAnswer?> AskAsync() => provider!.AskAsync(Message(), Now, TestContext.Current.CancellationToken);

    private static OutboundMessage Message(string body = "Hello") =>
        new(Guid.NewGuid(), "+821012345678", new NotificationContent(Body: body), Priority.Normal, null);
}
