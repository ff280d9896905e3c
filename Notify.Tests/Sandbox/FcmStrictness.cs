namespace Notify.Tests.Sandbox;

using System.Buffers.Text;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Notify.Tests.Support;

/// <summary>The sandbox rejects all that Google rejects, in Google's own shape: a message that it accepts is valid there.</summary>
public sealed class FcmStrictness : SystemTest, IDisposable
{
    private const string Token = "strict:0123456789abcdef0123456789";
    private static readonly DateTimeOffset Now = TimeProvider.System.GetUtcNow();
    private readonly HttpClient http = new();
    private JsonNode account = null!;

    public override async ValueTask InitializeAsync()
    {
        await base.InitializeAsync();
        http.BaseAddress = Installation.SandboxUrl;
        account = JsonNode.Parse(await TestRun.FcmAccountAsync(Installation.SandboxUrl))!;
    }

    public void Dispose() => http.Dispose();

    [Fact]
    public async Task A_signed_assertion_gets_a_token_and_the_token_sends()
    {
        var (status, granted) = await AskAsync(Claims());
        Assert.Equal((HttpStatusCode.OK, "Bearer"), (status, granted["token_type"]!.ToString()));
        Assert.InRange(granted["expires_in"]!.GetValue<int>(), 3000, 3600);

        var (sent, answer) = await SendAsync(
            Message("""{"token":"$T","notification":{"title":"t"},"android":{"ttl":"3.5s","priority":"high","collapse_key":"x"}}""")
        );
        Assert.Equal(HttpStatusCode.OK, sent);
        Assert.StartsWith("projects/notify-sandbox/messages/", answer["name"]!.ToString(), StringComparison.Ordinal);
    }

    public static readonly TheoryData<string, Action<Dictionary<string, object?>>, string> WrongClaims = new()
    {
        { "another audience", c => c["aud"] = "https://elsewhere.example/token", "invalid_grant" },
        { "no audience", c => c.Remove("aud"), "invalid_grant" },
        { "another account", c => c["iss"] = "other@example.com", "invalid_grant" },
        { "more than an hour", c => c["exp"] = Now.AddSeconds(3700).ToUnixTimeSeconds(), "invalid_grant" },
        {
            "already over",
            c => (c["iat"], c["exp"]) = (Now.AddHours(-2).ToUnixTimeSeconds(), Now.AddHours(-1).ToUnixTimeSeconds()),
            "invalid_grant"
        },
        {
            "of the future",
            c => (c["iat"], c["exp"]) = (Now.AddHours(1).ToUnixTimeSeconds(), Now.AddHours(1.5).ToUnixTimeSeconds()),
            "invalid_grant"
        },
        { "no iat", c => c.Remove("iat"), "invalid_grant" },
        { "exp as text", c => c["exp"] = "soon", "invalid_grant" },
        { "no scope", c => c.Remove("scope"), "invalid_scope" },
        { "a strange scope", c => c["scope"] = "everything", "invalid_scope" },
    };

    [Theory, MemberData(nameof(WrongClaims), DisableDiscoveryEnumeration = true)]
    public async Task A_wrong_assertion_gets_no_token(string what, Action<Dictionary<string, object?>> change, string error)
    {
        var claims = Claims();
        change(claims);
        var (status, answer) = await AskAsync(claims);
        Assert.True(status == HttpStatusCode.BadRequest, what);
        Assert.Equal(error, answer["error"]!.ToString());
        Assert.False(string.IsNullOrEmpty(answer["error_description"]?.ToString()));
    }

    [Fact]
    public async Task An_assertion_that_another_key_signed_gets_no_token()
    {
        using var other = RSA.Create(2048);
        Assert.Equal("invalid_grant", (await AskAsync(Claims(), key: other)).Answer["error"]!.ToString());
        Assert.Equal("invalid_grant", (await AskAsync(Claims(), algorithm: "HS256")).Answer["error"]!.ToString());
        Assert.Equal("invalid_grant", (await AskAsync(Claims(), kid: "another")).Answer["error"]!.ToString());
    }

    [Theory]
    [InlineData("grant_type=password&assertion=x", "unsupported_grant_type")]
    [InlineData("assertion=x", "invalid_request")]
    [InlineData("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer", "invalid_request")]
    [InlineData("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=a.b.c", "invalid_grant")]
    [InlineData("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=x", "invalid_grant")]
    public async Task Malformed_token_request_is_rejected(string form, string error)
    {
        using var content = new StringContent(form, Encoding.UTF8, "application/x-www-form-urlencoded");
        var (status, answer) = await PostAsync("/token", content);
        Assert.Equal((HttpStatusCode.BadRequest, error), (status, answer["error"]!.ToString()));
    }

