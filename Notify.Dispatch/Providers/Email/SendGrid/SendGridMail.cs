namespace Notify.Dispatch.Providers.Email.SendGrid;

using global::SendGrid.Helpers.Mail;
using Notify.Domain.Content;

/// <summary>A delivery, with its recipient's data for SendGrid.</summary>
/// <param name="Address">As SendGrid takes it.</param>
/// <param name="Subject">One line, not empty.</param>
public sealed record AddressedMail(OutboundMessage Message, string Address, string Subject)
{
    /// <summary>The content that it may share with others.</summary>
    public NotificationContent Shared { get; } = SendGridLinks.Marked(Message);
}

/// <summary>Deliveries as SendGrid's mail, in the SDK's own model and serialisation.</summary>
/// <remarks>
/// A personalization contains the data of one person (address, subject, delivery ID), the rest is common to all. A mail to many
/// has more personalizations and is otherwise the same. Serialising costs some 11 µs of CPU a mail.
/// </remarks>
public static class SendGridMail
{
    /// <summary>The largest request, in bytes.</summary>
    public const int MaxBytes = 30 * 1024 * 1024;

    /// <summary>The custom argument with the delivery's ID; event webhooks return it.</summary>
    public const string DeliveryArgument = "notify_delivery";

    /// <summary>The most personalizations, and so recipients, in one request.</summary>
    public const int MaxRecipients = 1000;

    /// <summary>The mail of one delivery. Text is sent as it was written and none is derived from HTML.</summary>
    /// <param name="address">The recipient as SendGrid takes it.</param>
    public static SendGridMessage Of(OutboundMessage message, string address, string subject, EmailSender from) =>
        OfMany([new(message, address, subject)], from);

    /// <summary>
    /// One mail to many, each alone in a personalization: nobody sees the others, and each has a subject, a delivery ID and an
    /// unsubscribe link of their own, and tracked links where they have some. SendGrid takes or refuses the request as a whole.
    /// </summary>
    /// <param name="mails">1 to <see cref="MaxRecipients"/> deliveries whose contents <see cref="HaveOneContent"/>.</param>
    /// <param name="tracking">Whether SendGrid's own tracking is as the account has it; else it is off.</param>
    /// <exception cref="ArgumentException">There are none, too many, or their contents differ.</exception>
    public static SendGridMessage OfMany(IReadOnlyList<AddressedMail> mails, EmailSender from, bool tracking = false)
    {
        if (mails.Count is 0 or > MaxRecipients)
            throw new ArgumentException($"{mails.Count} mails; there must be 1 to {MaxRecipients}.", nameof(mails));
        var isShared = mails.Count > 1;
        var first = isShared ? mails[0].Shared : mails[0].Message.Content;
        var (sender, replyTo) = (from.Of(mails[0].Message), mails[0].Message.ReplyTo);
        if (mails.Skip(1).Any(m => !HaveOneContent(first, m.Shared) || from.Of(m.Message) != sender || m.Message.ReplyTo != replyTo))
            throw new ArgumentException("The mails' contents differ.", nameof(mails));
        var mail = new SendGridMessage
        {
            From = new EmailAddress(sender.Address, sender.NameInApi),
            Personalizations = [.. mails.Select(m => PersonalizationOf(m, isShared))],
            Contents = [],
        };
        // In this order, and none that is empty: SendGrid refuses both.
        if (EmailText.Of(first.Body) is { } text)
            mail.Contents.Add(new Content("text/plain", text));
        if (EmailText.Of(first.Html) is { } html)
            mail.Contents.Add(new Content("text/html", html));
        if (EmailFiles.Of(first) is { Count: > 0 } files)
            mail.Attachments = [.. files.Select(AttachmentOf)];
        if (replyTo is not null)
            mail.ReplyTo = new EmailAddress(replyTo);
        if (!tracking)
            mail.TrackingSettings = Untracked;
        return mail;
    }

    // Openings and clicks are noticed by Notify where a notification asks for it; SendGrid would add a footer and parameters to all.
    private static readonly TrackingSettings Untracked = new()
    {
        ClickTracking = new ClickTracking { Enable = false, EnableText = false },
        OpenTracking = new OpenTracking { Enable = false },
        SubscriptionTracking = new SubscriptionTracking { Enable = false },
        Ganalytics = new Ganalytics { Enable = false },
    };

    /// <summary>Whether two contents make the same mail, subjects aside: they may then go in one request.</summary>
    public static bool HaveOneContent(NotificationContent one, NotificationContent other) =>
        (one.Body ?? "") == (other.Body ?? "")
        && (one.Html ?? "") == (other.Html ?? "")
        && (one.Attachments ?? []).Count == (other.Attachments ?? []).Count
        && (one.Attachments ?? [])
            .Zip(other.Attachments ?? [])
            .All(p =>
                (p.First.Filename, p.First.ContentType, p.First.ContentId) == (p.Second.Filename, p.Second.ContentType, p.Second.ContentId)
                && p.First.Content.AsSpan().SequenceEqual(p.Second.Content)
            );

    /// <summary>Returns the part that must be equal for mails in one request; <c>null</c> for a mail with files, sent alone.</summary>
    public static object? SharedBy(OutboundMessage message)
    {
        if (message.Content.Attachments is { Count: > 0 })
            return null;
        var content = SendGridLinks.Marked(message);
        return (content.Body ?? "", content.Html ?? "", message.FromName, message.ReplyTo);
    }

    private static Personalization PersonalizationOf(AddressedMail mail, bool isShared) =>
        new()
        {
            Tos = [new EmailAddress(mail.Address)],
            Subject = mail.Subject,
            Headers = EmailHeaders.Of(mail.Message).ToDictionary(h => h.Name, h => h.Value),
            Substitutions = isShared && !ReferenceEquals(mail.Shared, mail.Message.Content) ? SendGridLinks.Of(mail.Message) : null,
            CustomArgs = new() { [DeliveryArgument] = mail.Message.DeliveryId.ToString() },
        };

    private static Attachment AttachmentOf(EmailAttachment file) =>
        new()
        {
            Content = Convert.ToBase64String(file.Content),
            Type = file.ContentType,
            Filename = file.Filename,
            Disposition = file.ContentId is null ? "attachment" : "inline",
            ContentId = file.ContentId,
        };
}
