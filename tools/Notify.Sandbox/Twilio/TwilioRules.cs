namespace Notify.Sandbox.Twilio;

using System.Buffers;

/// <summary>Rules for a message that Twilio accepts, and the numbers that can never be reached.</summary>
public sealed class TwilioRules(string ownNumber)
{
    /// <summary>Characters (UTF-16) of a body at most.</summary>
    public const int MaximumBody = 1_600;

    internal const string BadNumber = "+15005550001";
    internal const string UnreachableNumber = "+15005550002";
    internal const string UnsubscribedNumber = "+15005550004";
    internal const string LandlineNumber = "+15005550009";

    /// <summary>Dropped: the connection is broken off and nothing accepted.</summary>
    internal const string DroppedNumber = "+15005550098";

    /// <summary>Unanswered: accepted, and the connection is broken off.</summary>
    internal const string UnansweredNumber = "+15005550099";

    private static readonly SearchValues<char> Digits = SearchValues.Create("0123456789");
    private static readonly SearchValues<char> HexDigits = SearchValues.Create("0123456789abcdefABCDEF");
    private static readonly SearchValues<char> SenderCharacters = SearchValues.Create(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 +-_&"
    );

    /// <summary>Returns why the message is refused, or null.</summary>
    public TwilioError? Check(TwilioForm form)
    {
        if (form.To is not { } to)
            return TwilioError.ToRequired;
        if (form is { From: null, MessagingServiceSid: null })
            return TwilioError.FromRequired;
        if (form is { Body: null, ContentSid: null, NumMedia: 0 })
            return TwilioError.BodyRequired;
        if (form.Body is { Length: > MaximumBody })
            return TwilioError.BodyTooLong;
        if (!IsE164(to))
            return TwilioError.BadTo(to);
        if (form.From is { } from && !IsOwnSender(from))
            return TwilioError.BadFrom(from);
        if (form.MessagingServiceSid is { } service && !IsSid(service, "MG"))
            return TwilioError.BadMessagingService;
        if (form.StatusCallback is { } callback && !IsHttpUrl(callback))
            return TwilioError.BadStatusCallback(callback);

        return to switch
        {
            BadNumber => TwilioError.BadTo(to),
            UnreachableNumber => TwilioError.Unreachable(to, form.From),
            UnsubscribedNumber => TwilioError.Unsubscribed,
            LandlineNumber => TwilioError.NotMobile,
            _ => null,
        };
    }

    /// <summary>A plus, then 7 to 15 digits of which the first is not 0.</summary>
    private static bool IsE164(string number) =>
        number.Length is >= 8 and <= 16 && number[0] == '+' && number[1] != '0' && !number.AsSpan(1).ContainsAnyExcept(Digits);

    /// <summary>The account's number, or an alphanumeric sender ID: up to 11 characters, not digits alone.</summary>
    private bool IsOwnSender(string from) =>
        from == ownNumber
        || (
            from.Length <= 11
            && from[0] != '+'
            && from.AsSpan().ContainsAnyExcept(Digits)
            && !from.AsSpan().ContainsAnyExcept(SenderCharacters)
        );

    private static bool IsSid(string sid, string prefix) =>
        sid.Length == 34 && sid.StartsWith(prefix, StringComparison.Ordinal) && !sid.AsSpan(2).ContainsAnyExcept(HexDigits);

    private static bool IsHttpUrl(string url) =>
        Uri.TryCreate(url, UriKind.Absolute, out var uri) && (uri.Scheme == Uri.UriSchemeHttp || uri.Scheme == Uri.UriSchemeHttps);
}