    // The message, then the error's status, FCM's own code (or none) and the violated field.
    [Theory]
    [InlineData("""{"token":"$T","colour":"red"}""", null, "message")]
    [InlineData("""{"token":"$T","android":{"notification":{"tga":"x"}}}""", null, "message.android.notification")]
    [InlineData("""{"token":"$T","data":{"n":7}}""", null, "message.data[0].value")]
    [InlineData("""{"token":"$T","data":{"a":"x","n":{"b":"c"}}}""", null, "message.data[1].value")]
    [InlineData("""{"token":7}""", null, "message.token")]
    [InlineData("""{"token":"$T","android":{"priority":"10"}}""", null, "message.android.priority")]
    [InlineData("""{"token":"$T","android":{"ttl":"3600"}}""", null, "message.android.ttl")]
    [InlineData("""{"token":"$T","android":{"ttl":3600}}""", null, "message.android.ttl")]
    [InlineData("""{"token":"$T","android":{"ttl":"-1s"}}""", "INVALID_ARGUMENT", "message.android.ttl")]
    [InlineData("""{"token":"$T","android":{"ttl":"2419201s"}}""", "INVALID_ARGUMENT", "message.android.ttl")]
    [InlineData("""{"token":"$T","topic":"news"}""", null, "message")]
    [InlineData("""{"notification":{"title":"t"}}""", "INVALID_ARGUMENT", "message")]
    [InlineData("""{"token":""}""", "INVALID_ARGUMENT", "message")]
    [InlineData("""{"token":"$T","data":{"from":"x"}}""", "INVALID_ARGUMENT", "message.data.from")]
    [InlineData("""{"token":"$T","data":{"message_type":"x"}}""", "INVALID_ARGUMENT", "message.data.message_type")]
    [InlineData("""{"token":"$T","data":{"google.x":"x"}}""", "INVALID_ARGUMENT", "message.data.google.x")]
    [InlineData("""{"token":"$T","android":{"data":{"gcmx":"x"}}}""", "INVALID_ARGUMENT", "message.android.data.gcmx")]
    [InlineData("""{"token":"not a token"}""", "INVALID_ARGUMENT", "message.token")]
    [InlineData("""{"token":"bad0:0123456789abcdef"}""", "INVALID_ARGUMENT", "message.token")]
    public async Task A_wrong_message_is_refused_with_the_field_that_is_wrong(string message, string? errorCode, string field)
    {
        var (status, answer) = await SendAsync(Message(message));
        Assert.Equal(HttpStatusCode.BadRequest, status);
        var error = answer["error"]!;
        Assert.Equal((400, "INVALID_ARGUMENT"), (error["code"]!.GetValue<int>(), error["status"]!.ToString()));
        var details = error["details"]!.AsArray().ToDictionary(d => d!["@type"]!.ToString(), d => d!);
        Assert.Equal(errorCode, details.GetValueOrDefault("type.googleapis.com/google.firebase.fcm.v1.FcmError")?["errorCode"]!.ToString());
        Assert.Equal(
            field,
            Assert.Single(details["type.googleapis.com/google.rpc.BadRequest"]["fieldViolations"]!.AsArray())!["field"]!.ToString()
        );
    }

