namespace Notify.Tests.Dispatch;

using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Time.Testing;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Providers.Email;
using Notify.Dispatch.Providers.Email.SendGrid;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using static Notify.Tests.Dispatch.ScriptedServer;

public sealed class SendGridProviderTests : IAsyncDisposable
{
    private static readonly DateTimeOffset Now = new(2026, 5, 4, 12, 10, 0, TimeSpan.Zero);
    private static readonly Script Taken = Answer(202, "", ("X-Message-Id", "m-1"));
    private readonly List<IAsyncDisposable> servers = [];
    private SendGridProvider? provider;

    public async ValueTask DisposeAsync()
    {
        provider?.Dispose();
        foreach (var server in servers)
            await server.DisposeAsync();
    }

    [Fact]
    public async Task An_email_is_sent_as_SendGrid_wants_it()
    {
        var server = await ServeAsync(Taken);
        var message = Message(new NotificationContent("Grüße <&> \"민수\" 👋", "Plain\ntext", "<p>HTML & 안녕</p>"));
        Assert.Equal(new AttemptOutcome.Accepted("m-1"), await SendAsync(message));

        var request = Assert.Single(server.Received);
        Assert.Equal(("POST", "/v3/mail/send"), (request.Method, request.Target));
        Assert.Equal(("Bearer SG.key", "application/json"), (request.Headers["authorization"], request.Headers["content-type"]));
        var expected = new JsonObject
        {
            ["from"] = new JsonObject { ["name"] = "Notify Shop", ["email"] = "news@example.com" },
            ["personalizations"] = new JsonArray(
                new JsonObject
                {
                    ["to"] = new JsonArray(new JsonObject { ["email"] = "minsu@example.com" }),
                    ["subject"] = "Grüße <&> \"민수\" 👋",
                    ["headers"] = new JsonObject { ["Auto-Submitted"] = "auto-generated" },
                    ["custom_args"] = new JsonObject { ["notify_delivery"] = message.DeliveryId.ToString() },
                }
            ),
            ["content"] = new JsonArray(
                new JsonObject { ["type"] = "text/plain", ["value"] = "Plain\ntext" },
                new JsonObject { ["type"] = "text/html", ["value"] = "<p>HTML & 안녕</p>" }
            ),
            ["tracking_settings"] = JsonNode.Parse(
                """
                {"click_tracking":{"enable":false,"enable_text":false},"open_tracking":{"enable":false},
                "subscription_tracking":{"enable":false},
                "ganalytics":{"enable":false}}
                """
            ),
        };
        Assert.True(JsonNode.DeepEquals(expected, JsonNode.Parse(request.Body)), request.Body);
    }

    [Theory]
    [InlineData("body", "", "text/plain")]
    [InlineData("", "<p>html</p>", "text/html")]
    [InlineData(null, "<p>html</p>", "text/html")]
    public async Task Empty_part_is_omitted_and_no_text_is_derived(string? body, string? html, string only)
    {
        var server = await ServeAsync(Taken);
        await SendAsync(Message(new NotificationContent("t", body, html)));
        Assert.Equal(only, Assert.Single(JsonNode.Parse(server.Received[0].Body)!["content"]!.AsArray())!["type"]!.ToString());
    }

    [Fact]
    public async Task A_domain_of_other_letters_goes_out_in_ASCII_and_a_name_before_it_as_it_is()
    {
        var server = await ServeAsync(Taken);
        await SendAsync(Message() with { Address = "Kim@예시.한국" });
        Assert.Equal(
            "Kim@xn--vv4b11d.xn--3e0b707e",
            JsonNode.Parse(server.Received[0].Body)!["personalizations"]![0]!["to"]![0]!["email"]!.ToString()
        );
    }

