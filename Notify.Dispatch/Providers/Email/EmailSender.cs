namespace Notify.Dispatch.Providers.Email;

using System.Diagnostics.CodeAnalysis;
using System.Net.Mail;

/// <summary>The sender of an email: an address, and the name that mail programs show.</summary>
public sealed record EmailSender(string Address, string? Name)
{
    /// <summary>The sender of a message: the address stays, by which mail is signed.</summary>
    public EmailSender Of(Notify.Dispatch.Providers.OutboundMessage message) =>
        message.FromName is { } name ? this with { Name = name } : this;

    /// <summary>The name for a provider's API, encoded where it looks like an encoded word; see <see cref="EmailSubject.InApi"/>.</summary>
    public string? NameInApi => Name?.Contains("=?", StringComparison.Ordinal) == true ? EncodedWords.InOneLine(Name) : Name;

    /// <summary>Reads <c>address</c> or <c>Name &lt;address&gt;</c>; the domain becomes ASCII.</summary>
    public static bool TryParse(string? text, [NotNullWhen(true)] out EmailSender? sender)
    {
        sender = null;
        if (string.IsNullOrWhiteSpace(text) || text.Any(char.IsControl) || !MailAddress.TryCreate(text, out var parsed))
            return false;
        if (!parsed.User.All(char.IsAscii) || EmailAddresses.ToAscii(parsed.Address) is not { } address)
            return false;
        sender = new EmailSender(address, parsed.DisplayName.Length == 0 ? null : parsed.DisplayName);
        return true;
    }
}
