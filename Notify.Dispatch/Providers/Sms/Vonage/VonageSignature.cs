namespace Notify.Dispatch.Providers.Sms.Vonage;

using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;
using Notify.Dispatch.Receipts;

/// <summary>Whether a request to a receipt's address comes from Vonage.</summary>
/// <remarks>Vonage: Signing messages; Messages API, signed webhooks.</remarks>
public static class VonageSignature
{
    /// <summary>Checks the field <c>sig</c> over all others; the field <c>timestamp</c> must be fresh.</summary>
    /// <param name="method"><c>md5hash</c>, or the hash of an HMAC: <c>md5</c>, <c>sha1</c>, <c>sha256</c>, <c>sha512</c>.</param>
    public static bool IsValid(string secret, string method, IReadOnlyList<KeyValuePair<string, string>> fields, DateTimeOffset now)
    {
        var named = fields.Where(f => f.Key == "sig").Select(f => f.Value).ToList();
        if (named.Count != 1 || fields.GroupBy(f => f.Key).Any(g => g.Count() > 1))
            return false;
        if (fields.Any(f => f.Key.AsSpan().ContainsAny('&', '=')))
            return false; // names are signed as they are: two fields could pass for one
        return Signatures.AreEqual(Sign(secret, method, fields).ToUpperInvariant(), named[0].ToUpperInvariant())
            && Signatures.IsFresh(fields.FirstOrDefault(f => f.Key == "timestamp").Value, now);
    }

    /// <summary>The signature of these fields: hexadecimal, lower case for <c>md5hash</c> and upper case for an HMAC.</summary>
    public static string Sign(string secret, string method, IEnumerable<KeyValuePair<string, string>> fields)
    {
        var signed = new StringBuilder();
        foreach (var (name, value) in fields.Where(f => f.Key != "sig").OrderBy(f => f.Key, StringComparer.Ordinal))
            signed.Append('&').Append(name).Append('=').Append(value.Replace('&', '_').Replace('=', '_'));
        var (text, key) = (Encoding.UTF8.GetBytes(signed.ToString()), Encoding.UTF8.GetBytes(secret));
#pragma warning disable CA5351, CA5350 // Vonage's choice, not ours: the account's setting decides.
        return method switch
        {
            "md5hash" => Convert.ToHexStringLower(MD5.HashData([.. text, .. key])),
            "md5" => Convert.ToHexString(HMACMD5.HashData(key, text)),
            "sha1" => Convert.ToHexString(HMACSHA1.HashData(key, text)),
            "sha256" => Convert.ToHexString(HMACSHA256.HashData(key, text)),
            "sha512" => Convert.ToHexString(HMACSHA512.HashData(key, text)),
            _ => throw new ArgumentException($"{method} is no signature method of Vonage's.", nameof(method)),
        };
#pragma warning restore CA5351, CA5350
    }

    /// <summary>Checks the bearer token of the Messages API: HS256, fresh, and for this very body.</summary>
    public static async Task<bool> IsValidTokenAsync(string secret, string? authorization, ReadOnlyMemory<byte> body, DateTimeOffset now)
    {
        const string Scheme = "Bearer ";
        if (authorization is null || !authorization.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase))
            return false;
        var token = authorization[Scheme.Length..].Trim();
        if (!IsCanonical(token[(token.LastIndexOf('.') + 1)..]))
            return false;
        var key = Encoding.UTF8.GetBytes(secret);
        if (key.Length < 32)
            Array.Resize(ref key, 32); // an HMAC pads its key with zeros anyway; the library wants it long
        var result = await new JsonWebTokenHandler().ValidateTokenAsync(
            token,
            new TokenValidationParameters
            {
                ValidAlgorithms = [SecurityAlgorithms.HmacSha256],
                IssuerSigningKey = new SymmetricSecurityKey(key),
                ValidateIssuer = false,
                ValidateAudience = false,
                RequireExpirationTime = false,
                ValidateLifetime = false,
            }
        );
        return result.IsValid
            && result.Claims.TryGetValue("iat", out var at)
            && Signatures.IsFresh(Convert.ToString(at, System.Globalization.CultureInfo.InvariantCulture), now)
            && result.Claims.TryGetValue("payload_hash", out var hash)
            && Signatures.AreEqual(Convert.ToHexStringLower(SHA256.HashData(body.Span)), (hash as string)?.ToLowerInvariant());
    }

    // Base64url has more than one spelling of the same bytes; only the one that encoders write is taken.
    private static bool IsCanonical(string text)
    {
        return Base64Url.IsValid(text) && Base64Url.EncodeToString(Base64Url.DecodeFromChars(text)) == text;
    }
}
