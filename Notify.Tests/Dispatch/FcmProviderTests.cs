namespace Notify.Tests.Dispatch;

using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Time.Testing;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Providers.Fcm;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using static Notify.Tests.Dispatch.FcmStandIn;
using static Notify.Tests.Dispatch.ScriptedServer;

public sealed class FcmProviderTests : IAsyncDisposable
{
    private const string Name = "projects/my-project/messages/0:1";
    private static readonly Guid Id = Guid.Parse("e82ef91d-0847-8010-a731-d0a6056833f9");
    private static readonly Script Yes = Answer(200, $$"""{"name":"{{Name}}"}""");
    private readonly FakeTimeProvider clock = new(new DateTimeOffset(2026, 5, 4, 12, 10, 0, TimeSpan.Zero));
    private readonly List<IAsyncDisposable> servers = [];
    private FcmProvider? provider;

    public async ValueTask DisposeAsync()
    {
        provider?.Dispose();
        foreach (var server in servers)
            await server.DisposeAsync();
    }

    [Fact]
    public async Task A_push_is_sent_as_Google_wants_it()
    {
        var server = await ServeAsync(Yes);
        Assert.Equal(new AttemptOutcome.Accepted(Name), await SendAsync());

        var request = Assert.Single(server.Sends());
        Assert.Equal(("POST", "/v1/projects/my-project/messages:send"), (request.Method, request.Target));
        Assert.Equal(("Bearer t1", "application/json"), (request.Headers["authorization"], request.Headers["content-type"]));
        var message = JsonDocument.Parse(request.Body).RootElement.GetProperty("message");
        Assert.Equal("device-token", message.GetProperty("token").GetString());
        Assert.Equal("It comes “tomorrow” 👋", message.GetProperty("notification").GetProperty("body").GetString());
    }

