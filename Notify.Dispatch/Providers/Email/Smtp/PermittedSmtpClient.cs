namespace Notify.Dispatch.Providers.Email.Smtp;

using MailKit.Net.Smtp;
using MimeKit;

/// <summary>An SMTP client that sends DATA only with the call's <see cref="SendPermit"/>, and reads no endless replies.</summary>
/// <param name="timeout">How long one mail may take.</param>
internal sealed class PermittedSmtpClient(TimeSpan timeout) : SmtpClient(new ReplyBound())
{
    /// <inheritdoc />
    /// <remarks>
    /// The last moment before DATA. MailKit offers it only synchronously; the check waits for the database only where the server
    /// took longer than <see cref="SendPermit.Fresh"/> to accept the recipient, and for no more mails than there are connections.
    /// </remarks>
    protected override void OnRecipientAccepted(MimeMessage message, MailboxAddress mailbox, SmtpResponse response)
    {
        if (SendPermit.Current is { } permit)
            permit.CheckAsync(timeout, CancellationToken.None).AsTask().GetAwaiter().GetResult();
        base.OnRecipientAccepted(message, mailbox, response);
    }
}
