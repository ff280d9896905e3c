namespace Notify.Api.Suppressions;

using Notify.Domain.Channels;
using PhoneNumbers;

/// <summary>An address as lists show it: enough to recognise a known one.</summary>
public static class MaskedAddress
{
    private const string Hidden = "•••";

    /// <summary>Masks an address.</summary>
    /// <returns>Such as <c>+82•••1234</c> or <c>j•••@example.com</c>.</returns>
    public static string Of(Channel channel, string address) => channel == Channel.Email ? OfEmail(address) : OfPhone(address);

    private static string OfEmail(string address)
    {
        var at = address.LastIndexOf('@');
        return at <= 0
            ? Hidden
            : $"{(at > 1 ? char.IsHighSurrogate(address[0]) ? address[..2] : address[..1] : "")}{Hidden}{address[at..]}";
    }

    private static string OfPhone(string number)
    {
        try
        {
            var country = PhoneNumberUtil.GetInstance().Parse(number, null).CountryCode;
            var prefix = $"+{country}";
            return $"{prefix}{Hidden}{(number.Length >= prefix.Length + 7 ? number[^4..] : "")}";
        }
        catch (NumberParseException)
        {
            return Hidden;
        }
    }
}
