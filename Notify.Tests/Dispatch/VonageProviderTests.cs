namespace Notify.Tests.Dispatch;

using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.Time.Testing;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Providers.Sms.Vonage;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using static Notify.Tests.Dispatch.ScriptedServer;

public sealed class VonageProviderTests : IAsyncDisposable
{
    private static readonly DateTimeOffset Now = new(2026, 5, 4, 12, 10, 0, TimeSpan.Zero);
    private readonly FakeTimeProvider clock = new(Now);
    private readonly List<IAsyncDisposable> servers = [];
    private const string Record = """{"records":[{"message_id":"0A01","client_ref":"0199c0de000070008000000000000001"}]}""";
    private VonageProvider? provider;

    public async ValueTask DisposeAsync()
    {
        provider?.Dispose();
        foreach (var server in servers)
            await server.DisposeAsync();
    }

    [Fact]
    public async Task Vonage_is_told_where_receipts_go()
    {
        var server = await ServeAsync(Answer(200, """{"messages":[{"message-id":"0A01","status":"0"}]}"""));
        using var told = new VonageProvider(Options(server.Url, null) with { ReceiptsUrl = new Uri("https://notify.example.com") }, clock);
        await told.SendAsync(Message("x"), TestContext.Current.CancellationToken);
        Assert.Equal("https://notify.example.com/receipts/vonage", QueryHelpers.ParseQuery(server.Received[0].Body)["callback"].ToString());
    }

    [Theory]
    [InlineData("Gruß & Küsse = 50 %", null)]
    [InlineData("안녕 👋", "unicode")]
    public async Task An_sms_is_sent_as_Vonage_wants_it(string text, string? type)
    {
        var server = await ServeAsync(
            Answer(200, """{"message-count":"1","messages":[{"to":"821012345678","message-id":"0A01","status":"0"}]}""")
        );
        var message = Message(text);
        Assert.Equal(new AttemptOutcome.Accepted("0A01"), await provider!.SendAsync(message, TestContext.Current.CancellationToken));

        var request = Assert.Single(server.Received);
        Assert.Equal(("POST", "/sms/json"), (request.Method, request.Target));
        Assert.StartsWith("application/x-www-form-urlencoded", request.Headers["content-type"], StringComparison.Ordinal);
        var form = QueryHelpers.ParseQuery(request.Body).ToDictionary(f => f.Key, f => f.Value.ToString());
        Assert.Equal(type, form.GetValueOrDefault("type"));
        form.Remove("type");
        Assert.Equal(
            new SortedDictionary<string, string>
            {
                ["api_key"] = "abcd1234",
                ["api_secret"] = "secret",
                ["from"] = "Acme",
                ["to"] = "821012345678",
                ["text"] = text,
                ["client-ref"] = message.DeliveryId.ToString("N"),
            },
            new SortedDictionary<string, string>(form)
        );
        Assert.True(form["client-ref"].Length <= 40);
    }

