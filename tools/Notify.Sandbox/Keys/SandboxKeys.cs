namespace Notify.Sandbox.Keys;

using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using Notify.Sandbox.Fcm;

/// <summary>The key material that the server runs with, as read once at the start.</summary>
public sealed record SandboxKeys(SandboxIdentity Identity, ECDsa ApnsPublicKey, X509Certificate2 ApnsCertificate, string VapidPublicKey)
{
    /// <summary>The service account that may send through FCM.</summary>
    public required FcmAccount Fcm { get; init; }

    /// <summary>What SendGrid's event webhook is signed with.</summary>
    public required ECDsa SendGridWebhookKey { get; init; }

    /// <summary>Reads the keys from <paramref name="home"/>; when that cannot be done, says what to do about it.</summary>
    public static (SandboxKeys? Keys, string? Problem) Load(string? home)
    {
        if (string.IsNullOrWhiteSpace(home))
            return (
                null,
                "Sandbox:Home is not set. Create keys with 'dotnet Notify.Sandbox.dll keys --home DIR' and start with Sandbox__Home=DIR."
            );

        var files = new SandboxFiles(home);
        var missing = string.Join(", ", files.Missing().Select(Path.GetFileName));
        if (missing.Length > 0)
            return (null, $"{files.Home} lacks {missing}. Run: dotnet Notify.Sandbox.dll keys --home {files.Home}");

        try
        {
            return (Read(files), null);
        }
        catch (Exception error)
            when (error is IOException or UnauthorizedAccessException or CryptographicException or ArgumentException or JsonException)
        {
            return (
                null,
                $"The keys in {files.Home} cannot be read ({error.Message.TrimEnd('.')}). Remove them and run: dotnet "
                    + $"Notify.Sandbox.dll keys --home {files.Home}"
            );
        }
    }

    private static SandboxKeys Read(SandboxFiles files)
    {
        var identity =
            JsonSerializer.Deserialize<SandboxIdentity>(File.ReadAllText(files.Identity), SandboxIdentity.Json)
            ?? throw new JsonException("sandbox.json is empty");

        var vapid =
            JsonSerializer.Deserialize<VapidKeys>(File.ReadAllText(files.Vapid), SandboxIdentity.Json)
            ?? throw new JsonException("vapid.json is empty");

        var publicKey = ECDsa.Create();
        publicKey.ImportFromPem(File.ReadAllText(files.ApnsAuthPublicKey));
        var webhookKey = ECDsa.Create();
        webhookKey.ImportFromPem(File.ReadAllText(files.SendGridWebhookKey));
        return new SandboxKeys(
            identity,
            publicKey,
            X509CertificateLoader.LoadPkcs12FromFile(files.ApnsServer, password: null),
            vapid.PublicKey
        )
        {
            Fcm = FcmAccount.Parse(File.ReadAllText(files.FcmServiceAccount)),
            SendGridWebhookKey = webhookKey,
        };
    }
}
