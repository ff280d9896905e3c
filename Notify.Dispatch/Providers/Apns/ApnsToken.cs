namespace Notify.Dispatch.Providers.Apns;

using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

/// <summary>
/// The provider token that APNs wants: an ES256 JWT, renewed every half hour. Its time of issue lies on a grid that all
/// hosts share, and its signature follows from key and time, so that all hosts send the same bytes without talking.
/// </summary>
/// <remarks>
/// Apple: Establishing a token-based connection to APNs. A token is renewed between every 20 and every 60 minutes; a team that
/// sends more different ones is answered 429 <c>TooManyProviderTokenUpdates</c>.
/// </remarks>
public sealed class ApnsToken(ECDsa key, string teamId, string keyId, TimeProvider clock)
{
    private static readonly TimeSpan Grid = TimeSpan.FromMinutes(30),
        FineGrid = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan LeastAge = TimeSpan.FromMinutes(20);
    private readonly Lock gate = new();
    private (DateTimeOffset IssuedAt, string Header) current;

    /// <summary>The <c>authorization</c> header's value.</summary>
    public string Header()
    {
        var issuedAt = On(Grid);
        lock (gate)
        {
            if (issuedAt - current.IssuedAt >= LeastAge)
                current = (issuedAt, Sign(issuedAt));
            return current.Header;
        }
    }

    /// <summary>Signs anew after Apple called a token expired; only if nobody has since.</summary>
    /// <remarks>Hosts that meet the refusal in the same minute sign the same token.</remarks>
    public string Renew(string expired)
    {
        lock (gate)
        {
            if (current.Header == expired)
                current = (On(FineGrid), Sign(On(FineGrid)));
            return current.Header;
        }
    }

    private DateTimeOffset On(TimeSpan grid)
    {
        var now = clock.GetUtcNow();
        return new DateTimeOffset(now.Ticks - (now.Ticks % grid.Ticks), TimeSpan.Zero);
    }

    private string Sign(DateTimeOffset issuedAt)
    {
        var header = JsonSerializer.SerializeToUtf8Bytes(new Dictionary<string, string> { ["alg"] = "ES256", ["kid"] = keyId });
        var claims = JsonSerializer.SerializeToUtf8Bytes(
            new Dictionary<string, object> { ["iss"] = teamId, ["iat"] = issuedAt.ToUnixTimeSeconds() }
        );
        var signed = $"{Base64Url.EncodeToString(header)}.{Base64Url.EncodeToString(claims)}";
        return $"bearer {signed}.{Base64Url.EncodeToString(Es256.Sign(key, Encoding.ASCII.GetBytes(signed)))}";
    }
}