    public static readonly TheoryData<int, string, AttemptOutcome> Errors = new()
    {
        {
            200,
            """{"messages":[{"status":"1","error-text":"Throughput Rate Exceeded"}]}""",
            new AttemptOutcome.Retry(Reasons.Retry, "1", TimeSpan.FromSeconds(30))
        },
        { 200, """{"messages":[{"status":"4","error-text":"Bad Credentials"}]}""", new AttemptOutcome.Halted("4") },
        { 200, """{"messages":[{"status":"7","error-text":"Number barred"}]}""", new AttemptOutcome.Rejected(Reasons.BadAddress, "7") },
        { 200, """{"messages":[{"status":"0","message-id":"A"},{"status":"5"}]}""", new AttemptOutcome.Accepted("A", 1) },
        { 200, """{"messages":[{"status":"5"},{"status":"0","message-id":"B"}]}""", new AttemptOutcome.Accepted("B", 1) },
        { 200, """{"messages":[{"status":"0"}]}""", new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
        { 202, """{"status":"queued"}""", new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
        { 200, "half a bod", new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
        { 401, "", new AttemptOutcome.Halted("401") },
        {
            500,
            """{"messages":[{"status":"5","error-text":"Internal Error"}]}""",
            new AttemptOutcome.Retry(Reasons.Retry, "5", TimeSpan.FromSeconds(30))
        },
        { 500, """{"messages":[{"status":"0","message-id":"0A01"}]}""", new AttemptOutcome.Accepted("0A01") },
        { 500, "<html>", new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 503, "", new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 504, "", new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
    };

    [Theory, MemberData(nameof(Errors))]
    public async Task An_answer_becomes_an_outcome_and_nothing_is_repeated(int status, string body, AttemptOutcome expected)
    {
        var server = await ServeAsync(Answer(status, body, ("Retry-After", "30")));
        Assert.Equal(expected, await provider!.SendAsync(Message(), TestContext.Current.CancellationToken));
        Assert.Single(server.Received);
    }

    [Theory, MemberData(nameof(VonageStatusTests.Statuses), MemberType = typeof(VonageStatusTests))]
    public async Task Each_status_means_the_same_on_the_wire(string status, AttemptOutcome expected)
    {
        await ServeAsync(Answer(200, $$"""{"messages":[{"status":"{{status}}","message-id":"ID0"}]}"""));
        Assert.Equal(expected, await provider!.SendAsync(Message(), TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Silence_is_an_unknown_outcome()
    {
        await ServeAsync(Silence, timeout: TimeSpan.FromMilliseconds(300));
        Assert.Equal(
            new AttemptOutcome.Unknown(Reasons.TimedOut),
            await provider!.SendAsync(Message(), TestContext.Current.CancellationToken)
        );
    }

    [Fact]
    public async Task A_connection_reset_after_the_request_is_an_unknown_outcome()
    {
        await ServeAsync(
            (_, context) =>
            {
                context.Abort();
                return Task.CompletedTask;
            }
        );
        Assert.Equal(
            new AttemptOutcome.Unknown(Reasons.ConnectionLost),
            await provider!.SendAsync(Message(), TestContext.Current.CancellationToken)
        );
    }

    [Fact]
    public async Task A_connection_that_never_stood_is_tried_again()
    {
        provider = new VonageProvider(Options(new Uri($"http://127.0.0.1:{ClosedPort()}"), null), clock);
        Assert.IsType<AttemptOutcome.Retry>(await provider.SendAsync(Message(), TestContext.Current.CancellationToken));
    }

    // OpenAPI, get-records: account_id, product and direction are required; date_end is exclusive, 24 hours after date_start at most.
    [Fact]
    public async Task Reports_are_asked_for_the_messages_to_the_number_around_the_attempt()
    {
        var server = await ServeAsync(Answer(200, Record));
        var answer = await provider!.AskAsync(Message(), Now, TestContext.Current.CancellationToken);
        Assert.Equal(("0A01", false), (Assert.Single(answer!.MessageIds), answer.IsComplete));
        var request = Assert.Single(server.Received);
        Assert.Equal("Basic " + Convert.ToBase64String("abcd1234:secret"u8), request.Headers["authorization"]);
        Assert.Equal(
            "/v2/reports/records?account_id=abcd1234&product=SMS&direction=outbound&include_message=true"
                + "&date_start=2026-05-04T11:05:00Z&date_end=2026-05-04T13:15:11Z&to=821012345678",
            request.Target
        );
    }

    [Fact]
    public async Task Later_pages_of_the_reports_are_read()
    {
        var server = await ServeAsync(
            InTurn(
                Answer(200, """{"records":[],"_links":{"next":{"href":"https://api.nexmo.com/v2/reports/records?cursor=c"}}}"""),
                Answer(200, Record)
            )
        );
        Assert.Equal("0A01", Assert.Single((await provider!.AskAsync(Message(), Now, TestContext.Current.CancellationToken))!.MessageIds));
        Assert.Equal("/v2/reports/records?cursor=c", server.Received[1].Target);
    }

    // No document says how soon a message is in the reports.
    [Fact]
    public async Task Absence_from_the_reports_is_never_complete()
    {
        await ServeAsync(Answer(200, """{"records":[]}"""));
        var answer = await provider!.AskAsync(Message(), Now, TestContext.Current.CancellationToken);
        Assert.Equal((0, false), (answer!.MessageIds.Count, answer.IsComplete));
    }

    [Theory]
    [InlineData(503, "")]
    [InlineData(401, "{}")]
    [InlineData(403, "{}")]
    [InlineData(200, "<html>")]
    public async Task Trouble_with_the_reports_tells_nothing(int status, string body)
    {
        await ServeAsync(Answer(status, body));
        Assert.Null(await provider!.AskAsync(Message(), Now, TestContext.Current.CancellationToken));
    }

    [Theory]
    [InlineData("https://rest.nexmo.com", null, "https://api.nexmo.com/")]
    [InlineData("http://127.0.0.1:5081", null, "http://127.0.0.1:5081/")]
    [InlineData("https://rest.nexmo.com", "https://api-eu.vonage.com", "https://api-eu.vonage.com/")]
    public void Reports_have_an_address_of_their_own(string baseUrl, string? reportsUrl, string expected)
    {
        var options = new VonageOptions { BaseUrl = new(baseUrl), ReportsUrl = reportsUrl is null ? null : new(reportsUrl) };
        Assert.Equal(expected, options.EffectiveReportsUrl.ToString());
    }

    // OpenAPI, NewMessage.ttl: milliseconds, 20,000 to 604,800,000; 72 hours by default.
    [Theory]
    [InlineData(null, null)]
    [InlineData(90.5, "90500")]
    [InlineData(5d, "20000")]
    [InlineData(-5d, "20000")]
    [InlineData(3600d, "3600000")]
    [InlineData(72 * 3600d, null)]
    public async Task Expiry_becomes_the_time_to_live(double? seconds, string? expected)
    {
        var server = await ServeAsync(Answer(200, """{"messages":[{"message-id":"0A01","status":"0"}]}"""));
        var message = Message() with { ExpiresAt = seconds is { } s ? Now.AddSeconds(s) : null };
        await provider!.SendAsync(message, TestContext.Current.CancellationToken);
        Assert.Equal(expected, QueryHelpers.ParseQuery(server.Received[0].Body).TryGetValue("ttl", out var ttl) ? ttl.ToString() : null);
    }

    [Fact]
    public void Every_fault_of_the_settings_is_told()
    {
        var faults = new List<string>();
        new VonageOptions { SignatureMethod = "rot13", Concurrency = 0 }.Check("Providers:Vonage", faults);
        Assert.Equal(5, faults.Count);
        Assert.All(faults, f => Assert.StartsWith("Providers:Vonage", f, StringComparison.Ordinal));
    }

    /// <summary>Vonage, SMS API, callback: at most 100 characters; error 23 refuses every SMS with a longer one.</summary>
    [Theory]
    [InlineData(64, 0)]
    [InlineData(65, 1)]
    public void An_address_for_receipts_that_Vonage_refuses_ends_the_start(int name, int count)
    {
        var faults = new List<string>();
        var options = Options(new Uri("https://rest.nexmo.com"), null) with
        {
            ReceiptsUrl = new Uri($"https://example.com/{new string('a', name)}"),
        };
        options.Check("Providers:Vonage", faults);
        Assert.Equal(count, faults.Count);
    }

    private static OutboundMessage Message(string text = "Hello") =>
        new(
            Guid.Parse("0199c0de-0000-7000-8000-000000000001"),
            "+821012345678",
            new NotificationContent(Body: text),
            Priority.Normal,
            null
        );

    private static VonageOptions Options(Uri url, TimeSpan? timeout) =>
        new()
        {
            ApiKey = "abcd1234",
            ApiSecret = "secret",
            From = "Acme",
            BaseUrl = url,
            Timeout = timeout ?? TimeSpan.FromSeconds(10),
        };

    private async Task<ScriptedServer> ServeAsync(Script script, TimeSpan? timeout = null)
    {
        var server = await Http1Async(script);
        servers.Add(server);
        provider = new VonageProvider(Options(server.Url, timeout), clock);
        return server;
    }
}
