using Notify.Dispatch.Dispatching;
using SendGrid.Helpers.Mail;

namespace Notify.Dispatch.Email.SendGrid;

/// <summary>A delivery as SendGrid's mail, in the SDK's own model and serialisation.</summary>
/// <remarks>
/// What is one person's stands in their personalization (address, subject, delivery ID), what is everyone's beside it, so
/// that a mail to many has more personalizations and is otherwise the same. Serialising costs some 11 µs of CPU a mail.
/// </remarks>
public static class SendGridMail
{
    /// <summary>The largest request, in bytes.</summary>
    public const int MaxBytes = 30 * 1024 * 1024;

    /// <summary>The custom argument that holds the delivery's ID; event webhooks bring it back.</summary>
    public const string DeliveryArgument = "notify_delivery";

    /// <summary>The mail of one delivery. Text is sent as it was written and none is derived from HTML.</summary>
    /// <param name="address">The recipient as SendGrid takes it.</param>
    public static SendGridMessage Of(OutboundMessage message, string address, string subject, EmailSender from)
    {
        var mail = new SendGridMessage { From = new EmailAddress(from.Address, from.Name), Personalizations = [PersonalizationOf(message, address, subject)], Contents = [] };
        // In this order, and none that is empty: SendGrid refuses both.
        if (message.Content.Body is { Length: > 0 } text) mail.Contents.Add(new Content("text/plain", text));
        if (message.Content.Html is { Length: > 0 } html) mail.Contents.Add(new Content("text/html", html));
        return mail;
    }

    private static Personalization PersonalizationOf(OutboundMessage message, string address, string subject) => new()
    {
        Tos = [new EmailAddress(address)],
        Subject = subject,
        CustomArgs = new() { [DeliveryArgument] = message.DeliveryId.ToString() },
    };
}
