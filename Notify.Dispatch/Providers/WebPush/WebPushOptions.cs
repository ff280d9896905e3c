namespace Notify.Dispatch.Providers.WebPush;

using System.Buffers.Text;
using System.Net.Mail;
using System.Security.Cryptography;

/// <summary>Settings of Web Push: <c>Providers:WebPush</c>.</summary>
public sealed record WebPushOptions
{
    /// <summary>Whom a push service may turn to: <c>mailto:</c> or <c>https:</c>.</summary>
    public string Subject { get; init; } = "";

    /// <summary>The application server's public key, base64url of 65 bytes; the web app subscribes with it.</summary>
    public string PublicKey { get; init; } = "";

    /// <summary>Its private key, base64url of 32 bytes.</summary>
    public string PrivateKey { get; init; } = "";

    /// <summary>Whether subscriptions may lead into private networks and over plain http; development only.</summary>
    public bool AllowPrivateNetworks { get; init; }

    /// <summary>The sandbox's origin, to which subscriptions may lead, too: <c>Notify:SandboxUrl</c>, never for live clients.</summary>
    public Uri? SandboxUrl { get; init; }

    /// <summary>A certificate authority to trust, PEM; development only.</summary>
    public string? TrustedCaPath { get; init; }

    /// <summary>Calls under way at once, over all push services.</summary>
    public int Concurrency { get; init; } = 200;

    /// <summary>The time limit for establishing a connection.</summary>
    public TimeSpan ConnectTimeout { get; init; } = ProviderCall.ConnectTimeout;

    /// <summary>How long one request may take.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long all requests for one delivery may take together; see <see cref="ProviderCall.TotalTimeout"/>.</summary>
    public TimeSpan? TotalTimeout { get; init; }

    /// <summary>Checks the settings and loads the key pair; every fault is added to <paramref name="faults"/>.</summary>
    public ECDsa? LoadKey(string section, ICollection<string> faults)
    {
        var before = faults.Count;
        ProviderCall.Check(section, Concurrency, Timeout, faults, ConnectTimeout, TotalTimeout);
        if (!IsContact(Subject))
            faults.Add(
                $"{section}:Subject is {(Subject.Length == 0 ? "missing" : $"\"{Subject}\"")}; give a contact for push services such as mailto:ops@example.com or an https address"
            );
        TrustedCa.Check(section, TrustedCaPath, faults);
        var point = Decode(PublicKey, PushEncryption.PublicKeyLength);
        var scalar = Decode(PrivateKey, 32);
        if (point is null)
            faults.Add(
                $"{section}:PublicKey is {(PublicKey.Length == 0 ? "missing" : "no VAPID key")}; give the base64url of 65 bytes, the one that the web app subscribes with"
            );
        if (scalar is null)
            faults.Add(
                $"{section}:PrivateKey is {(PrivateKey.Length == 0 ? "missing" : "no VAPID key")}; give the base64url of the 32 bytes that belong to PublicKey"
            );
        if (point is null || scalar is null)
            return null;

        var key = Pair(point, scalar);
        if (key is null)
            faults.Add($"{section}:PrivateKey does not belong to PublicKey; give both of one VAPID key pair on the curve P-256");
        if (faults.Count == before)
            return key;
        key?.Dispose();
        return null;
    }

    // RFC 8292, section 2.1. Apple refuses every push whose token has a blank or no address in it.
    private static bool IsContact(string text)
    {
        if (text.Any(c => c is <= ' ' or > '~') || !Uri.TryCreate(text, UriKind.Absolute, out var subject))
            return false;
        if (subject.Scheme == Uri.UriSchemeHttps)
            return subject.Host.Length > 0;
        return subject.Scheme == Uri.UriSchemeMailto && MailAddress.TryCreate(text["mailto:".Length..].Split('?')[0], out _);
    }

    private static byte[]? Decode(string text, int length) =>
        Base64Url.IsValid(text, out var decoded) && decoded == length ? Base64Url.DecodeFromChars(text) : null;

    // Checks that the public key verifies a signature of the private key.
    private static ECDsa? Pair(byte[] point, byte[] scalar)
    {
        if (point[0] != 4)
            return null;
        var key = ECDsa.Create();
        try
        {
            var parameters = new ECParameters
            {
                Curve = ECCurve.NamedCurves.nistP256,
                Q = new ECPoint { X = point[1..33], Y = point[33..] },
                D = scalar,
            };
            key.ImportParameters(parameters);
            using var verifier = ECDsa.Create(parameters with { D = null });
            var proof = "a pair"u8.ToArray();
            if (verifier.VerifyData(proof, key.SignData(proof, HashAlgorithmName.SHA256), HashAlgorithmName.SHA256))
                return key;
        }
        catch (CryptographicException)
        {
            // Not on the curve, or not each other's.
        }

        key.Dispose();
        return null;
    }
}
