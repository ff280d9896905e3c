using System.Security.Cryptography;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace Notify.Dispatch.Apns;

/// <summary>
/// The provider token that APNs wants: an ES256 JWT, renewed every half hour. Its time of issue lies on a grid that all
/// hosts share, so that they agree without talking; Apple wants it renewed between every 20 and every 60 minutes.
/// </summary>
/// <remarks>Apple: Establishing a token-based connection to APNs.</remarks>
public sealed class ApnsToken(ECDsa key, string teamId, string keyId, TimeProvider clock)
{
    private static readonly TimeSpan Grid = TimeSpan.FromMinutes(30), LeastAge = TimeSpan.FromMinutes(20);
    private readonly Lock gate = new();
    private readonly SigningCredentials credentials = new(new ECDsaSecurityKey(key) { KeyId = keyId }, SecurityAlgorithms.EcdsaSha256);
    private (DateTimeOffset IssuedAt, string Header) current;

    /// <summary>The <c>authorization</c> header's value.</summary>
    public string Header()
    {
        var now = clock.GetUtcNow();
        var issuedAt = new DateTimeOffset(now.Ticks - (now.Ticks % Grid.Ticks), TimeSpan.Zero);
        lock (gate)
        {
            if (issuedAt - current.IssuedAt >= LeastAge) current = (issuedAt, Sign(issuedAt));
            return current.Header;
        }
    }

    /// <summary>Signs anew after Apple called a token expired; only if nobody has since.</summary>
    public string Renew(string expired)
    {
        lock (gate)
        {
            if (current.Header == expired) current = (clock.GetUtcNow(), Sign(clock.GetUtcNow()));
            return current.Header;
        }
    }

    private string Sign(DateTimeOffset issuedAt) => "bearer " + new JsonWebTokenHandler { SetDefaultTimesOnTokenCreation = false }.CreateToken(
        new SecurityTokenDescriptor { Issuer = teamId, IssuedAt = issuedAt.UtcDateTime, SigningCredentials = credentials });
}
