namespace Notify.Api.Contract;

using System.Globalization;
using System.Net.Mail;
using System.Text;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Recipients;
using Notify.Infrastructure.Networking;
using PhoneNumbers;

/// <summary>A browser's push subscription (W3C Push API).</summary>
public sealed record WebPushSubscription
{
    /// <summary>The push service's address for this browser; https.</summary>
    public string? Endpoint { get; init; }

    /// <summary>The browser's keys.</summary>
    public WebPushKeys? Keys { get; init; }

    /// <summary>When the browser will replace it, in milliseconds since 1970; browsers send it, mostly as <c>null</c>, and nothing follows
    /// from it.</summary>
    public double? ExpirationTime { get; init; }
}

/// <summary>The subscription's keys, base64url (RFC 8291).</summary>
public sealed record WebPushKeys
{
    /// <summary>The browser's public key: base64url of 65 bytes.</summary>
    public string? P256dh { get; init; }

    /// <summary>The authentication secret: base64url of 16 bytes.</summary>
    public string? Auth { get; init; }
}

/// <summary>Rules for contact data.</summary>
public static class ContactRules
{
    public const string EmailRule = "must be an email address such as name@example.com";
    public const string PhoneRule =
        "must be a phone number with country code and area code and without an extension, such as +82 10-1234-5678";

    private static readonly OutboundGuard PublicInternet = new(allowPrivateNetworks: false);
    private static readonly PhoneNumberUtil Phones = PhoneNumberUtil.GetInstance();

    /// <summary>
    /// Whether a text is an email address (RFC 5321's lengths, RFC 6531's letters, IDNA domains): no display name, nothing quoted,
    /// no bare IP address, nothing invisible.
    /// </summary>
    public static bool IsEmail(string text) =>
        text.Length <= 254
        && !HasUnseen(text)
        && !text.Contains('"', StringComparison.Ordinal)
        && MailAddress.TryCreate(text, out var address)
        && address.Address == text
        && Encoding.UTF8.GetByteCount(address.User) <= 64
        && !address.User.EndsWith('.')
        && IsDomain(address.Host);

    // In a domain the joiners are seen, where IDNA allows them (RFC 5892, appendix A.1).
    private static bool HasUnseen(string text)
    {
        var at = text.LastIndexOf('@');
        for (var i = 0; i < text.Length; i++)
            if (IsUnseen(text[i]) && !(i > at && at > 0 && text[i] is '\u200C' or '\u200D'))
                return true;
        return false;
    }

    // Fillers and selectors show nothing either, although they are letters, symbols and marks.
    private static bool IsUnseen(char c) =>
        char.IsControl(c)
        || char.IsWhiteSpace(c)
        || IsBlankMark(c)
        || char.GetUnicodeCategory(c) is UnicodeCategory.Format or UnicodeCategory.PrivateUse or UnicodeCategory.OtherNotAssigned;

    private static bool IsBlankMark(char c) =>
        c is '\u034F' or '\u115F' or '\u1160' or '\u17B4' or '\u17B5' or '\u2800' or '\u3164' or '\uFFA0' or (>= '\uFE00' and <= '\uFE0F');

    private static bool IsDomain(string host) =>
        DomainNames.ToAscii(host)?.Split('.') is { Length: > 1 } labels && labels[^1].Length > 1 && !labels[^1].All(char.IsAsciiDigit);

    /// <summary>A phone number in E.164; <c>null</c> if it is none that the world can dial: without its area code, say, or with an
    /// extension, which no SMS reaches.</summary>
    public static string? ToE164(string text)
    {
        if (text.Length > 40)
            return null;
        // Marks for the direction of writing come along when a number is copied; nobody sees them.
        var seen = string.Concat(
                text.EnumerateRunes()
                    .Where(r => Rune.GetUnicodeCategory(r) != UnicodeCategory.Format && !(r.IsBmp && IsBlankMark((char)r.Value)))
            )
            .Trim()
            .Replace('\uFF0B', '+');
        if (!seen.StartsWith('+'))
            return null;
        try
        {
            var number = Phones.Parse(seen, null);
            return Phones.IsPossibleNumberWithReason(number) == PhoneNumberUtil.ValidationResult.IS_POSSIBLE && !number.HasExtension
                ? Phones.Format(number, PhoneNumberFormat.E164)
                : null;
        }
        catch (NumberParseException)
        {
            return null;
        }
    }

    /// <summary>Whether a text is an IANA time zone, by the database that comes with this program: the machine's own may be old, or
    /// absent.</summary>
    public static bool IsTimeZone(string text) => TimeZoneNames.Find(text) is not null;

    /// <summary>Every fault of a device's address.</summary>
    /// <param name="guard">Tells where a browser's push service may be; on the public Internet, unless given.</param>
    public static IEnumerable<(string Field, string Fault)> CheckDevice(
        Platform? platform,
        string? token,
        WebPushSubscription? subscription,
        OutboundGuard? guard = null
    )
    {
        switch (platform)
        {
            case null:
                yield return ("Platform", "must be ios, android or web");
                break;
            case Platform.Web:
                if (token is not null)
                    yield return ("Token", "a browser has a subscription, not a token");
                if (
                    subscription?.Endpoint is not { Length: <= 2000 } endpoint
                    || !Uri.TryCreate(endpoint, UriKind.Absolute, out var uri)
                    || !(guard ?? PublicInternet).Allows(uri)
                )
                    yield return ("Subscription.Endpoint", (guard ?? PublicInternet).Rule);
                if (!IsBase64Url(subscription?.Keys?.P256dh, 65))
                    yield return ("Subscription.Keys.P256dh", "must be the base64url of 65 bytes");
                if (!IsBase64Url(subscription?.Keys?.Auth, 16))
                    yield return ("Subscription.Keys.Auth", "must be the base64url of 16 bytes");
                break;
            default:
                if (subscription is not null)
                    yield return ("Subscription", "only browsers have one");
                if (string.IsNullOrWhiteSpace(token) || token.Length > 4096)
                    yield return ("Token", "must be the token that the platform gave to the app");
                else if (platform == Platform.Ios && (token.Length is < 32 or > 200 || !token.All(char.IsAsciiHexDigit)))
                    yield return ("Token", "must be an APNs token: 32 to 200 hexadecimal digits");
                else if (token.Any(c => c is <= ' ' or > '~'))
                    yield return ("Token", "must be printable ASCII");
                break;
        }
    }

    private static bool IsBase64Url(string? text, int bytes) =>
        text is not null && System.Buffers.Text.Base64Url.IsValid(text, out var length) && length == bytes;
}
