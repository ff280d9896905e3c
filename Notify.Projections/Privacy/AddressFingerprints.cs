using System.Globalization;
using Notify.Domain.Notifications;

namespace Notify.Projections.Privacy;

/// <summary>Keyed hashes of people's addresses: the same for every way to write the same one.</summary>
public static class AddressFingerprints
{
    private static readonly IdnMapping Idn = new() { UseStd3AsciiRules = true };

    /// <summary>The fingerprint of a phone number.</summary>
    /// <param name="number">E.164.</param>
    public static string OfPhone(this MasterKeyRing ring, string number) => ring.Fingerprint("phone", number);

    /// <summary>The fingerprint of an email address, whatever its case; its domain may be written in letters or in ASCII (IDNA).</summary>
    public static string OfEmail(this MasterKeyRing ring, string address)
    {
        var lower = address.ToLowerInvariant();
        var at = lower.LastIndexOf('@');
        try
        {
            if (at > 0 && at < lower.Length - 1) lower = $"{lower[..at]}@{Idn.GetAscii(lower, at + 1)}";
        }
        catch (ArgumentException)
        {
            // No domain that can be written in ASCII: it is known as it stands.
        }

        return ring.Fingerprint("email", lower);
    }

    /// <summary>The fingerprint of an address on a channel; <c>null</c> for push, whose tokens are devices, and where there is no address.</summary>
    public static string? Of(this MasterKeyRing ring, Channel channel, string? address) => (channel, address) switch
    {
        (_, null or "") or (Channel.Push, _) => null,
        (Channel.Sms, _) => ring.OfPhone(address),
        _ => ring.OfEmail(address),
    };
}
