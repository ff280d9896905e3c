namespace Notify.Sandbox.Keys;

using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Notify.Sandbox.Fcm;

/// <summary>
/// <c>keys --home DIR [--url URL]</c>: creates what is missing of the sandbox's key material and leaves the rest as it is, but
/// for the address in it, which is the sandbox's as clients reach it.
/// </summary>
public static class KeysCommand
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    private const UnixFileMode Everyone = OwnerOnly | UnixFileMode.GroupRead | UnixFileMode.OtherRead;
    private const string IdAlphabet = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    private const string KeyAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    /// <summary>Returns the exit code: 0, or 2 when called wrongly.</summary>
    public static int Run(string[] options)
    {
        if (options is not ["--home", { Length: > 0 } home, .. var rest] || rest is not ([] or ["--url", { Length: > 0 }]))
        {
            Console.Error.WriteLine("Usage: dotnet Notify.Sandbox.dll keys --home DIR [--url URL]");
            return 2;
        }

        var files = new SandboxFiles(home);
        Directory.CreateDirectory(files.Home);
        EnsureKeyPair(files.ApnsAuthKey, files.ApnsAuthPublicKey);
        EnsureCertificates(files, TimeProvider.System.GetUtcNow());
        EnsureFcmAccount(files, rest is [_, var url] ? url : null);
        EnsureIdentity(files, EnsureKeyPair(files.SendGridWebhookKey));
        EnsureVapidKeys(files);
        Console.WriteLine($"Sandbox keys are in {files.Home}");
        return 0;
    }

    /// <summary>The public half: PEM where it has a file of its own, and as it is returned base64 of the SubjectPublicKeyInfo.</summary>
    private static string EnsureKeyPair(string privateKey, string? publicKey = null)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        if (File.Exists(privateKey))
            key.ImportFromPem(File.ReadAllText(privateKey));
        else
            Write(privateKey, key.ExportPkcs8PrivateKeyPem(), OwnerOnly);

        // Always rewritten: it can only ever be the private key's other half.
        if (publicKey is not null)
            Write(publicKey, key.ExportSubjectPublicKeyInfoPem(), Everyone);
        return Convert.ToBase64String(key.ExportSubjectPublicKeyInfo());
    }

    private static void EnsureCertificates(SandboxFiles files, DateTimeOffset now)
    {
        if (File.Exists(files.ApnsCa) && File.Exists(files.ApnsServer))
            return;

        var from = now.AddDays(-1);
        using var caKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var ca = CertificateAuthority(caKey, from);
        using var serverKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var server = ServerCertificate(ca, serverKey, from);

        // The authority's key is not kept: nothing else is ever to be signed by it.
        Write(files.ApnsCa, ca.ExportCertificatePem(), Everyone);
        Write(files.ApnsServer, server.Export(X509ContentType.Pfx), OwnerOnly);
    }

    private static X509Certificate2 CertificateAuthority(ECDsa key, DateTimeOffset from)
    {
        var request = new CertificateRequest("CN=Notify Sandbox CA", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, true, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        return request.CreateSelfSigned(from, from.AddYears(10));
    }

    private static X509Certificate2 ServerCertificate(X509Certificate2 ca, ECDsa key, DateTimeOffset from)
    {
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Loopback);
        names.AddIpAddress(IPAddress.IPv6Loopback);
        names.AddDnsName("localhost");
        names.AddDnsName("sandbox"); // its name in docker-compose

        var request = new CertificateRequest("CN=Notify Sandbox APNs", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(names.Build());
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid("1.3.6.1.5.5.7.3.1")], false));
        request.CertificateExtensions.Add(
            X509AuthorityKeyIdentifierExtension.CreateFromCertificate(ca, includeKeyIdentifier: true, includeIssuerAndSerial: false)
        );

        using var certificate = request.Create(ca, from, from.AddYears(10).AddDays(-1), RandomNumberGenerator.GetBytes(16));
        return certificate.CopyWithPrivateKey(key);
    }

    private static void EnsureFcmAccount(SandboxFiles files, string? url)
    {
        var known = File.Exists(files.FcmServiceAccount) ? FcmAccount.Parse(File.ReadAllText(files.FcmServiceAccount)) : null;
        var account =
            known is null ? FcmAccount.Create(url ?? FcmAccount.DefaultUrl)
            : url is null ? known
            : known with { TokenUri = FcmAccount.TokenUriOf(url) };
        if (account != known)
            Write(files.FcmServiceAccount, account.ToJson(), OwnerOnly);
    }

    private static void EnsureIdentity(SandboxFiles files, string sendGridWebhookPublicKey)
    {
        var identity = new SandboxIdentity
        {
            ApnsTeamId = RandomNumberGenerator.GetString(IdAlphabet, 10),
            ApnsKeyId = RandomNumberGenerator.GetString(IdAlphabet, 10),
            ApnsTopic = "dev.notify.app",
            TwilioAccountSid = "AC" + RandomNumberGenerator.GetHexString(32, lowercase: true),
            TwilioAuthToken = RandomNumberGenerator.GetHexString(32, lowercase: true),
            TwilioFrom = "+15005550006",
            SendGridApiKey = $"SG.{RandomNumberGenerator.GetString(KeyAlphabet, 22)}.{RandomNumberGenerator.GetString(KeyAlphabet, 43)}",
            SendGridFrom = "hello@sandbox.example",
            SendGridWebhookPublicKey = sendGridWebhookPublicKey,
            VonageApiKey = RandomNumberGenerator.GetHexString(8, lowercase: true),
            VonageApiSecret = RandomNumberGenerator.GetString(KeyAlphabet.AsSpan()[..^2], 16),
            VonageFrom = "15005550007",
            VonageSignatureSecret = RandomNumberGenerator.GetString(KeyAlphabet.AsSpan()[..^2], 32),
            VonageSignatureMethod = "sha256",
            MailchimpApiKey = $"md-{RandomNumberGenerator.GetString(KeyAlphabet, 22)}",
            MailchimpFrom = "hello@sandbox.example",
            MailchimpWebhookKey = RandomNumberGenerator.GetString(KeyAlphabet, 22),
            SmtpUserName = "notify",
            SmtpPassword = RandomNumberGenerator.GetString(KeyAlphabet, 24),
            SmtpFrom = "hello@sandbox.example",
        };
        var all = JsonSerializer.SerializeToNode(identity, SandboxIdentity.Json)!.AsObject();
        if (File.Exists(files.Identity))
            foreach (var (name, value) in JsonNode.Parse(File.ReadAllText(files.Identity))!.AsObject())
                all[name] = value?.DeepClone(); // existing values stay
        all["sendGridWebhookPublicKey"] = sendGridWebhookPublicKey;

        Write(files.Identity, all.ToJsonString(SandboxIdentity.Json) + "\n", OwnerOnly);
    }

    private static void EnsureVapidKeys(SandboxFiles files)
    {
        if (File.Exists(files.Vapid))
            return;

        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        Write(files.Vapid, JsonSerializer.Serialize(VapidKeys.Of(key), SandboxIdentity.Json) + "\n", OwnerOnly);
    }

    private static void Write(string path, string text, UnixFileMode mode) => Write(path, Encoding.UTF8.GetBytes(text), mode);

    private static void Write(string path, byte[] bytes, UnixFileMode mode)
    {
        var options = new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = mode;

        using var stream = new FileStream(path, options);
        stream.Write(bytes);
    }
}
