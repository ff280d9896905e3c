namespace Notify.Sandbox.Fcm;

using System.Buffers.Text;
using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Notify.Sandbox.Keys;

/// <summary>
/// Plays Google's token endpoint, <c>POST /token</c>: takes an assertion that the service account has signed (RS256) and gives
/// an access token for an hour. Tokens are forgotten when the sandbox ends.
/// </summary>
/// <remarks>Google: Using OAuth 2.0 for server to server applications; RFC 7523. Knobs do not apply: it is another service than
/// FCM.</remarks>
public sealed class GoogleTokens(SandboxKeys keys, TimeProvider time)
{
    /// <summary>The endpoint's path.</summary>
    public const string Path = "/token";

    // The audience of Google's own libraries, for every token_uri of the account.
    private const string GoogleEndpoint = "https://oauth2.googleapis.com/token";
    private const string Grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    private const string ScopeRoot = "https://www.googleapis.com/auth/";
    private const string ShortLived = "Invalid JWT: it must be short-lived (60 minutes) and in a reasonable timeframe; check iat and exp.";
    private const int MaximumKept = 10_000;
    private static readonly TimeSpan Lifetime = TimeSpan.FromHours(1);
    private static readonly TimeSpan ClockSkew = TimeSpan.FromMinutes(5);
    private static readonly string[] SendingScopes = [ScopeRoot + "firebase.messaging", ScopeRoot + "cloud-platform"];

    private readonly RSA _publicKey = keys.Fcm.PublicKey();
    private readonly Lock _lock = new();
    private readonly ConcurrentDictionary<string, AccessToken> _issued = new(StringComparer.Ordinal);

    /// <summary>A token that was given out.</summary>
    public sealed record AccessToken(DateTimeOffset ExpiresAt, bool MaySend);

    /// <summary>The token of an <c>Authorization</c> header; null if it was never given out, or has expired.</summary>
    public AccessToken? Find(string? authorization)
    {
        const string Scheme = "Bearer ";
        return
            authorization is not null
            && authorization.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase)
            && _issued.TryGetValue(authorization[Scheme.Length..].Trim(), out var token)
            && token.ExpiresAt > time.GetUtcNow()
            ? token
            : null;
    }

    /// <summary>Answers a request for a token.</summary>
    public async Task<IResult> IssueAsync(HttpContext context)
    {
        var request = context.Request;
        if (!HttpMethods.IsPost(request.Method))
            return Refuse("invalid_request", "Only POST is allowed.", StatusCodes.Status405MethodNotAllowed);
        if (!request.HasFormContentType)
            return Refuse("invalid_request", "The content type must be application/x-www-form-urlencoded.");

        var form = await request.ReadFormAsync(context.RequestAborted);
        if (form["grant_type"] != Grant)
            return Refuse(form["grant_type"].Count == 0 ? "invalid_request" : "unsupported_grant_type", $"The grant_type must be {Grant}.");
        if (form["assertion"] is not [{ Length: > 0 } assertion])
            return Refuse("invalid_request", "The assertion is missing.");

        var (scopes, error, description) = Verify(assertion, $"{request.Scheme}://{request.Host}{request.Path}", time.GetUtcNow());
        return error is null ? Results.Json(Issue(scopes)) : Refuse(error, description);
    }

    private Dictionary<string, object> Issue(string[] scopes)
    {
        if (_issued.Count >= MaximumKept)
            _issued.Clear();
        var token = "ya29." + Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(96));
        _issued[token] = new AccessToken(time.GetUtcNow() + Lifetime, scopes.Any(SendingScopes.Contains));
        return new()
        {
            ["access_token"] = token,
            ["expires_in"] = (int)Lifetime.TotalSeconds - 1,
            ["token_type"] = "Bearer",
        };
    }

    private (string[] Scopes, string? Error, string Description) Verify(string assertion, string endpoint, DateTimeOffset now)
    {
        if (
            assertion.Split('.') is not [var head, var body, var signature]
            || Decode(head) is not { } header
            || Decode(body) is not { } claims
        )
            return Wrong("invalid_grant", "Invalid JWT: it must be three base64url parts, the first two of them JSON objects.");
        if (Text(header, "alg") != "RS256")
            return Wrong("invalid_grant", "Invalid JWT: its alg must be RS256.");
        if (Text(claims, "iss") != keys.Fcm.ClientEmail)
            return Wrong("invalid_grant", "Invalid grant: account not found.");
        if ((header.TryGetProperty("kid", out _) && Text(header, "kid") != keys.Fcm.PrivateKeyId) || !IsSigned($"{head}.{body}", signature))
            return Wrong("invalid_grant", "Invalid JWT Signature.");
        if (Text(claims, "aud") is not { } audience || (audience != endpoint && audience != GoogleEndpoint))
            return Wrong("invalid_grant", $"Invalid JWT: its aud must be {endpoint} or {GoogleEndpoint}.");
        if (
            Seconds(claims, "iat") is not { } iat
            || Seconds(claims, "exp") is not { } exp
            || exp <= now
            || iat > now + ClockSkew
            || exp < iat
            || exp - iat > Lifetime
        )
            return Wrong("invalid_grant", ShortLived);

        var scopes = (Text(claims, "scope") ?? "").Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return scopes.Length > 0 && scopes.All(scope => scope.StartsWith(ScopeRoot, StringComparison.Ordinal))
            ? (scopes, null, "")
            : Wrong("invalid_scope", "Invalid OAuth scope: name at least one, and only those of Google's services.");

        static (string[], string?, string) Wrong(string error, string description) => ([], error, description);
    }

    private bool IsSigned(string signed, string signature)
    {
        if (!Base64Url.IsValid(signature))
            return false;

        var bytes = Base64Url.DecodeFromChars(signature);
        lock (_lock)
            return _publicKey.VerifyData(Encoding.ASCII.GetBytes(signed), bytes, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
    }

    private static JsonElement? Decode(string part)
    {
        if (!Base64Url.IsValid(part))
            return null;

        try
        {
            using var document = JsonDocument.Parse(Base64Url.DecodeFromChars(part));
            return document.RootElement.ValueKind == JsonValueKind.Object ? document.RootElement.Clone() : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static string? Text(JsonElement element, string name) =>
        element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static DateTimeOffset? Seconds(JsonElement element, string name) =>
        element.TryGetProperty(name, out var value)
        && value.ValueKind == JsonValueKind.Number
        && value.TryGetInt64(out var seconds)
        && seconds is >= 0 and <= 253_402_300_799 // the last second of the year 9999
            ? DateTimeOffset.FromUnixTimeSeconds(seconds)
            : null;

    private static IResult Refuse(string error, string description, int status = StatusCodes.Status400BadRequest) =>
        Results.Json(new Dictionary<string, string> { ["error"] = error, ["error_description"] = description }, statusCode: status);
}
