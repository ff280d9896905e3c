namespace Notify.Dispatch.Providers.Email.SendGrid;

using System.Security.Cryptography;
using System.Text;
using Notify.Dispatch.Receipts;

/// <summary>Whether a request to a receipt's address comes from SendGrid.</summary>
/// <remarks>SendGrid: Event webhook security features. ECDSA P-256 over the time stamp and the raw body, SHA-256, DER.</remarks>
public sealed class SendGridSignature : IDisposable
{
    private readonly ECDsa key;

    private SendGridSignature(ECDsa key) => this.key = key;

    /// <summary>Reads the verification key: base64 of its SubjectPublicKeyInfo. <c>null</c> when it is none on P-256.</summary>
    public static SendGridSignature? From(string publicKey)
    {
        var key = ECDsa.Create();
        try
        {
            key.ImportSubjectPublicKeyInfo(Convert.FromBase64String(publicKey), out _);
            if (key.KeySize == 256)
                return new SendGridSignature(key);
        }
        catch (Exception e) when (e is FormatException or CryptographicException)
        {
            // The caller reports the fault.
        }

        key.Dispose();
        return null;
    }

    /// <summary>Checks <c>X-Twilio-Email-Event-Webhook-Signature</c> and <c>-Timestamp</c>; the latter must be fresh.</summary>
    public bool IsValid(string? timestamp, ReadOnlySpan<byte> body, string? signature, DateTimeOffset now)
    {
        if (timestamp is null || signature is null || !Signatures.IsFresh(timestamp, now))
            return false;
        var der = new byte[128]; // a P-256 signature takes 72 at most
        // Base64 has more than one spelling of the same bytes; only the one that SendGrid writes is taken.
        if (!Convert.TryFromBase64String(signature, der, out var length) || Convert.ToBase64String(der, 0, length) != signature)
            return false;
        byte[] signed = [.. Encoding.UTF8.GetBytes(timestamp), .. body];
        lock (key)
            return key.VerifyData(signed, der.AsSpan(0, length), HashAlgorithmName.SHA256, DSASignatureFormat.Rfc3279DerSequence);
    }

    /// <inheritdoc />
    public void Dispose() => key.Dispose();
}
