namespace Notify.Tests.Dispatch;

using System.Buffers.Text;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.Time.Testing;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Providers.Fcm;
using Notify.Domain.Notifications;
using Notify.Tests.Support;
using static Notify.Tests.Dispatch.ScriptedServer;

public sealed class FcmTokenTests : IAsyncDisposable
{
    private readonly FakeTimeProvider clock = new(new DateTimeOffset(2026, 5, 4, 12, 10, 0, TimeSpan.Zero));
    private ScriptedServer? server;
    private FcmAccount? account;
    private FcmToken? token;

    public async ValueTask DisposeAsync()
    {
        token?.Dispose();
        account?.Dispose();
        if (server is not null)
            await server.DisposeAsync();
    }

    [Fact]
    public async Task A_token_is_asked_for_with_an_assertion_that_the_account_has_signed()
    {
        await ServeAsync(FcmStandIn.Grant);
        Assert.Equal("Bearer t1", (await HeaderAsync()).ToString());

        var request = Assert.Single(server!.Received);
        Assert.Equal(("POST", "/token"), (request.Method, request.Target));
        Assert.StartsWith("application/x-www-form-urlencoded", request.Headers["content-type"], StringComparison.Ordinal);
        var form = QueryHelpers.ParseQuery(request.Body);
        Assert.Equal("urn:ietf:params:oauth:grant-type:jwt-bearer", form["grant_type"].ToString());
        var parts = form["assertion"].ToString().Split('.');
        var (header, claims) = (Json(parts[0]), Json(parts[1]));
        Assert.Equal(("RS256", "key-1"), (header.GetProperty("alg").GetString(), header.GetProperty("kid").GetString()));
        Assert.Equal("sender@my-project.iam.gserviceaccount.com", claims.GetProperty("iss").GetString());
        Assert.Equal("https://oauth2.googleapis.com/token", claims.GetProperty("aud").GetString());
        Assert.Equal("https://www.googleapis.com/auth/firebase.messaging", claims.GetProperty("scope").GetString());
        var (iat, exp) = (claims.GetProperty("iat").GetInt64(), claims.GetProperty("exp").GetInt64());
        Assert.Equal(clock.GetUtcNow().ToUnixTimeSeconds(), iat);
        Assert.InRange(exp - iat, 60, 3600);
        Assert.True(
            account!.Key.VerifyData(
                Encoding.ASCII.GetBytes($"{parts[0]}.{parts[1]}"),
                Base64Url.DecodeFromChars(parts[2]),
                HashAlgorithmName.SHA256,
                RSASignaturePadding.Pkcs1
            )
        );
    }

    [Fact]
    public async Task However_many_calls_need_a_token_it_is_asked_for_once_and_shared()
    {
        await ServeAsync(FcmStandIn.Grant);
        var headers = await Task.WhenAll(Enumerable.Range(0, 64).Select(_ => HeaderAsync()));
        Assert.All(headers, h => Assert.Equal("t1", h.Parameter));
        Assert.Same(await HeaderAsync(), await HeaderAsync());
        Assert.Single(server!.Received);
    }

    [Fact]
    public async Task A_token_is_renewed_before_it_ends_and_nobody_waits_for_that()
    {
        var renewed = new TaskCompletionSource();
        await ServeAsync(
            InTurn(
                FcmStandIn.Grant,
                async (number, context) =>
                {
                    await renewed.Task;
                    await FcmStandIn.Grant(number, context);
                }
            )
        );
        var first = await HeaderAsync();
        clock.Advance(TimeSpan.FromMinutes(30));
        Assert.Same(first, await HeaderAsync());

        Assert.Single(server!.Received);

        clock.Advance(TimeSpan.FromMinutes(27)); // three minutes are left
        Assert.Same(first, await HeaderAsync());
        await Eventually.Holds(() => Task.FromResult(server.Received.Count == 2), "a new token is asked for");
        Assert.Same(first, await HeaderAsync()); // the old one holds while the new one is on its way
        renewed.SetResult();
        await Eventually.Becomes(async () => (await HeaderAsync()).Parameter, t => t == "t2", "the new token is used");
        Assert.Equal(2, server.Received.Count);
    }

    [Fact]
    public async Task A_token_that_has_ended_is_not_used()
    {
        await ServeAsync(FcmStandIn.Grant);
        await HeaderAsync();
        clock.Advance(TimeSpan.FromMinutes(59));
        Assert.Equal("t2", (await HeaderAsync()).Parameter);
    }

    [Fact]
    public async Task Many_calls_that_met_a_wrong_token_renew_it_once()
    {
        await ServeAsync(FcmStandIn.Grant);
        var wrong = await HeaderAsync();
        var headers = await Task.WhenAll(
            Enumerable
                .Range(0, 64)
                .Select(_ =>
                    Task.Run(async () =>
                    {
                        token!.Discard(wrong);
                        return await HeaderAsync();
                    })
                )
        );
        Assert.All(headers, h => Assert.Equal("t2", h.Parameter));
        token!.Discard(wrong); // late, and no longer about the token in use
        Assert.Equal("t2", (await HeaderAsync()).Parameter);
        Assert.Equal(2, server!.Received.Count);
    }

