namespace Notify.Sandbox.Apns;

using System.Buffers.Text;
using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Notify.Sandbox.Keys;

/// <summary>
/// Verifies provider tokens (ES256 JWT with <c>kid</c>, <c>iss</c> and <c>iat</c>), each signature once.
/// </summary>
/// <remarks>
/// Apple allows a new token at most every 20 minutes and refuses one older than an hour. A token counts as new
/// by its <c>iat</c>, not by its bytes: ECDSA signatures differ each time, and hosts that sign on a common grid
/// share the <c>iat</c>. Strictly only two could be seen within 20 minutes (the grid's old and new one), but here
/// several clients and their restarts share one team, so <see cref="UpdatesPerWindow"/> are let through. A client that signs
/// per request or per connection still runs into the limit at once.
/// </remarks>
public sealed class ApnsProviderTokens(SandboxKeys keys, TimeProvider time)
{
    /// <summary>Different <c>iat</c> values let through within <see cref="Window"/>.</summary>
    public const int UpdatesPerWindow = 6;

    /// <summary>Over which updates are counted, by arrival.</summary>
    public static readonly TimeSpan Window = TimeSpan.FromMinutes(20);

    private const int MaximumCached = 1_000;
    private static readonly TimeSpan Lifetime = TimeSpan.FromHours(1);
    private static readonly TimeSpan ClockSkew = TimeSpan.FromMinutes(1);

    private readonly Lock _lock = new();
    private readonly Dictionary<long, DateTimeOffset> _admitted = [];
    private readonly ConcurrentDictionary<string, ProviderToken> _verified = new(StringComparer.Ordinal);
    private ProviderToken? _latest;

    /// <summary>Returns why a request with this <c>authorization</c> is refused, or null if it may pass.</summary>
    public ApnsRejection? Check(string? authorization, DateTimeOffset now)
    {
        if (string.IsNullOrEmpty(authorization))
            return ApnsRejection.MissingProviderToken;

        if (Find(authorization) is not { } token)
            return authorization.StartsWith("bearer ", StringComparison.OrdinalIgnoreCase)
                ? ApnsRejection.InvalidProviderToken
                : ApnsRejection.MissingProviderToken;

        var age = now - token.IssuedAt;
        if (age > Lifetime)
            return ApnsRejection.ExpiredProviderToken;
        if (age < -ClockSkew)
            return ApnsRejection.InvalidProviderToken;
        if (!token.IsAdmitted && !(token.IsAdmitted = Admit(token.IssuedAt)))
            return ApnsRejection.TooManyProviderTokenUpdates;

        return null;
    }

    private ProviderToken? Find(string authorization)
    {
        // Nearly every request carries the token of the one before.
        if (_latest is { } latest && latest.Authorization == authorization)
            return latest;

        if (!_verified.TryGetValue(authorization, out var token))
        {
            if (Verify(authorization) is not { } issuedAt)
                return null;
            if (_verified.Count >= MaximumCached)
                _verified.Clear();
            token = _verified.GetOrAdd(authorization, new ProviderToken(authorization, issuedAt));
        }

        return _latest = token;
    }

    /// <summary>Lets an <c>iat</c> through unless too many others arrived lately; one let through stays so.</summary>
    private bool Admit(DateTimeOffset issuedAt)
    {
        lock (_lock)
        {
            var now = time.GetUtcNow();
            var iat = issuedAt.ToUnixTimeSeconds();
            if (_admitted.ContainsKey(iat))
                return true;
            if (_admitted.Values.Count(firstSeen => now - firstSeen < Window) >= UpdatesPerWindow)
                return false;

            foreach (var old in _admitted.Keys.Where(old => now - DateTimeOffset.FromUnixTimeSeconds(old) > Lifetime).ToList())
                _admitted.Remove(old);
            _admitted[iat] = now;
            return true;
        }
    }

    /// <summary>When the token was issued, if it is one of ours.</summary>
    private DateTimeOffset? Verify(string authorization)
    {
        const string Scheme = "bearer ";
        if (!authorization.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase))
            return null;

        var jwt = authorization.AsSpan(Scheme.Length).Trim();
        var headerEnd = jwt.IndexOf('.');
        var claimsEnd = jwt.LastIndexOf('.');
        if (headerEnd <= 0 || claimsEnd <= headerEnd)
            return null;

        using var header = Decode(jwt[..headerEnd]);
        using var claims = Decode(jwt[(headerEnd + 1)..claimsEnd]);
        if (
            header is null
            || claims is null
            || Text(header, "alg") != "ES256"
            || Text(header, "kid") != keys.Identity.ApnsKeyId
            || Text(claims, "iss") != keys.Identity.ApnsTeamId
            || !claims.RootElement.TryGetProperty("iat", out var iat)
            || iat.ValueKind != JsonValueKind.Number
            || !iat.TryGetInt64(out var seconds)
            || seconds is < 0 or > 253_402_300_799 // the last second of the year 9999
            || !IsSigned(jwt[..claimsEnd], jwt[(claimsEnd + 1)..])
        )
            return null;

        return DateTimeOffset.FromUnixTimeSeconds(seconds);
    }

    private bool IsSigned(ReadOnlySpan<char> signed, ReadOnlySpan<char> signature)
    {
        Span<byte> bytes = stackalloc byte[64]; // ES256: r and s, 32 bytes each (RFC 7518, 3.4)
        if (!Base64Url.IsValid(signature, out var length) || length != bytes.Length)
            return false;

        Base64Url.DecodeFromChars(signature, bytes);

        lock (_lock)
            return keys.ApnsPublicKey.VerifyData(Encoding.ASCII.GetBytes(signed.ToString()), bytes, HashAlgorithmName.SHA256);
    }

    private static JsonDocument? Decode(ReadOnlySpan<char> part)
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

    private sealed class ProviderToken(string authorization, DateTimeOffset issuedAt)
    {
        public string Authorization { get; } = authorization;

        public DateTimeOffset IssuedAt { get; } = issuedAt;

        public bool IsAdmitted { get; set; }
    }
}