    [Fact]
    public async Task Many_pushes_share_one_token_and_where_the_server_speaks_HTTP_2_few_connections()
    {
        var (server, tokens) = await ServeHttp2Async(Yes);
        await SendAsync();
        var outcomes = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => SendAsync()));

        Assert.All(outcomes, o => Assert.Equal(new AttemptOutcome.Accepted(Name), o));
        Assert.All(server.Sends(), r => Assert.Equal("HTTP/2", r.Protocol));
        Assert.InRange(server.Sends().Select(r => r.Connection).Distinct().Count(), 1, 2);
        Assert.Single(tokens.Received);
    }

    public static readonly TheoryData<int, string, AttemptOutcome> Errors = new()
    {
        {
            400,
            Error("INVALID_ARGUMENT", "INVALID_ARGUMENT", "message.data"),
            new AttemptOutcome.Rejected(Reasons.Rejected, "INVALID_ARGUMENT")
        },
        { 400, Error("INVALID_ARGUMENT", "INVALID_ARGUMENT"), new AttemptOutcome.Rejected(Reasons.Rejected, "INVALID_ARGUMENT") },
        { 400, Error("INVALID_ARGUMENT", null, "message.android.ttl"), new AttemptOutcome.Rejected(Reasons.Rejected, "INVALID_ARGUMENT") },
        { 404, Error("NOT_FOUND", null), new AttemptOutcome.Halted("NOT_FOUND", IsAttempt: true) },
        { 413, "", new AttemptOutcome.Rejected(Reasons.TooLarge, "413") },
        { 403, Error("PERMISSION_DENIED", "SENDER_ID_MISMATCH"), new AttemptOutcome.Rejected(Reasons.BadAddress, "SENDER_ID_MISMATCH") },
        { 403, Error("PERMISSION_DENIED", null), new AttemptOutcome.Halted("PERMISSION_DENIED") },
        { 401, Error("UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"), new AttemptOutcome.Halted("THIRD_PARTY_AUTH_ERROR", IsAttempt: true) },
        {
            429,
            Error("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"),
            new AttemptOutcome.Retry(Reasons.Retry, "QUOTA_EXCEEDED", TimeSpan.FromSeconds(30))
        },
        { 500, "", new AttemptOutcome.Retry(Reasons.Retry, "500", TimeSpan.FromSeconds(30)) },
        { 502, "<html>", new AttemptOutcome.Retry(Reasons.Retry, "502", TimeSpan.FromSeconds(30)) },
        { 503, Error("UNAVAILABLE", "UNAVAILABLE"), new AttemptOutcome.Retry(Reasons.Retry, "UNAVAILABLE", TimeSpan.FromSeconds(30)) },
        { 400, "{\"error\":", new AttemptOutcome.Retry(Reasons.Retry, "400", TimeSpan.FromSeconds(30)) }, // half an answer
    };

    [Theory, MemberData(nameof(Errors))]
    public async Task An_error_becomes_an_outcome_and_nothing_is_repeated(int status, string body, AttemptOutcome expected)
    {
        var server = await ServeAsync(Answer(status, body, ("retry-after", "30")));
        Assert.Equal(expected, await SendAsync());
        Assert.Single(server.Sends());
    }

    [Fact]
    public async Task A_limit_without_a_time_is_waited_for_a_minute()
    {
        await ServeAsync(Answer(429, Error("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")));
        Assert.Equal(new AttemptOutcome.Retry(Reasons.Retry, "QUOTA_EXCEEDED", TimeSpan.FromSeconds(60)), await SendAsync());
    }

    [Fact]
    public async Task A_payload_that_is_refused_every_time_says_nothing_about_any_token()
    {
        var server = await ServeAsync(Answer(400, Error("INVALID_ARGUMENT", "INVALID_ARGUMENT", "message.android.notification.color")));
        for (var i = 0; i < 100; i++)
            Assert.Equal(
                AddressVerdict.None,
                Assert.IsType<AttemptOutcome.Rejected>(await SendAsync(Message() with { Address = $"token-{i}" })).Verdict
            );
        Assert.Equal(100, server.Sends().Count);
    }

    [Theory]
    [InlineData(404, "NOT_FOUND", "UNREGISTERED", null, Reasons.Unregistered)]
    [InlineData(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "message.token", Reasons.BadAddress)]
    public async Task A_dead_token_is_dead_as_of_the_moment_of_the_call(
        int status,
        string general,
        string code,
        string? field,
        string reason
    )
    {
        var began = clock.GetUtcNow();
        await ServeAsync(
            (number, context) =>
            {
                clock.Advance(TimeSpan.FromSeconds(5)); // a device may be registered anew while the answer is on its way
                return Answer(status, Error(general, code, field))(number, context);
            }
        );
        Assert.Equal(new AttemptOutcome.Rejected(reason, code, AddressVerdict.Dead, began), await SendAsync());
    }

    [Fact]
    public async Task A_token_that_FCM_does_not_know_is_renewed_and_the_push_sent_again_once()
    {
        var server = await ServeAsync(InTurn(Answer(401, Error("UNAUTHENTICATED", null)), Yes));
        Assert.Equal(new AttemptOutcome.Accepted(Name), await SendAsync());
        Assert.Equal(["Bearer t1", "Bearer t2"], server.Sends().Select(r => r.Headers["authorization"]));
        Assert.Equal(server.Sends()[0].Body, server.Sends()[1].Body);
        await SendAsync();
        Assert.Equal("Bearer t2", server.Sends()[2].Headers["authorization"]);
        Assert.Equal(2, server.TokenRequests().Count);
    }

    [Fact]
    public async Task Provider_that_rejects_a_renewed_token_is_halted()
    {
        var server = await ServeAsync(Answer(401, Error("UNAUTHENTICATED", null)));
        Assert.Equal(new AttemptOutcome.Halted("UNAUTHENTICATED"), await SendAsync());
        Assert.Equal(2, server.Sends().Count);
    }

    [Fact]
    public async Task Without_a_token_nothing_is_sent()
    {
        var server = await ServeAsync(Yes, Answer(400, """{"error":"invalid_grant"}"""));
        Assert.Equal(new AttemptOutcome.Halted("invalid_grant"), await SendAsync());
        Assert.Empty(server.Sends());
    }

    [Fact]
    public async Task Silence_is_an_unknown_outcome()
    {
        await ServeAsync(InTurn(Yes, Silence), timeout: TimeSpan.FromMilliseconds(500));
        await SendAsync();
        Assert.Equal(new AttemptOutcome.Unknown(Reasons.TimedOut), await SendAsync());
    }

    [Fact]
    public async Task A_connection_broken_after_the_request_left_is_an_unknown_outcome()
    {
        await ServeAsync(Break);
        Assert.Equal(new AttemptOutcome.Unknown(Reasons.ConnectionLost), await SendAsync());
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
        Assert.Equal(new AttemptOutcome.Unknown(Reasons.ConnectionLost), await SendAsync());
    }

    [Fact]
    public async Task A_stream_that_is_reset_is_an_unknown_outcome()
    {
        const int InternalError = 2;
        await ServeHttp2Async(
            (_, context) =>
            {
                context.Features.GetRequiredFeature<IHttpResetFeature>().Reset(InternalError);
                return Task.CompletedTask;
            }
        );
        Assert.Equal(new AttemptOutcome.Unknown(Reasons.ConnectionLost), await SendAsync());
    }

    [Fact]
    public async Task A_refused_connection_is_tried_again_since_nothing_left()
    {
        var server = await Http1Async(Serve(Yes));
        servers.Add(server);
        provider = new FcmProvider(new FcmOptions { BaseUrl = new Uri($"http://127.0.0.1:{ClosedPort()}") }, Account(server.Url), clock);
        Assert.Equal(Reasons.ConnectionLost, Assert.IsType<AttemptOutcome.Retry>(await SendAsync()).Reason);
    }

    [Fact]
    public async Task A_closed_idle_connection_is_survived()
    {
        var first = await ServeAsync(Yes);
        Assert.Equal(new AttemptOutcome.Accepted(Name), await SendAsync());
        await first.StopAsync();
        servers.Add(await Http1Async(Serve(Yes), first.Url.Port));
        Assert.Equal(new AttemptOutcome.Accepted(Name), await SendAsync());
    }

    [Fact]
    public async Task A_redirect_is_not_followed()
    {
        var server = await ServeAsync(Answer(307, "", ("Location", "http://127.0.0.1:1/elsewhere")));
        Assert.Equal(new AttemptOutcome.Halted("307"), await SendAsync()); // RFC 9110, 15.4.8
        Assert.Single(server.Sends());
    }

    [Fact]
    public async Task Oversized_payload_is_rejected_without_a_call()
    {
        var server = await ServeAsync(Yes);
        Assert.Equal(
            new AttemptOutcome.Rejected(Reasons.TooLarge, "INVALID_ARGUMENT"),
            await SendAsync(Message() with { Content = new NotificationContent("t", new string('x', 5000)) })
        );
        Assert.Empty(server.Received);
    }

    // Firebase, projects.messages.send: «If successful, the response body contains an instance of Message», whose name FCM sets.
    [Theory]
    [InlineData(200, "<html>")]
    [InlineData(200, "{}")]
    [InlineData(200, "")]
    [InlineData(202, """{"name":"projects/p/messages/1"}""")]
    public async Task Yes_without_FCMs_own_sign_is_unknown(int status, string body)
    {
        await ServeAsync(Answer(status, body));
        Assert.Equal(new AttemptOutcome.Unknown(Reasons.UnreadableAnswer), await SendAsync());
    }

    private async Task<ScriptedServer> ServeAsync(Script send, Script? token = null, TimeSpan? timeout = null)
    {
        var server = await Http1Async(Serve(send, token));
        servers.Add(server);
        provider = new FcmProvider(
            new FcmOptions { BaseUrl = server.Url, Timeout = timeout ?? TimeSpan.FromSeconds(20) },
            Account(server.Url),
            clock
        );
        return server;
    }

    // As at Google, the token endpoint is another server.
    private async Task<(ScriptedServer Server, ScriptedServer Tokens)> ServeHttp2Async(Script send)
    {
        var (server, tokens) = (await Http2Async(send), await Http1Async(Grant));
        servers.AddRange([server, tokens]);
        var ca = X509Certificate2.CreateFromPem(await File.ReadAllTextAsync(Certificate.CaPath, TestContext.Current.CancellationToken));
        provider = new FcmProvider(
            new FcmOptions { BaseUrl = server.Url, Timeout = TimeSpan.FromSeconds(20) },
            Account(tokens.Url),
            clock,
            ca
        );
        return (server, tokens);
    }

    private Task<AttemptOutcome> SendAsync(OutboundMessage? message = null) =>
        provider!.SendAsync(message ?? Message(), TestContext.Current.CancellationToken);

    private static OutboundMessage Message() =>
        new(Id, "device-token", new NotificationContent("Shipped", "It comes “tomorrow” 👋"), Priority.Normal, null);

    private static string Error(string status, string? code, string? field = null)
    {
        var details = new List<object>();
        if (code is not null)
            details.Add(
                new Dictionary<string, object> { ["@type"] = "type.googleapis.com/google.firebase.fcm.v1.FcmError", ["errorCode"] = code }
            );
        if (field is not null)
            details.Add(
                new Dictionary<string, object>
                {
                    ["@type"] = "type.googleapis.com/google.rpc.BadRequest",
                    ["fieldViolations"] = new[] { new { field, description = "d" } },
                }
            );
        return JsonSerializer.Serialize(
            new
            {
                error = new
                {
                    code = 0,
                    message = "m",
                    status,
                    details,
                },
            }
        );
    }
}
