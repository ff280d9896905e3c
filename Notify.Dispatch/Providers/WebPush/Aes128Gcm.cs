namespace Notify.Dispatch.Providers.WebPush;

using System.Buffers.Binary;
using System.Security.Cryptography;

/// <summary>The content coding <c>aes128gcm</c>, in one record.</summary>
/// <remarks>RFC 8188: Encrypted Content-Encoding for HTTP.</remarks>
public static class Aes128Gcm
{
    /// <summary>Length of the salt, in bytes.</summary>
    public const int SaltLength = 16;

    /// <summary>The bytes of a record besides the text: the delimiter and the authentication tag.</summary>
    public const int RecordOverhead = 1 + TagLength;

    private const int TagLength = 16,
        RecordSize = 4096,
        FixedHeader = SaltLength + 4 + 1;
    private const byte LastRecord = 2;

    /// <summary>Length of the header before the record, in bytes.</summary>
    public static int HeaderLength(int keyIdLength) => FixedHeader + keyIdLength;

    /// <summary>Encrypts a text.</summary>
    /// <param name="secret">The input keying material, which the receiver has too.</param>
    /// <param name="salt">16 random bytes, never used twice with one secret.</param>
    /// <param name="keyId">The key's ID for the receiver; at most 255 bytes.</param>
    public static byte[] Seal(ReadOnlySpan<byte> text, ReadOnlySpan<byte> secret, ReadOnlySpan<byte> salt, ReadOnlySpan<byte> keyId)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(salt.Length, SaltLength);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(text.Length, RecordSize - RecordOverhead);
        Span<byte> pseudoRandomKey = stackalloc byte[32],
            key = stackalloc byte[16],
            nonce = stackalloc byte[12];
        HKDF.Extract(HashAlgorithmName.SHA256, secret, salt, pseudoRandomKey);
        HKDF.Expand(HashAlgorithmName.SHA256, pseudoRandomKey, key, "Content-Encoding: aes128gcm\0"u8);
        HKDF.Expand(HashAlgorithmName.SHA256, pseudoRandomKey, nonce, "Content-Encoding: nonce\0"u8); // of record 0, which is the only one

        var body = new byte[HeaderLength(keyId.Length) + text.Length + RecordOverhead];
        salt.CopyTo(body);
        BinaryPrimitives.WriteUInt32BigEndian(body.AsSpan(SaltLength), RecordSize);
        body[FixedHeader - 1] = checked((byte)keyId.Length);
        keyId.CopyTo(body.AsSpan(FixedHeader));

        var record = body.AsSpan(HeaderLength(keyId.Length));
        text.CopyTo(record);
        record[text.Length] = LastRecord;
        var sealing = record[..(text.Length + 1)];
        using var gcm = new AesGcm(key, TagLength);
        gcm.Encrypt(nonce, sealing, sealing, record[^TagLength..]);
        CryptographicOperations.ZeroMemory(pseudoRandomKey);
        CryptographicOperations.ZeroMemory(key);
        return body;
    }
}
