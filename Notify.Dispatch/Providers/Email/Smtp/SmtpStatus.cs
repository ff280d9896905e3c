namespace Notify.Dispatch.Providers.Email.Smtp;

using System.Text.RegularExpressions;
using Notify.Domain.Notifications;

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
    /// <param name="text">The answer's text, which may begin with an enhanced code; the rest of it is not kept, as it may hold the
    /// address.</param>
    /// <param name="acceptedLately">Whether the server took another mail lately: a refused recipient then is that recipient's
    /// matter.</param>
    public static AttemptOutcome Outcome(SmtpStage stage, int status, string? text, bool acceptedLately = false)
    {
        var enhanced = EnhancedOf(status, text);
        var code = enhanced is null ? $"{status}" : $"{status} {enhanced}";
        return (stage, status, enhanced) switch
        {
            // A full or busy mailbox, greylisting: other recipients' mails go on.
            (SmtpStage.Recipient, 450 or 452, null) => new AttemptOutcome.Retry(Reasons.Retry, code, ConcernsAddress: true),
            (SmtpStage.Recipient, < 500, not null)
                when enhanced.StartsWith("4.1.", StringComparison.Ordinal) || enhanced.StartsWith("4.2.", StringComparison.Ordinal) =>
                new AttemptOutcome.Retry(Reasons.Retry, code, ConcernsAddress: true),
            (_, >= 400 and < 500, _) => new AttemptOutcome.Retry(Reasons.Retry, code),
            // A reply that belongs to another command: the connection is out of step, and the mail is not at fault.
            (_, < 400 or >= 600, _) => new AttemptOutcome.Retry(Reasons.Retry, code),
            // RFC 4954, 6: authentication required, too weak, refused, or wanted encrypted. It is ours at whichever command it comes.
            (_, 530 or 534 or 535 or 538, _) => new AttemptOutcome.Halted(code),
            (_, _, "5.2.2") => new AttemptOutcome.Rejected(Reasons.Rejected, code), // the mailbox is full, and will not be for ever
            (SmtpStage.Recipient, 552, null) => new AttemptOutcome.Rejected(Reasons.Rejected, code), // so it is said without that code
            (_, 552, _) or (_, _, "5.3.4" or "5.2.3") => new AttemptOutcome.Rejected(Reasons.TooLarge, code),
            // The server rejects us: our credentials, or our sender.
            (SmtpStage.Session or SmtpStage.Sender, _, _) => new AttemptOutcome.Halted(code),
            // Servers delay such refusals to RCPT or the end of the mail: the sender (RFC 3463, 3.2), authentication and encryption
            // (RFC 4954, RFC 5248), the sender's DKIM, SPF, reverse DNS and null MX (RFC 7372, RFC 7505).
            (_, _, "5.1.7" or "5.1.8") => new AttemptOutcome.Halted(code),
            (_, _, "5.7.0" or "5.7.8" or "5.7.9" or "5.7.10" or "5.7.11" or "5.7.13" or "5.7.14") => new AttemptOutcome.Halted(code),
            (_, _, "5.7.20" or "5.7.21" or "5.7.22" or "5.7.23" or "5.7.24" or "5.7.25" or "5.7.26" or "5.7.27") =>
                new AttemptOutcome.Halted(code),
            // Relaying refused, a sender or a host that may not use the server; or a recipient who is not for us. The waiting ends.
            (SmtpStage.Recipient, _, "5.7.1") when !acceptedLately => new AttemptOutcome.Halted(code, IsAttempt: true),
            // RFC 5321, 4.2.2: commands that the server does not know or expect; RFC 3463, 3.4: its own configuration.
            (_, 500 or 502 or 503 or 504, _) or (_, _, "5.3.2" or "5.3.5") => new AttemptOutcome.Halted(code, IsAttempt: true),
            // The mailbox or its domain does not exist: kin of 5.1.1.
            (_, _, "5.1.1" or "5.1.2" or "5.1.3" or "5.1.6" or "5.1.10" or "5.2.1") => new AttemptOutcome.Rejected(
                Reasons.HardBounced,
                code,
                AddressVerdict.Suppress
            ),
            (SmtpStage.Recipient, 550 or 551 or 553 or 556, null) => new AttemptOutcome.Rejected(Reasons.BadAddress, code),
            _ => new AttemptOutcome.Rejected(Reasons.Rejected, code),
        };
    }

    /// <summary>The outcome of a refused authentication: for now, or until an operator has changed the settings.</summary>
    /// <param name="status">The three digits; <c>null</c>: the server offers no AUTH that both sides know.</param>
    public static AttemptOutcome OfAuthentication(int? status) =>
        status switch
        {
            // RFC 4954, 6: «454 Temporary authentication failure»; 421 as everywhere.
            >= 400 and < 500 => new AttemptOutcome.Retry(Reasons.Retry, $"{status}"),
            null => new AttemptOutcome.Halted("auth"),
            _ => new AttemptOutcome.Halted($"{status}"),
        };

    // RFC 2034, 3 and 4: it begins the text, and its class is the reply's first digit. A code in the midst of a text is a
    // network address or a version.
    private static string? EnhancedOf(int status, string? text) =>
        Enhanced().Match(text ?? "") is { Success: true } m && m.Groups[1].Value[0] - '0' == status / 100 ? m.Groups[1].Value : null;

    [GeneratedRegex(@"^\s*([245]\.\d{1,3}\.\d{1,3})(?![\d.])")]
    private static partial Regex Enhanced();
}