    public static readonly TheoryData<int, string, AttemptOutcome> Refusals = new()
    {
        { 400, """{"error":"invalid_grant","error_description":"Invalid JWT Signature."}""", new AttemptOutcome.Halted("invalid_grant") },
        { 401, """{"error":"invalid_client"}""", new AttemptOutcome.Halted("invalid_client") },
        { 403, """{"error":"access_denied"}""", new AttemptOutcome.Halted("access_denied") },
        { 400, """{"error":"a sentence with spaces"}""", new AttemptOutcome.Halted("400") },
        { 404, "<html>", new AttemptOutcome.Halted("404") },
        { 429, """{"error":"rate_limit_exceeded"}""", new AttemptOutcome.Retry(Reasons.Retry, "rate_limit_exceeded") },
        { 500, """{"error":"internal_failure"}""", new AttemptOutcome.Retry(Reasons.Retry, "internal_failure") },
        { 502, "<html>", new AttemptOutcome.Retry(Reasons.Retry, "502") },
        { 503, """{"error":"backend_error"}""", new AttemptOutcome.Retry(Reasons.Retry, "backend_error") },
        { 200, "<html>", new AttemptOutcome.Retry(Reasons.Retry, "200") },
        { 200, "{}", new AttemptOutcome.Retry(Reasons.Retry, "no access_token") },
        { 302, "", null! },
        { 503, "", null! },
        { 200, "", null! },
        { 200, "[]", null! },
    };

    [Theory, MemberData(nameof(Refusals))]
    public async Task Without_a_token_a_delivery_waits_or_the_channel_halts(int status, string body, AttemptOutcome? expected)
    {
        await ServeAsync(Answer(status, body));
        var (header, outcome) = await token!.HeaderAsync(TestContext.Current.CancellationToken);
        Assert.Null(header);
        if (expected is null)
            Assert.IsType<AttemptOutcome.Retry>(outcome); // whatever it is called, it is tried again
        else
            Assert.Equal(expected, outcome);
    }

    [Fact]
    public async Task After_a_refusal_it_is_asked_for_again()
    {
        await ServeAsync(InTurn(Answer(503, "{}"), FcmStandIn.Grant));
        Assert.NotNull((await token!.HeaderAsync(TestContext.Current.CancellationToken)).Outcome);
        Assert.Equal("t2", (await HeaderAsync()).Parameter);
    }

    [Fact]
    public async Task A_silent_token_endpoint_holds_a_call_no_longer_than_its_time_out()
    {
        await ServeAsync(Silence, TimeSpan.FromMilliseconds(200));
        Assert.Equal(
            new AttemptOutcome.Retry(Reasons.TimedOut, null),
            (await token!.HeaderAsync(TestContext.Current.CancellationToken)).Outcome
        );
    }

    [Fact]
    public async Task A_token_endpoint_that_is_not_there_or_breaks_off_makes_the_delivery_wait()
    {
        await ServeAsync(Break);
        Assert.Equal(
            Reasons.ConnectionLost,
            Assert.IsType<AttemptOutcome.Retry>((await token!.HeaderAsync(TestContext.Current.CancellationToken)).Outcome).Reason
        );
        Use(new Uri($"http://127.0.0.1:{ClosedPort()}"));
        Assert.Equal(
            Reasons.ConnectionLost,
            Assert.IsType<AttemptOutcome.Retry>((await token!.HeaderAsync(TestContext.Current.CancellationToken)).Outcome).Reason
        );
    }

    [Theory]
    [InlineData(null, "0")]
    [InlineData(HttpStatusCode.RequestTimeout, "408")]
    public void Transient_token_failure_is_retried(HttpStatusCode? status, string code) =>
        Assert.Equal(new AttemptOutcome.Retry(Reasons.Retry, code), FcmToken.Outcome(status, null));

    private static readonly DateTimeOffset Start = new(2026, 5, 4, 12, 10, 0, TimeSpan.Zero);

    private async Task ServeAsync(Script script, TimeSpan? timeout = null)
    {
        server = await Http1Async(script);
        Use(server.Url, timeout);
    }

    private void Use(Uri url, TimeSpan? timeout = null)
    {
        token?.Dispose();
        account?.Dispose();
        account = FcmStandIn.Account(url);
        token = new FcmToken(account, timeout ?? TimeSpan.FromSeconds(20), clock);
    }

    private async Task<AuthenticationHeaderValue> HeaderAsync()
    {
        var (header, outcome) = await token!.HeaderAsync(TestContext.Current.CancellationToken);
        return header ?? throw new InvalidOperationException($"no token: {outcome}");
    }

    private static JsonElement Json(string part) => JsonDocument.Parse(Base64Url.DecodeFromChars(part)).RootElement;
}
