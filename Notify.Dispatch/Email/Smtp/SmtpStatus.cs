using System.Text.RegularExpressions;
using Notify.Dispatch.Dispatching;
using Notify.Domain.Notifications;

namespace Notify.Dispatch.Email.Smtp;

/// <summary>At which command a server refused.</summary>
public enum SmtpStage
{
    /// <summary>Greeting, EHLO, STARTTLS or AUTH.</summary>
    Session,

    /// <summary>MAIL FROM.</summary>
    Sender,

    /// <summary>RCPT TO.</summary>
    Recipient,

    /// <summary>DATA and what follows.</summary>
    Message,
}

/// <summary>Maps a mail server's rejections to outcomes.</summary>
/// <remarks>
/// RFC 5321 4.2 (4yz: transient; 5yz: permanent); RFC 3463 (enhanced status codes). With its reply the server itself states that it
/// did not accept the mail: SMTP has no gateway that answers in its place. A missing reply is an unknown outcome.
/// </remarks>
public static partial class SmtpStatus
{
    /// <summary>Returns the outcome of a rejection.</summary>
    /// <param name="status">The three digits.</param>
    /// <param name="text">
    /// The answer's text, which may begin with an enhanced code; the rest is not kept, as it may contain the address.
    /// </param>
    public static AttemptOutcome Outcome(SmtpStage stage, int status, string? text)
    {
        var enhanced = EnhancedOf(status, text);
        var code = enhanced is null ? $"{status}" : $"{status} {enhanced}";
        return (stage, status, enhanced) switch
        {
            (_, >= 400 and < 500, _) => new AttemptOutcome.Retry(Reasons.Retry, code),
            // RFC 4954, 6: authentication required, too weak, refused, or wanted encrypted. It is ours at whichever command it comes.
            (_, 530 or 534 or 535 or 538, _) => new AttemptOutcome.Halted(code),
            (_, _, "5.2.2") => new AttemptOutcome.Rejected(Reasons.Rejected, code), // the mailbox is full, and will not be for ever
            (_, 552, _) or (_, _, "5.3.4" or "5.2.3") => new AttemptOutcome.Rejected(Reasons.TooLarge, code),
            // The server rejects us: our credentials, or our sender.
            (SmtpStage.Session or SmtpStage.Sender, _, _) => new AttemptOutcome.Halted(code),
            (_, _, "5.7.0" or "5.7.8" or "5.7.9" or "5.7.14") => new AttemptOutcome.Halted(code), // authentication wanted
            // The mailbox or its domain does not exist: kin of 5.1.1.
            (_, _, "5.1.1" or "5.1.2" or "5.1.3" or "5.1.6" or "5.1.10" or "5.2.1") => new AttemptOutcome.Rejected(Reasons.HardBounced, code, AddressVerdict.Suppress),
            (SmtpStage.Recipient, 550 or 551 or 553, null) => new AttemptOutcome.Rejected(Reasons.BadAddress, code),
            _ => new AttemptOutcome.Rejected(Reasons.Rejected, code),
        };
    }

    /// <summary>The outcome of a refused authentication: for now, or until an operator has changed the settings.</summary>
    /// <param name="status">The three digits; <c>null</c>: the server offers no AUTH that both sides know.</param>
    public static AttemptOutcome OfAuthentication(int? status) => status switch
    {
        // RFC 4954, 6: «454 Temporary authentication failure»; 421 as everywhere.
        >= 400 and < 500 => new AttemptOutcome.Retry(Reasons.Retry, $"{status}"),
        null => new AttemptOutcome.Halted("auth"),
        _ => new AttemptOutcome.Halted($"{status}"),
    };

    // RFC 2034, 3 and 4: it begins the text, and its class is the reply's first digit. What looks like one in the midst of a text is a
    // network address or a version.
    private static string? EnhancedOf(int status, string? text) =>
        Enhanced().Match(text ?? "") is { Success: true } m && m.Groups[1].Value[0] - '0' == status / 100 ? m.Groups[1].Value : null;

    [GeneratedRegex(@"^\s*([245]\.\d{1,3}\.\d{1,3})(?![\d.])")]
    private static partial Regex Enhanced();
}
