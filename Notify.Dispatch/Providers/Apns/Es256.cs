namespace Notify.Dispatch.Providers.Apns;

using System.Security.Cryptography;
using Org.BouncyCastle.Asn1.X9;
using Org.BouncyCastle.Crypto.Digests;
using Org.BouncyCastle.Crypto.Parameters;
using Org.BouncyCastle.Crypto.Signers;
using Org.BouncyCastle.Math;
using Org.BouncyCastle.Utilities;

/// <summary>Signs by ES256 so that a key and a text have one signature.</summary>
/// <remarks>
/// RFC 7518, 3.4 (ES256); RFC 6979 (the nonce follows from key and text). .NET draws a random nonce for each signature, and
/// cannot be given one.
/// </remarks>
public static class Es256
{
    private const int FieldLength = 32;

    private static readonly ECDomainParameters Curve = new(ECNamedCurveTable.GetByName("P-256"));

    /// <summary>The signature: r and s, 32 bytes each.</summary>
    /// <param name="key">A private key on P-256.</param>
    public static byte[] Sign(ECDsa key, ReadOnlySpan<byte> text)
    {
        var parameters = key.ExportParameters(includePrivateParameters: true);
        try
        {
            var signer = new ECDsaSigner(new HMacDsaKCalculator(new Sha256Digest()));
            signer.Init(true, new ECPrivateKeyParameters(new BigInteger(1, parameters.D), Curve));
            return [.. signer.GenerateSignature(SHA256.HashData(text)).SelectMany(n => BigIntegers.AsUnsignedByteArray(FieldLength, n))];
        }
        finally
        {
            CryptographicOperations.ZeroMemory(parameters.D);
        }
    }
}
