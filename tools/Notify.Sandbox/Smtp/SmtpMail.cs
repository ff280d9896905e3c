namespace Notify.Sandbox.Smtp;

using MimeKit;

/// <summary>A mail with its envelope.</summary>
/// <param name="From">The reverse path; empty for <c>&lt;&gt;</c>.</param>
/// <param name="Data">As it came, dots unstuffed.</param>
/// <param name="Is8Bit">Whether it was announced as <c>BODY=8BITMIME</c>.</param>
public sealed record SmtpMail(string From, IReadOnlyList<string> To, byte[] Data, bool Is8Bit, string Greeting)
{
    /// <summary>Reads the message; null for what is none.</summary>
    public static MimeMessage? Parse(ReadOnlySpan<byte> data)
    {
        try
        {
            using var stream = new MemoryStream(data.ToArray());
            return MimeMessage.Load(stream);
        }
        catch (FormatException)
        {
            return null;
        }
    }

    /// <summary>Why the message is refused; null when it is not (RFC 5322 3.6, RFC 6152).</summary>
    public static string? Check(MimeMessage? message, SmtpMail mail)
    {
        if (message is null)
            return "554 5.6.0 The message cannot be read";
        if (!mail.Is8Bit && mail.Data.AsSpan().ContainsAnyExceptInRange((byte)0, (byte)127))
            return "554 5.6.3 The message has 8-bit characters, and was not announced with BODY=8BITMIME";
        foreach (
            var (id, isNeeded) in new[]
            {
                (HeaderId.From, true),
                (HeaderId.Date, true),
                (HeaderId.MessageId, false),
                (HeaderId.Subject, false),
                (HeaderId.To, false),
            }
        )
        {
            var count = message.Headers.Count(header => header.Id == id);
            if (count > 1 || (isNeeded && count == 0))
                return $"554 5.6.0 The message has {count} headers {id.ToHeaderName()}";
        }

        return message.From.Mailboxes.Any() ? null : "554 5.6.0 The header From has no address";
    }
}
