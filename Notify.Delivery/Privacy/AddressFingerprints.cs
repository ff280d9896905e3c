namespace Notify.Delivery.Privacy;

using Notify.Domain.Channels;
using Notify.Domain.Content;

/// <summary>Keyed hashes by which the same thing is found again.</summary>
public interface IFingerprints
{
    /// <summary>The hash by which a text is known here.</summary>
    /// <param name="purpose">Separates hashes of different kinds.</param>
    string Fingerprint(string purpose, ReadOnlySpan<byte> text);

    /// <summary>The hash by which a text is known here.</summary>
    string Fingerprint(string purpose, string text) => Fingerprint(purpose, System.Text.Encoding.UTF8.GetBytes(text));
}

/// <summary>Keyed hashes of people's addresses: the same for every spelling of one address.</summary>
public static class AddressFingerprints
{
    /// <summary>The fingerprint of a phone number.</summary>
    /// <param name="number">E.164.</param>
    public static string OfPhone(this IFingerprints ring, string number) => ring.Fingerprint("phone", number);

    /// <summary>
    /// The fingerprint of an email address, in every case and every composition of its letters; its domain may be in letters or in
    /// ASCII.
    /// </summary>
    public static string OfEmail(this IFingerprints ring, string address) => ring.Fingerprint("email", Normal(address));

    /// <summary>An email address as it is compared.</summary>
    public static string Normal(string address)
    {
        var composed = DomainNames.Composed(address);
        var at = composed.LastIndexOf('@');
        // The domain as it is sent to: .NET's small letters are not always those of IDNA. One without an ASCII form stays as written.
        var domain = at > 0 ? DomainNames.ToAscii(composed.AsSpan(at + 1)) : null;
        return domain is null ? composed.ToLowerInvariant() : $"{composed[..at].ToLowerInvariant()}@{domain}";
    }

    /// <summary>The fingerprint of an address on a channel; <c>null</c> for push, whose tokens are devices, and where there is no
    /// address.</summary>
    public static string? Of(this IFingerprints ring, Channel channel, string? address) =>
        (channel, address) switch
        {
            (_, null or "") or (Channel.Push, _) => null,
            (Channel.Sms, _) => ring.OfPhone(address),
            _ => ring.OfEmail(address),
        };
}
