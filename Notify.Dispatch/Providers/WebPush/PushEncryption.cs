namespace Notify.Dispatch.Providers.WebPush;

using System.Security.Cryptography;

/// <summary>Encrypts a push message so that only the browser that made the subscription can decrypt it.</summary>
/// <remarks>RFC 8291: Message Encryption for Web Push.</remarks>
public static class PushEncryption
{
    /// <summary>The largest body that every push service takes, in bytes (RFC 8030, section 7.2).</summary>
    public const int MaxBody = 4096;

    /// <summary>The longest text that fits such a body, in bytes.</summary>
    public static readonly int MaxText = MaxBody - Aes128Gcm.HeaderLength(PublicKeyLength) - Aes128Gcm.RecordOverhead;

    /// <summary>Length of an uncompressed point on P-256, in bytes.</summary>
    public const int PublicKeyLength = 65;

    private const int SecretLength = 32;

    /// <summary>Encrypts a text with a key pair and a salt that are made for this one message.</summary>
    /// <param name="receiverKey">The subscription's <c>p256dh</c>.</param>
    /// <param name="authentication">The subscription's <c>auth</c>.</param>
    /// <returns>The body; <c>null</c> when the subscription's key is no point on the curve.</returns>
    public static byte[]? Seal(ReadOnlySpan<byte> text, ReadOnlySpan<byte> receiverKey, ReadOnlySpan<byte> authentication)
    {
        using var sender = ECDiffieHellman.Create(ECCurve.NamedCurves.nistP256);
        Span<byte> salt = stackalloc byte[Aes128Gcm.SaltLength];
        RandomNumberGenerator.Fill(salt);
        return Seal(text, receiverKey, authentication, sender, salt);
    }

    /// <summary>Encrypts a text with a given key pair and salt, neither of which may ever be used again.</summary>
    public static byte[]? Seal(
        ReadOnlySpan<byte> text,
        ReadOnlySpan<byte> receiverKey,
        ReadOnlySpan<byte> authentication,
        ECDiffieHellman sender,
        ReadOnlySpan<byte> salt
    )
    {
        using var receiver = ReadPublicKey(receiverKey);
        if (receiver is null)
            return null;
        var shared = sender.DeriveRawSecretAgreement(receiver.PublicKey);

        var label = "WebPush: info\0"u8;
        Span<byte> info = stackalloc byte[label.Length + (2 * PublicKeyLength)],
            secret = stackalloc byte[SecretLength];
        label.CopyTo(info);
        receiverKey.CopyTo(info[label.Length..]);
        var senderKey = info[(label.Length + PublicKeyLength)..];
        WritePublicKey(sender, senderKey);
        HKDF.DeriveKey(HashAlgorithmName.SHA256, shared, secret, authentication, info);
        var body = Aes128Gcm.Seal(text, secret, salt, senderKey);
        CryptographicOperations.ZeroMemory(shared);
        CryptographicOperations.ZeroMemory(secret);
        return body;
    }

    private static ECDiffieHellman? ReadPublicKey(ReadOnlySpan<byte> point)
    {
        const byte Uncompressed = 4;
        if (point.Length != PublicKeyLength || point[0] != Uncompressed)
            return null;
        try
        {
            return ECDiffieHellman.Create(
                new ECParameters
                {
                    Curve = ECCurve.NamedCurves.nistP256,
                    Q = new ECPoint { X = point[1..33].ToArray(), Y = point[33..].ToArray() },
                }
            );
        }
        catch (CryptographicException)
        {
            return null;
        }
    }

    private static void WritePublicKey(ECDiffieHellman key, Span<byte> point)
    {
        var q = key.ExportParameters(includePrivateParameters: false).Q;
        point[0] = 4;
        q.X!.CopyTo(point[1..]);
        q.Y!.CopyTo(point[33..]);
    }
}
