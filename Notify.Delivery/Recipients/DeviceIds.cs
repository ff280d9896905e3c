namespace Notify.Delivery.Recipients;

using Notify.Delivery.Privacy;
using Notify.Domain.Channels;

/// <summary>The IDs of devices, which follow from their tokens: the same token is the same device.</summary>
public static class DeviceIds
{
    /// <summary>The ID of a device by what the platform knows it by.</summary>
    /// <param name="address">The token in its usual spelling (<see cref="Spelled"/>), or the endpoint of a subscription.</param>
    public static string Of(IFingerprints ring, Platform platform, string address) =>
        Of(ring.Fingerprint("device", HashedText.OfDevice(platform, address).Text));

    /// <summary>The ID of a device by the hash of its token: the beginning of the hash.</summary>
    public static string Of(string hash) => "d_" + PepperRing.Shorten(hash, 22);

    /// <summary>The usual spelling of a token.</summary>
    /// <remarks>An APNs token is hexadecimal: the same device in either case. Others are taken as they are.</remarks>
    public static string Spelled(Platform platform, string token) => platform == Platform.Ios ? token.ToLowerInvariant() : token;

    /// <summary>
    /// The IDs that earlier versions gave to the same iOS device by another spelling of its token: hexadecimal digits in capitals, or
    /// as the app wrote them.
    /// </summary>
    public static IReadOnlyList<string> EarlierOf(IFingerprints ring, string token) =>
        [.. EarlierSpellings(token).Select(t => Of(ring, Platform.Ios, t))];

    /// <summary>The other spellings of an iOS device's token that earlier versions gave an ID of its own.</summary>
    public static IEnumerable<string> EarlierSpellings(string token) =>
        new[] { token.ToUpperInvariant(), token }.Where(t => t != Spelled(Platform.Ios, t)).Distinct();
}
