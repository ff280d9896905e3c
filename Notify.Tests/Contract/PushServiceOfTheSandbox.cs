namespace Notify.Tests.Contract;

using System.Buffers.Text;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;
using Notify.Dispatch.Providers.WebPush;
using Notify.Tests.Support;

/// <summary>The push service that the sandbox simulates is as strict as the RFCs: it rejects all that a real one rejects.</summary>
public sealed class PushServiceOfTheSandbox : SystemTest, IDisposable
{
    private static readonly TimeProvider Clock = TimeProvider.System;
    private readonly ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private readonly HttpClient http = new();

    /// <inheritdoc />
    public void Dispose()
    {
        key.Dispose();
        http.Dispose();
    }

    public static readonly TheoryData<string, int, string> Messages = new()
    {
        { "good", 201, "accepted" },
        { "good without topic and urgency", 201, "accepted" },
        { "empty", 201, "accepted" },
        { "without TTL", 400, "BadTtl" },
        { "negative TTL", 400, "BadTtl" },
        { "topic of 33 characters", 400, "BadTopic" },
        { "topic with a blank", 400, "BadTopic" },
        { "unknown urgency", 400, "BadUrgency" },
        { "not encoded", 400, "BadContentEncoding" },
        { "older encoding", 400, "BadContentEncoding" },
        { "touched", 400, "Undecryptable" },
        { "for someone else", 400, "Undecryptable" },
        { "plain", 400, "Undecryptable" },
        { "without authorization", 401, "MissingAuthorization" },
        { "other scheme", 401, "MissingAuthorization" },
        { "no token", 403, "BadAuthorization" },
        { "signed by another key", 403, "BadSignature" },
        { "for another origin", 403, "BadAudience" },
        { "for the whole endpoint", 403, "BadAudience" },
        { "expired", 403, "ExpiredToken" },
        { "for more than a day", 403, "ExpiryTooLate" },
        { "without subject", 403, "BadSubject" },
        { "to a subscription of another key", 403, "WrongKey" },
        { "unknown subscription", 404, "NotFound" },
        { "got instead of posted", 405, "MethodNotAllowed" },
        { "larger than 4096", 413, "TooLarge" },
    };

    [Theory, MemberData(nameof(Messages))]
    public async Task It_takes_what_is_right_and_nothing_else(string what, int status, string outcome)
    {
        var subscription = await Sandbox.SubscribeAsync(
            applicationServerKey: what == "to a subscription of another key" ? "another" : PublicKey(key)
        );
        var receiver = what == "for someone else" ? await Sandbox.SubscribeAsync() : subscription;
        var mark = NewId("strict");
        var body = PushEncryption.Seal(
            System.Text.Encoding.UTF8.GetBytes($$"""{"title":"{{mark}}"}"""),
            Base64Url.DecodeFromChars(receiver.Keys.P256dh),
            Base64Url.DecodeFromChars(receiver.Keys.Auth)
        )!;
        if (what == "touched")
            body[^1] ^= 1;
        if (what == "plain")
            body = "{}"u8.ToArray();
        if (what == "empty")
            body = [];
        if (what == "larger than 4096")
            body = new byte[4097];

        var endpoint =
            what == "unknown subscription" ? new Uri(Installation.SandboxUrl, "/push/unknown").ToString() : subscription.Endpoint;
        using var request = new HttpRequestMessage(what == "got instead of posted" ? HttpMethod.Get : HttpMethod.Post, endpoint)
        {
            Content = new ByteArrayContent(body),
        };
        if (what is not ("not encoded" or "empty"))
            request.Content.Headers.ContentEncoding.Add(what == "older encoding" ? "aesgcm" : "aes128gcm");
        if (what != "without TTL")
            request.Headers.Add("TTL", what == "negative TTL" ? "-1" : "60");
        if (what != "good without topic and urgency")
        {
            request.Headers.TryAddWithoutValidation(
                "Topic",
                what switch
                {
                    "topic of 33 characters" => new string('a', 33),
                    "topic with a blank" => "a b",
                    _ => "abc-_1",
                }
            );
            request.Headers.TryAddWithoutValidation("Urgency", what == "unknown urgency" ? "urgent" : "very-low");
        }

        if (what != "without authorization")
            request.Headers.Authorization = new AuthenticationHeaderValue(
                what == "other scheme" ? "WebPush" : "vapid",
                Token(what, endpoint)
            );

        using var response = await http.SendAsync(request, TestContext.Current.CancellationToken);

        var text = await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.True((int)response.StatusCode == status, $"{(int)response.StatusCode}: {text}");
        if (status == 201)
            Assert.Equal(Installation.SandboxUrl.Authority, response.Headers.Location!.Authority);
        else
            Assert.Equal(outcome, JsonNode.Parse(text)!["error"]!.ToString());
        if (what.StartsWith("good", StringComparison.Ordinal))
            Assert.Equal(
                (mark, subscription.Id, outcome),
                Assert.Single(await Sandbox.LedgerAsync(mark)) is var e ? (e.Text, e.To, e.Outcome) : default
            );
    }

    [Fact]
    public async Task A_fate_that_there_is_not_is_named()
    {
        using var response = await http.PostAsJsonAsync(
            new Uri(Installation.SandboxUrl, "/webpush/subscriptions"),
            new { fate = "doomed" },
            TestContext.Current.CancellationToken
        );
        Assert.Equal(400, (int)response.StatusCode);
        Assert.Contains(
            "gone, notfound, toolarge",
            await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken),
            StringComparison.Ordinal
        );
    }

    private string Token(string what, string endpoint)
    {
        if (what == "no token")
            return $"k={PublicKey(key)}";
        using var other = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var token = new JsonWebTokenHandler { SetDefaultTimesOnTokenCreation = false }.CreateToken(
            new SecurityTokenDescriptor
            {
                Audience = what switch
                {
                    "for another origin" => "https://push.example.com",
                    "for the whole endpoint" => endpoint,
                    _ => new Uri(endpoint).GetLeftPart(UriPartial.Authority),
                },
                Expires = (
                    Clock.GetUtcNow()
                    + (
                        what switch
                        {
                            "expired" => TimeSpan.FromSeconds(-1),
                            "for more than a day" => TimeSpan.FromHours(24.1),
                            _ => TimeSpan.FromHours(12),
                        }
                    )
                ).UtcDateTime,
                Claims = what == "without subject" ? [] : new Dictionary<string, object> { ["sub"] = "mailto:ops@example.com" },
                SigningCredentials = new SigningCredentials(
                    new ECDsaSecurityKey(what == "signed by another key" ? other : key),
                    SecurityAlgorithms.EcdsaSha256
                )
                {
                    CryptoProviderFactory = new CryptoProviderFactory { CacheSignatureProviders = false },
                },
            }
        );
        return $"t={token}, k={PublicKey(key)}";
    }

    private static string PublicKey(ECDsa key) =>
        key.ExportParameters(includePrivateParameters: false).Q is var q ? Base64Url.EncodeToString([4, .. q.X!, .. q.Y!]) : "";
}
