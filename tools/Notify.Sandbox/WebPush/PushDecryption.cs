namespace Notify.Sandbox.WebPush;

using System.Buffers.Binary;
using System.Security.Cryptography;

/// <summary>Opens a push message as the browser that made the subscription would (RFC 8188, RFC 8291).</summary>
public static class PushDecryption
{
    private const int SaltLength = 16,
        HeaderLength = SaltLength + 4 + 1,
        KeyLength = 65,
        TagLength = 16;
    private const int SmallestRecord = TagLength + 2;
    private const byte LastRecord = 2;

    /// <summary>Returns the text; null when it was not encrypted for this subscription, or was changed on its way.</summary>
    public static byte[]? Open(ReadOnlySpan<byte> body, Subscription subscription)
    {
        if (body.Length < HeaderLength + KeyLength + SmallestRecord - 1 || body[HeaderLength - 1] != KeyLength)
            return null;

        var salt = body[..SaltLength];
        var recordSize = BinaryPrimitives.ReadUInt32BigEndian(body[SaltLength..]);
        var senderKey = body.Slice(HeaderLength, KeyLength);
        var record = body[(HeaderLength + KeyLength)..];
        if (recordSize < SmallestRecord || record.Length > recordSize || Agree(senderKey, subscription) is not { } shared)
            return null;

        byte[] info = [.. "WebPush: info\0"u8, .. subscription.PublicKey, .. senderKey];
        var secret = HKDF.DeriveKey(HashAlgorithmName.SHA256, shared, 32, subscription.Authentication, info);
        var key = HKDF.DeriveKey(HashAlgorithmName.SHA256, secret, 16, salt.ToArray(), "Content-Encoding: aes128gcm\0"u8.ToArray());
        var nonce = HKDF.DeriveKey(HashAlgorithmName.SHA256, secret, 12, salt.ToArray(), "Content-Encoding: nonce\0"u8.ToArray());

        var padded = new byte[record.Length - TagLength];
        try
        {
            using var gcm = new AesGcm(key, TagLength);
            gcm.Decrypt(nonce, record[..^TagLength], record[^TagLength..], padded);
        }
        catch (AuthenticationTagMismatchException)
        {
            return null;
        }

        // The text, the mark of the last record, and zeros.
        var end = padded.AsSpan().LastIndexOfAnyExcept((byte)0);
        return end >= 0 && padded[end] == LastRecord ? padded[..end] : null;
    }

    private static byte[]? Agree(ReadOnlySpan<byte> senderKey, Subscription subscription)
    {
        if (senderKey[0] != 4)
            return null;
        try
        {
            using var sender = ECDiffieHellman.Create(
                new ECParameters
                {
                    Curve = ECCurve.NamedCurves.nistP256,
                    Q = new ECPoint { X = senderKey[1..33].ToArray(), Y = senderKey[33..].ToArray() },
                }
            );
            lock (subscription.PrivateKey)
                return subscription.PrivateKey.DeriveRawSecretAgreement(sender.PublicKey);
        }
        catch (CryptographicException)
        {
            return null;
        }
    }
}
