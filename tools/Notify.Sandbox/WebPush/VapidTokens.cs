namespace Notify.Sandbox.WebPush;

using System.Buffers.Text;
using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

/// <summary>Verifies who sends: <c>Authorization: vapid t=JWT, k=KEY</c> (RFC 8292), each signature once.</summary>
public sealed class VapidTokens
{
    private const int MaximumCached = 1_000;
    private const string Scheme = "vapid ";
    private static readonly TimeSpan Longest = TimeSpan.FromHours(24);

    private readonly ConcurrentDictionary<string, Token> _verified = new(StringComparer.Ordinal);

    /// <summary>Returns why a message with this <c>Authorization</c> is refused, or null if it may pass.</summary>
    /// <param name="origin">The push service's own origin, which the token must be meant for.</param>
    /// <param name="onlyKey">The key that the subscription is restricted to; null for none.</param>
    public WebPushRejection? Check(string? authorization, string origin, string? onlyKey, DateTimeOffset now)
    {
        if (string.IsNullOrEmpty(authorization))
            return WebPushRejection.MissingAuthorization;

        if (!_verified.TryGetValue(authorization, out var token))
        {
            (token, var rejection) = Read(authorization);
            if (token is null)
                return rejection;
            if (_verified.Count >= MaximumCached)
                _verified.Clear();
            _verified[authorization] = token;
        }

        if (token.Audience != origin)
            return WebPushRejection.BadAudience;
        if (token.Expires <= now)
            return WebPushRejection.ExpiredToken;
        if (token.Expires > now + Longest)
            return WebPushRejection.ExpiryTooLate;
        return onlyKey is null || onlyKey == token.Key ? null : WebPushRejection.WrongKey;
    }

    private static (Token? Token, WebPushRejection? Rejection) Read(string authorization)
    {
        if (!authorization.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase))
            return (null, WebPushRejection.MissingAuthorization);

        var parameters = authorization[Scheme.Length..]
            .Split(',', StringSplitOptions.TrimEntries)
            .Select(parameter => parameter.Split('=', 2))
            .Where(pair => pair.Length == 2)
            .ToLookup(pair => pair[0], pair => pair[1]);
        if (
            parameters["t"].ToList() is not [var jwt]
            || parameters["k"].ToList() is not [var key]
            || jwt.Split('.') is not [var head, var claims, var signature]
        )
            return (null, WebPushRejection.BadAuthorization);

        using var header = Decode(head);
        using var body = Decode(claims);
        if (
            header is null
            || body is null
            || Text(header, "alg") != "ES256"
            || Text(body, "aud") is not { } audience
            || !body.RootElement.TryGetProperty("exp", out var exp)
            || exp.ValueKind != JsonValueKind.Number
            || !exp.TryGetInt64(out var expires)
            || expires is < 0 or > 253_402_300_799
        ) // the last second of the year 9999
            return (null, WebPushRejection.BadAuthorization);
        if (
            !Uri.TryCreate(Text(body, "sub"), UriKind.Absolute, out var subject)
            || (subject.Scheme != Uri.UriSchemeMailto && subject.Scheme != Uri.UriSchemeHttps)
        )
            return (null, WebPushRejection.BadSubject);

        return IsSigned($"{head}.{claims}", signature, key)
            ? (new Token(audience, DateTimeOffset.FromUnixTimeSeconds(expires), key), null)
            : (null, WebPushRejection.BadSignature);
    }

    private static bool IsSigned(string signed, string signature, string key)
    {
        if (Bytes(signature, 64) is not { } bytes || Bytes(key, 65) is not [4, ..] point)
            return false;

        try
        {
            using var verifier = ECDsa.Create(
                new ECParameters
                {
                    Curve = ECCurve.NamedCurves.nistP256,
                    Q = new ECPoint { X = point[1..33], Y = point[33..] },
                }
            );
            return verifier.VerifyData(Encoding.ASCII.GetBytes(signed), bytes, HashAlgorithmName.SHA256);
        }
        catch (CryptographicException)
        {
            return false;
        }
    }

    private static byte[]? Bytes(string text, int length) =>
        Base64Url.IsValid(text, out var decoded) && decoded == length ? Base64Url.DecodeFromChars(text) : null;

    private static JsonDocument? Decode(string part)
    {
        if (!Base64Url.IsValid(part))
            return null;

        try
        {
            var document = JsonDocument.Parse(Base64Url.DecodeFromChars(part));
            return document.RootElement.ValueKind == JsonValueKind.Object ? document : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static string? Text(JsonDocument document, string name) =>
        document.RootElement.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private sealed record Token(string Audience, DateTimeOffset Expires, string Key);
}
