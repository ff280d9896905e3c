namespace Notify.Api.Access;

using System.Collections.Concurrent;
using System.Security.Claims;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;
using Notify.Delivery.Privacy;
using Notify.Domain.Clients;

/// <summary>
/// Makes and reads client tokens: JWTs (RFC 7519) under HMAC-SHA-256, with a key that follows from the current master key, by
/// whose ID it goes. Those under a former master key count until they expire, or until that key is taken out.
/// </summary>
public sealed class TokenKeys(MasterKeyRing ring, TimeProvider clock)
{
    /// <summary>By how much clocks may differ.</summary>
    public static readonly TimeSpan Skew = TimeSpan.FromSeconds(60);

    private const string Issuer = "notify",
        Audience = "notify-api",
        Type = "notify-client+jwt",
        Mode = "mode",
        Client = "client_id",
        Scope = "scope",
        Secret = "secret_id";
    private const int MaxLength = 8000;
    private readonly JsonWebTokenHandler handler = new()
    {
        MapInboundClaims = false,
        SetDefaultTimesOnTokenCreation = false,
        MaximumTokenSizeInBytes = MaxLength,
    };
    private readonly ConcurrentDictionary<string, SymmetricSecurityKey> keys = new(StringComparer.Ordinal);

    /// <summary>Makes a token.</summary>
    public string Make(ClientToken token, DateTimeOffset now, DateTimeOffset expiresAt) =>
        handler.CreateToken(
            new SecurityTokenDescriptor
            {
                TokenType = Type,
                Issuer = Issuer,
                Audience = Audience,
                IssuedAt = now.UtcDateTime,
                NotBefore = now.UtcDateTime,
                Expires = expiresAt.UtcDateTime,
                Subject = new ClaimsIdentity([
                    new Claim(
                        JwtRegisteredClaimNames.Jti,
                        Base64UrlEncoder.Encode(System.Security.Cryptography.RandomNumberGenerator.GetBytes(16))
                    ),
                    new Claim(JwtRegisteredClaimNames.Sub, token.UserRef),
                    new Claim(Client, token.ClientId),
                    new Claim(Mode, $"{token.Mode}"),
                    new Claim(Scope, string.Join(' ', token.Allow)),
                    .. token.SecretId is { } secret ? [new Claim(Secret, secret)] : Array.Empty<Claim>(),
                ]),
                SigningCredentials = new SigningCredentials(KeyOf(ring.CurrentId), SecurityAlgorithms.HmacSha256),
            }
        );

    /// <summary>Reads a token.</summary>
    /// <returns><c>null</c> for one that was altered, has expired, or was not made here.</returns>
    public async Task<ClientToken?> ReadAsync(string text)
    {
        if (text.Length is 0 or > MaxLength)
            return null;
        var result = await handler.ValidateTokenAsync(
            text,
            new TokenValidationParameters
            {
                ValidIssuer = Issuer,
                ValidAudience = Audience,
                ValidTypes = [Type],
                ValidAlgorithms = [SecurityAlgorithms.HmacSha256],
                RequireSignedTokens = true,
                RequireExpirationTime = true,
                TryAllIssuerSigningKeys = false,
                IssuerSigningKeyResolver = (_, _, id, _) => id is not null && ring.Has(id) ? [KeyOf(id)] : [],
                LifetimeValidator = (from, to, _, _) =>
                    from - Skew <= clock.GetUtcNow().UtcDateTime && clock.GetUtcNow().UtcDateTime < to + Skew,
            }
        );
        return
            result.IsValid
            && result.SecurityToken is JsonWebToken jwt
            && jwt.TryGetPayloadValue<string>(Client, out var client)
            && jwt.TryGetPayloadValue<string>(Mode, out var mode)
            && Enum.TryParse<ClientMode>(mode, out var parsed)
            && jwt.TryGetPayloadValue<string>(Scope, out var scope)
            && jwt.Subject is { Length: > 0 } user
            ? new ClientToken(client, parsed, user, scope.Split(' '))
            {
                MadeAt = new DateTimeOffset(jwt.IssuedAt, TimeSpan.Zero),
                SecretId = jwt.TryGetPayloadValue<string>(Secret, out var secret) ? secret : null,
            }
            : null;
    }

    private SymmetricSecurityKey KeyOf(string id) =>
        keys.GetOrAdd(id, master => new SymmetricSecurityKey(ring.Derive(master, "client-token")) { KeyId = master });
}