    [Theory]
    [InlineData("Hello\r\nBcc: victim@example.com", "Hello Bcc: victim@example.com")]
    [InlineData("a\u2028b\u0085c\td\0e", "a b c d e")]
    [InlineData("  \r\n Hello \n\n ", "Hello")]
    public async Task Nothing_in_a_title_can_begin_another_header(string title, string subject)
    {
        var server = await ServeAsync(Taken);
        Assert.IsType<AttemptOutcome.Accepted>(await SendAsync(Message(new NotificationContent(title, "b"))));
        var mail = JsonNode.Parse(server.Received[0].Body)!;
        Assert.Equal(subject, mail["personalizations"]![0]!["subject"]!.ToString());
        Assert.Null(mail["headers"]);
    }

    public static readonly TheoryData<int, string, AttemptOutcome> Errors = new()
    {
        {
            400,
            Fields("personalizations.0.to.0.email"),
            new AttemptOutcome.Rejected(Reasons.BadAddress, "400 personalizations.0.to.0.email")
        },
        { 400, Fields("personalizations.0.to"), new AttemptOutcome.Rejected(Reasons.BadAddress, "400 personalizations.0.to") },
        { 400, Fields("content.0.value"), new AttemptOutcome.Rejected(Reasons.Rejected, "400 content.0.value") },
        { 400, Fields("from.email"), new AttemptOutcome.Halted("400 from.email") },
        { 400, Fields("minsu@example.com is no field"), new AttemptOutcome.Rejected(Reasons.Rejected, "400") },
        {
            400,
            """{"errors":[{"message":"Bad Request","field":null,"help":null}]}""",
            new AttemptOutcome.Rejected(Reasons.Rejected, "400")
        },
        { 400, """{"errors":[{"message":"x","field":"\ud800"}]}""", new AttemptOutcome.Rejected(Reasons.Rejected, "400") },
        // SendGrid's errors have a message each; an error without one is not SendGrid's.
        { 400, """{"errors":[7,{}]}""", new AttemptOutcome.Retry(Reasons.Retry, "400", TimeSpan.FromSeconds(30)) },
        { 400, "[]", new AttemptOutcome.Retry(Reasons.Retry, "400", TimeSpan.FromSeconds(30)) },
        { 400, "not json", new AttemptOutcome.Retry(Reasons.Retry, "400", TimeSpan.FromSeconds(30)) },
        { 401, """{"errors":[{"message":"authorization required","field":"null"}]}""", new AttemptOutcome.Halted("401") },
        { 403, Fields("from"), new AttemptOutcome.Halted("403 from") },
        { 404, "<html>", new AttemptOutcome.Halted("404") },
        { 413, "", new AttemptOutcome.Rejected(Reasons.TooLarge, "413") },
        { 429, Fields(null), new AttemptOutcome.Retry(Reasons.Retry, "429", TimeSpan.FromSeconds(30)) },
        {
            500,
            """{"errors":[{"message":"internal server error"}]}""",
            new AttemptOutcome.Retry(Reasons.Retry, "500", TimeSpan.FromSeconds(30))
        },
        {
            503,
            """{"errors":[{"message":"service unavailable","field":null}]}""",
            new AttemptOutcome.Retry(Reasons.Retry, "503", TimeSpan.FromSeconds(30))
        },
        { 500, "", new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 500, """{"errors":[]}""", new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 503, "<html>", new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 502, "<html>", new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 504, "", new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 525, "<html>", new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
    };

    [Theory, MemberData(nameof(Errors))]
    public async Task An_error_becomes_an_outcome_and_nothing_is_repeated(int status, string body, AttemptOutcome expected)
    {
        var server = await ServeAsync(Answer(status, body, ("Retry-After", "30")));
        Assert.Equal(expected, await SendAsync(Message()));
        Assert.Single(server.Received);
    }

    [Theory]
    [InlineData(45, null, 45d)]
    [InlineData(45, "10", 45d)]
    [InlineData(-5, "10", 10d)]
    [InlineData(-5, null, null)]
    [InlineData(1_000_000_000, null, 3600d)]
    [InlineData(null, "10", 10d)]
    [InlineData(null, "99999999", 3600d)]
    [InlineData(null, null, null)]
    public async Task Too_many_requests_wait_until_the_limit_is_reset(int? reset, string? retryAfter, double? seconds)
    {
        List<(string, string)> headers = [];
        if (reset is { } r)
            headers.Add(("X-RateLimit-Reset", $"{Now.ToUnixTimeSeconds() + r}"));
        if (retryAfter is not null)
            headers.Add(("Retry-After", retryAfter));
        await ServeAsync(Answer(429, "{}", [.. headers]));
        Assert.Equal(
            seconds is { } s ? TimeSpan.FromSeconds(s) : null,
            Assert.IsType<AttemptOutcome.Retry>(await SendAsync(Message())).After
        );
    }

    // SendGrid, Mail Send: «202 Accepted: your message is both valid, and queued to be delivered», named by X-Message-Id.
    [Theory]
    [InlineData(202, null)]
    [InlineData(200, "m-1")]
    [InlineData(200, null)]
    [InlineData(201, "m-1")]
    [InlineData(204, null)]
    [InlineData(301, null)]
    [InlineData(302, "m-1")]
    [InlineData(303, null)]
    public async Task Yes_without_SendGrids_own_sign_is_unknown(int status, string? id)
    {
        await ServeAsync(Answer(status, "", id is null ? [] : [("X-Message-Id", id)]));
        Assert.Equal(new AttemptOutcome.Unknown(Reasons.UnreadableAnswer), await SendAsync(Message()));
    }

    // The header says yes; RFC 9110, 15.3.3: the body of a 202 adds nothing.
    [Fact]
    public async Task Yes_in_the_headers_counts_although_the_body_breaks_off()
    {
        await ServeAsync(
            async (number, context) =>
            {
                context.Response.StatusCode = 202;
                context.Response.Headers["X-Message-Id"] = "m-1";
                context.Response.ContentLength = 100;
                await context.Response.WriteAsync("half");
                await context.Response.Body.FlushAsync();
                await Silence(number, context);
            },
            timeout: TimeSpan.FromSeconds(5)
        );
        Assert.Equal(new AttemptOutcome.Accepted("m-1"), await SendAsync(Message()));
    }

    [Fact]
    public async Task Silence_is_an_unknown_outcome()
    {
        await ServeAsync(Silence, timeout: TimeSpan.FromMilliseconds(300));
        Assert.Equal(new AttemptOutcome.Unknown(Reasons.TimedOut), await SendAsync(Message()));
    }

    [Fact]
    public async Task A_connection_broken_after_the_request_left_is_an_unknown_outcome_and_nothing_is_repeated()
    {
        var server = await ServeAsync(InTurn(Break, Taken, Break));
        Assert.Equal(new AttemptOutcome.Unknown(Reasons.ConnectionLost), await SendAsync(Message()));
        Assert.Single(server.Received);
        await SendAsync(Message());
        Assert.Equal(new AttemptOutcome.Unknown(Reasons.ConnectionLost), await SendAsync(Message())); // on a used connection
        Assert.Equal(3, server.Received.Count);
    }

    [Fact]
    public async Task A_refused_connection_is_tried_again_since_nothing_left()
    {
        Use(new Uri($"http://127.0.0.1:{ClosedPort()}"));
        Assert.Equal(Reasons.ConnectionLost, Assert.IsType<AttemptOutcome.Retry>(await SendAsync(Message())).Reason);
    }

    [Fact]
    public async Task Message_that_SendGrid_cannot_accept_is_rejected_without_a_call()
    {
        var server = await ServeAsync(Taken);
        Assert.Equal(
            new AttemptOutcome.Rejected(Reasons.NoContent, "subject"),
            await SendAsync(Message(new NotificationContent(Html: "<img src=x>")))
        );
        Assert.Equal(
            new AttemptOutcome.Rejected(Reasons.TooLarge, "413"),
            await SendAsync(Message(new NotificationContent("t", new string('x', SendGridMail.MaxBytes))))
        );
        Assert.Equal(new AttemptOutcome.Rejected(Reasons.BadAddress, "domain"), await SendAsync(Message() with { Address = "kim" }));
        Assert.Empty(server.Received);
    }

    [Fact]
    public void A_wrong_configuration_names_every_fault()
    {
        var faults = Faults([]);
        Assert.Equal(2, faults.Count);
        Assert.All(
            new[] { "ApiKey", "From" },
            name => Assert.Contains(faults, f => f.StartsWith($"SendGrid:{name} ", StringComparison.Ordinal))
        );
    }

    [Theory]
    [InlineData("ApiKey", "SG.a b")]
    [InlineData("ApiKey", "SG.a\r\nX-Other: 1")]
    [InlineData("From", "nobody")]
    [InlineData("From", "a@example.com\r\nBcc: b@example.com")]
    [InlineData("From", "\"Notify, Inc\" <a@example.com>")]
    [InlineData("From", "Notify; Inc <a@example.com>")]
    [InlineData("From", "이름@example.com")]
    [InlineData("WebhookPublicKey", "no key")]
    [InlineData("WebhookPublicKey", "AAAA")]
    [InlineData("BaseUrl", "sendgrid")]
    [InlineData("Concurrency", "0")]
    [InlineData("Timeout", "soon")]
    public void A_wrong_setting_is_named(string setting, string value) =>
        Assert.StartsWith(
            $"SendGrid:{setting} ",
            Assert.Single(
                Faults(
                    new()
                    {
                        ["ApiKey"] = "SG.key",
                        ["From"] = "a@example.com",
                        [setting] = value,
                    }
                )
            ),
            StringComparison.Ordinal
        );

    [Fact]
    public void A_key_for_the_webhook_is_read_as_SendGrid_shows_it()
    {
        using var key = System.Security.Cryptography.ECDsa.Create(System.Security.Cryptography.ECCurve.NamedCurves.nistP256);
        Assert.Empty(
            Faults(
                new()
                {
                    ["ApiKey"] = "SG.key",
                    ["From"] = "Shop <a@example.com>",
                    ["WebhookPublicKey"] = Convert.ToBase64String(key.ExportSubjectPublicKeyInfo()),
                }
            )
        );
    }

    private static List<string> Faults(Dictionary<string, string?> settings)
    {
        var faults = new List<string>();
        var configuration = new ConfigurationBuilder()
            .AddInMemoryCollection(settings.Select(s => new KeyValuePair<string, string?>($"SendGrid:{s.Key}", s.Value)))
            .Build();
        using var made = SendGridProvider.Create(configuration.GetSection("SendGrid"), TimeProvider.System, faults) as IDisposable;
        Assert.Equal(faults.Count == 0, made is not null);
        return faults;
    }

    private static string Fields(string? field) =>
        new JsonObject
        {
            ["errors"] = new JsonArray(
                new JsonObject
                {
                    ["message"] = "minsu@example.com",
                    ["field"] = field,
                    ["help"] = null,
                }
            ),
        }.ToJsonString();

    private async Task<ScriptedServer> ServeAsync(Script script, TimeSpan? timeout = null)
    {
        var server = await Http1Async(script);
        servers.Add(server);
        Use(server.Url, timeout);
        return server;
    }

    private void Use(Uri url, TimeSpan? timeout = null)
    {
        Assert.True(EmailSender.TryParse("Notify Shop <news@example.com>", out var from));
        provider = new SendGridProvider(
            new SendGridOptions
            {
                ApiKey = "SG.key",
                BaseUrl = url,
                Timeout = timeout ?? TimeSpan.FromSeconds(20),
            },
            from,
            new FakeTimeProvider(Now)
        );
    }

    private Task<AttemptOutcome> SendAsync(OutboundMessage message) => provider!.SendAsync(message, TestContext.Current.CancellationToken);

    private static OutboundMessage Message(NotificationContent? content = null) =>
        new(Guid.NewGuid(), "minsu@example.com", content ?? new NotificationContent("Hello", "World"), Priority.Normal, null);
}