    [Theory]
    [InlineData("not json")]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("""{"message":{"token":"a","token":"b"}}""")]
    [InlineData("""{"message":{"token":"\ud800"}}""")]
    [InlineData("""{"message":{"token":"strict:0123456789abcdef"},"to":"x"}""")]
    public async Task Malformed_request_is_rejected(string body)
    {
        var (status, answer) = await SendAsync(body);
        Assert.Equal((HttpStatusCode.BadRequest, "INVALID_ARGUMENT"), (status, answer["error"]!["status"]!.ToString()));
    }

    [Fact]
    public async Task Oversized_message_is_rejected()
    {
        string Long(int length) =>
            Message("""{"token":"$T","notification":{"body":"$X"}}""".Replace("$X", new string('x', length), StringComparison.Ordinal));
        Assert.Equal(HttpStatusCode.OK, (await SendAsync(Long(4096))).Status);
        var (status, answer) = await SendAsync(Long(4097));
        Assert.Equal((HttpStatusCode.BadRequest, "INVALID_ARGUMENT"), (status, answer["error"]!["details"]![0]!["errorCode"]!.ToString()));
    }

    [Theory]
    [InlineData("dead", 404, "NOT_FOUND", "UNREGISTERED")]
    [InlineData("mismatch", 403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH")]
    [InlineData("quota", 429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")]
    [InlineData("eeee", 500, "INTERNAL", "INTERNAL")]
    [InlineData("fa11", 503, "UNAVAILABLE", "UNAVAILABLE")]
    public async Task A_magic_token_meets_its_fate(string fate, int status, string general, string errorCode)
    {
        var (http, answer) = await SendAsync(Message("""{"token":"$T"}""", Person.NewAndroidToken(fate)));
        Assert.Equal(
            (status, general, errorCode),
            ((int)http, answer["error"]!["status"]!.ToString(), answer["error"]!["details"]![0]!["errorCode"]!.ToString())
        );
    }

    [Fact]
    public async Task Unauthorized_sender_is_rejected_with_the_reason()
    {
        var message = Message("""{"token":"$T"}""");
        var (status, answer) = await SendAsync(message, bearer: "never-given-out");
        Assert.Equal((HttpStatusCode.Unauthorized, "UNAUTHENTICATED"), (status, answer["error"]!["status"]!.ToString()));
        Assert.Equal(HttpStatusCode.Unauthorized, (await SendAsync(message, bearer: "")).Status);

        (status, answer) = await SendAsync(message, project: "another-project");
        Assert.Equal((HttpStatusCode.Forbidden, "PERMISSION_DENIED"), (status, answer["error"]!["status"]!.ToString()));

        var claims = Claims();
        claims["scope"] = "https://www.googleapis.com/auth/datastore";
        var narrow = (await AskAsync(claims)).Answer["access_token"]!.ToString();
        Assert.Equal(HttpStatusCode.Forbidden, (await SendAsync(message, bearer: narrow)).Status);
    }

    private static string Message(string message, string token = Token) =>
        $"{{\"message\":{message.Replace("$T", token, StringComparison.Ordinal)}}}";

    private Dictionary<string, object?> Claims() =>
        new()
        {
            ["iss"] = account["client_email"]!.ToString(),
            ["aud"] = account["token_uri"]!.ToString(),
            ["scope"] = "https://www.googleapis.com/auth/firebase.messaging",
            ["iat"] = Now.ToUnixTimeSeconds(),
            ["exp"] = Now.AddHours(1).ToUnixTimeSeconds(),
        };

    private async Task<(HttpStatusCode Status, JsonNode Answer)> AskAsync(
        Dictionary<string, object?> claims,
        RSA? key = null,
        string algorithm = "RS256",
        string? kid = null
    )
    {
        using var own = RSA.Create();
        own.ImportFromPem(account["private_key"]!.ToString());
        var header = new Dictionary<string, string>
        {
            ["alg"] = algorithm,
            ["typ"] = "JWT",
            ["kid"] = kid ?? account["private_key_id"]!.ToString(),
        };
        var signed =
            $"{Base64Url.EncodeToString(JsonSerializer.SerializeToUtf8Bytes(header))}.{Base64Url.EncodeToString(JsonSerializer.SerializeToUtf8Bytes(claims))}";
        var signature = (key ?? own).SignData(Encoding.ASCII.GetBytes(signed), HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        using var form = new FormUrlEncodedContent(
            new Dictionary<string, string>
            {
                ["grant_type"] = "urn:ietf:params:oauth:grant-type:jwt-bearer",
                ["assertion"] = $"{signed}.{Base64Url.EncodeToString(signature)}",
            }
        );
        return await PostAsync("/token", form);
    }

    private async Task<(HttpStatusCode Status, JsonNode Answer)> SendAsync(
        string body,
        string? bearer = null,
        string project = "notify-sandbox"
    )
    {
        bearer ??= (await AskAsync(Claims())).Answer["access_token"]!.ToString();
        using var content = new StringContent(body, Encoding.UTF8, "application/json");
        return await PostAsync($"/v1/projects/{project}/messages:send", content, bearer);
    }

    private async Task<(HttpStatusCode Status, JsonNode Answer)> PostAsync(string path, HttpContent content, string? bearer = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = content };
        if (bearer is { Length: > 0 })
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", bearer);
        using var response = await http.SendAsync(request, TestContext.Current.CancellationToken);
        return (response.StatusCode, JsonNode.Parse(await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken))!);
    }
}
