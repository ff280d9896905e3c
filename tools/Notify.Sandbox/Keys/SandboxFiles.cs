namespace Notify.Sandbox.Keys;

/// <summary>Where the sandbox's key material lies within its home.</summary>
public sealed class SandboxFiles(string home)
{
    /// <summary>The folder, absolute.</summary>
    public string Home { get; } = Path.GetFullPath(home);

    /// <summary>PKCS#8 P-256 private key that an APNs client signs provider tokens with.</summary>
    public string ApnsAuthKey => Path.Combine(Home, "apns-auth-key.p8");

    /// <summary>Its public half, by which the sandbox verifies.</summary>
    public string ApnsAuthPublicKey => Path.Combine(Home, "apns-auth-key.pub.pem");

    /// <summary>The certificate authority that APNs clients have to trust.</summary>
    public string ApnsCa => Path.Combine(Home, "apns-ca.pem");

    /// <summary>The server's certificate and key, without a password.</summary>
    public string ApnsServer => Path.Combine(Home, "apns-server.pfx");

    /// <summary>The service account that an FCM client signs with, in the shape of Google's own.</summary>
    public string FcmServiceAccount => Path.Combine(Home, "fcm-service-account.json");

    /// <summary>PKCS#8 P-256 private key that SendGrid's event webhook is signed with.</summary>
    public string SendGridWebhookKey => Path.Combine(Home, "sendgrid-webhook-key.pem");

    /// <summary>The <see cref="SandboxIdentity"/>.</summary>
    public string Identity => Path.Combine(Home, "sandbox.json");

    /// <summary>The <see cref="VapidKeys"/> that a Web Push client signs with.</summary>
    public string Vapid => Path.Combine(Home, "vapid.json");

    /// <summary>Returns the missing files that the server needs to start.</summary>
    public IEnumerable<string> Missing()
    {
        string[] needed = [ApnsAuthPublicKey, ApnsServer, FcmServiceAccount, Identity, SendGridWebhookKey, Vapid];
        return needed.Where(path => !File.Exists(path));
    }
}
