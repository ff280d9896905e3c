namespace Notify.Dispatch.Providers.Apns;

using System.Security.Cryptography;
using Notify.Domain.Channels;

/// <summary>Settings of Apple's push service: <c>Providers:Apns</c>.</summary>
public sealed record ApnsOptions
{
    /// <summary>The developer team, ten characters; the token's issuer.</summary>
    public string TeamId { get; init; } = "";

    /// <summary>The signing key's ID, ten characters.</summary>
    public string KeyId { get; init; } = "";

    /// <summary>The signing key, PKCS#8 PEM, P-256; or <see cref="PrivateKeyPath"/>.</summary>
    public string? PrivateKey { get; init; }

    /// <summary>The path of a file with the signing key.</summary>
    public string? PrivateKeyPath { get; init; }

    /// <summary>The app's bundle ID.</summary>
    public string Topic { get; init; } = "";

    /// <summary>Which of Apple's servers the app is for; by <see cref="BaseUrl"/>, else production, where it is not set.</summary>
    public PushEnvironment? Environment { get; init; }

    /// <summary>Another address of the service; else Apple's.</summary>
    public Uri? BaseUrl { get; init; }

    /// <summary>Further apps, by a name of the operator's.</summary>
    public Dictionary<string, ApnsAppOptions> Apps { get; init; } = [];

    /// <summary>A certificate authority to trust, PEM; development only.</summary>
    public string? TrustedCaPath { get; init; }

    /// <summary>Calls under way at once.</summary>
    public int Concurrency { get; init; } = 200;

    /// <summary>Connections that are kept, 1 to 20; each carries as many calls at once as Apple allows on it.</summary>
    public int Connections { get; init; } = 2;

    /// <summary>The time limit for establishing a connection.</summary>
    public TimeSpan ConnectTimeout { get; init; } = ProviderCall.ConnectTimeout;

    /// <summary>How long one request may take.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long all requests for one delivery may take together; see <see cref="ProviderCall.TotalTimeout"/>.</summary>
    public TimeSpan? TotalTimeout { get; init; }

    /// <summary>Checks the settings and loads the key; every fault is added to <paramref name="faults"/>.</summary>
    public ECDsa? LoadKey(string section, ICollection<string> faults)
    {
        var before = faults.Count;
        ProviderCall.Check(section, ApnsApps.Servers(this).Address, Concurrency, Timeout, faults, ConnectTimeout, TotalTimeout);
        if (Connections is < 1 or > 20)
            faults.Add($"{section}:Connections is {Connections}; give 1 to 20");
        if (TeamId.Length == 0)
            faults.Add($"{section}:TeamId is missing; it is the ten characters of the Apple developer team");
        if (KeyId.Length == 0)
            faults.Add($"{section}:KeyId is missing; it is the ten characters of the signing key's ID");
        if (Topic.Length == 0)
            faults.Add($"{section}:Topic is missing; it is the app's bundle ID");
        TrustedCa.Check(section, TrustedCaPath, faults);
        var key = ReadKey(section, PrivateKey, PrivateKeyPath, faults);
        if (faults.Count == before)
            return key;
        key?.Dispose();
        return null;
    }

    /// <summary>Reads a signing key; every fault is added to <paramref name="faults"/>.</summary>
    /// <param name="section">Where its settings are.</param>
    /// <param name="pem">The key; or <paramref name="path"/> names its file.</param>
    internal static ECDsa? ReadKey(string section, string? pem, string? path, ICollection<string> faults)
    {
        if (pem is null && path is null)
        {
            faults.Add($"{section}:PrivateKeyPath is missing; it names the .p8 file from Apple's developer account");
            return null;
        }

        if (pem is null && !File.Exists(path))
        {
            faults.Add($"{section}:PrivateKeyPath names {path}, which does not exist");
            return null;
        }

        var key = ECDsa.Create();
        try
        {
            key.ImportFromPem(pem ?? File.ReadAllText(path!));
            key.ExportParameters(includePrivateParameters: true); // throws for a public key
            if (key.KeySize == 256)
                return key;
            faults.Add($"{section}: the private key is not on the curve P-256");
        }
        catch (Exception e) when (e is ArgumentException or CryptographicException or IOException or UnauthorizedAccessException)
        {
            faults.Add($"{section}: the private key cannot be read as PKCS#8 PEM ({e.Message.Split('\n')[0]})");
        }

        key.Dispose();
        return null;
    }
}
