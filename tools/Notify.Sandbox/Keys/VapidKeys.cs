namespace Notify.Sandbox.Keys;

using System.Buffers.Text;
using System.Security.Cryptography;

/// <summary>An application server's key pair for Web Push (RFC 8292), base64url; kept as <c>vapid.json</c>.</summary>
public sealed record VapidKeys
{
    /// <summary>Whom a push service may turn to.</summary>
    public required string Subject { get; init; }

    /// <summary>65 bytes; a web app subscribes with it.</summary>
    public required string PublicKey { get; init; }

    /// <summary>32 bytes.</summary>
    public required string PrivateKey { get; init; }

    internal static VapidKeys Of(ECDsa key)
    {
        var parameters = key.ExportParameters(includePrivateParameters: true);
        return new VapidKeys
        {
            Subject = "mailto:push@example.com",
            PublicKey = Base64Url.EncodeToString([4, .. parameters.Q.X!, .. parameters.Q.Y!]),
            PrivateKey = Base64Url.EncodeToString(parameters.D!),
        };
    }
}
