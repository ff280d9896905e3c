namespace Notify.Delivery.Tracking;

using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using Notify.Delivery.Privacy;

/// <summary>
/// Identifies a delivery in public links, so that only the receiver of the link can follow it. A token contains the delivery's ID
/// and a proof that we made it, no address and no content. It is valid while its pepper is in use, since emails are kept.
/// </summary>
/// <remarks>base64url of 29 bytes: a version (1), the ID, and the first 12 bytes of an HMAC-SHA-256 under a pepper, for one purpose
/// alone. One under a former pepper counts while that is in use.</remarks>
public sealed class DeliveryTokens(MasterKeyRing ring)
{
    /// <summary>The purpose of links by which people unsubscribe.</summary>
    public const string Unsubscribe = "unsubscribe";

    /// <summary>The purpose of the image that reports an opening.</summary>
    public const string Open = "open";

    private const byte Version = 1;
    private const int IdEnd = 17,
        Length = 29;

    /// <summary>The token of a delivery, 39 characters.</summary>
    /// <param name="purpose">A token for one purpose is none for another.</param>
    public string Make(string purpose, Guid deliveryId)
    {
        Span<byte> token = stackalloc byte[Length];
        token[0] = Version;
        deliveryId.TryWriteBytes(token[1..IdEnd], bigEndian: true, out _);
        Proof(ring.Peppers.CurrentId, purpose, token[..IdEnd], token[IdEnd..]);
        return Base64Url.EncodeToString(token);
    }

    /// <summary>The delivery that a token names; <c>null</c> for what we did not make for this purpose.</summary>
    public Guid? Read(string purpose, string token)
    {
        Span<byte> bytes = stackalloc byte[Length],
            proof = stackalloc byte[Length - IdEnd];
        if (token.Length != 39 || !Base64Url.IsValid(token, out var length) || length != Length)
            return null;
        Base64Url.DecodeFromChars(token, bytes);
        if (bytes[0] != Version || Base64Url.EncodeToString(bytes) != token)
            return null; // one delivery has one link
        foreach (var pepper in ring.Peppers.InUse)
        {
            Proof(pepper, purpose, bytes[..IdEnd], proof);
            if (CryptographicOperations.FixedTimeEquals(proof, bytes[IdEnd..]))
                return new Guid(bytes[1..IdEnd], bigEndian: true);
        }

        return null;
    }

    private void Proof(string pepper, string purpose, ReadOnlySpan<byte> of, Span<byte> proof) =>
        ring.Peppers.Mac(pepper, $"delivery-token {purpose}", of).AsSpan(0, proof.Length).CopyTo(proof);
}
