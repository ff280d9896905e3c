namespace Notify.Dispatch.Providers.Email.Smtp;

using System.Text;
using MimeKit;

/// <summary>An email as a mail server gets it.</summary>
public static class SmtpMail
{
    /// <summary>Writes a mail. Its <c>Message-ID</c> follows from the delivery.</summary>
    /// <param name="to">The recipient, with a domain in ASCII.</param>
    public static MimeMessage Of(OutboundMessage message, string to, string subject, EmailSender from, DateTimeOffset now)
    {
        from = from.Of(message);
        var domain = from.Address[(from.Address.LastIndexOf('@') + 1)..];
        var mail = new MimeMessage { Date = now, MessageId = $"{message.DeliveryId:N}@{domain}" };
        mail.From.Add(new MailboxAddress(from.Name, from.Address));
        mail.To.Add(new MailboxAddress(null, to));
        if (message.ReplyTo is { } answers)
            mail.ReplyTo.Add(new MailboxAddress(null, answers));
        if (from.Name is { } name && EncodedWords.AreNeeded(name))
            mail.Headers[mail.Headers.IndexOf(HeaderId.From)] = Raw(
                HeaderId.From,
                $"{EncodedWords.Encode(name, "From: ".Length)}\r\n <{from.Address}>"
            );
        mail.Headers[mail.Headers.IndexOf(HeaderId.Subject)] = SubjectOf(subject); // a new message has an empty one
        foreach (var (field, value) in EmailHeaders.Of(message))
            mail.Headers.Add(field, value);
        var body = new BodyBuilder { TextBody = EmailText.Of(message.Content.Body), HtmlBody = EmailText.Of(message.Content.Html) };
        foreach (var file in EmailFiles.Of(message.Content))
            Add(body, file);
        mail.Body = body.ToMessageBody();
        return mail;
    }

    // MimeKit's own encoded words may be longer than RFC 2047 allows, and it leaves those that the author wrote as text.
    private static Header SubjectOf(string subject) =>
        EncodedWords.AreNeeded(subject)
            ? Raw(HeaderId.Subject, EncodedWords.Encode(subject, "Subject: ".Length))
            : new Header(HeaderId.Subject, subject);

    private static Header Raw(HeaderId id, string value)
    {
        var header = new Header(id, "");
        header.SetRawValue(Encoding.ASCII.GetBytes($" {value}\r\n"));
        return header;
    }

    private static void Add(BodyBuilder body, Notify.Domain.Content.EmailAttachment file)
    {
        var part = (file.ContentId is null ? body.Attachments : body.LinkedResources).Add(
            file.Filename,
            file.Content,
            ContentType.Parse(file.ContentType)
        );
        part.ContentLocation = null; // only the name would stand there
        if (part is MimePart bytes)
            bytes.ContentTransferEncoding = ContentEncoding.Base64; // as text its line endings would be rewritten
        if (file.ContentId is not null)
            (part.ContentId, part.ContentDisposition) = (
                file.ContentId,
                new ContentDisposition(ContentDisposition.Inline) { FileName = file.Filename }
            );
    }
}
