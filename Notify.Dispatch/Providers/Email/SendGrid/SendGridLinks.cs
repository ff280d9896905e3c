namespace Notify.Dispatch.Providers.Email.SendGrid;

using System.Globalization;
using System.Text;
using Notify.Domain.Content;
using Notify.Domain.Notifications;

/// <summary>
/// Lets mails with the same text share a request although each has tracked links of its own: marks replace the links, and
/// SendGrid replaces the marks for each personalization (<c>substitutions</c>).
/// </summary>
public static class SendGridLinks
{
    private const string Mark = "-notify-link-";
    private const int MaxBytes = 10_000; // of a personalization's substitutions, says SendGrid

    /// <summary>A mail's content with marks in the place of its own links; as it is where it has none, too many, or where a mark could be
    /// mistaken.</summary>
    public static NotificationContent Marked(OutboundMessage message)
    {
        var content = message.Content;
        if (
            Of(message) is not { } links
            || new[] { content.Title, content.Body, content.Html }.Any(t => t?.Contains(Mark, StringComparison.Ordinal) == true)
        )
            return content;
        return content with { Body = InsideOf(content.Body), Html = InsideOf(content.Html) };

        string? InsideOf(string? text) =>
            text is null ? null : links.Aggregate(new StringBuilder(text), (t, link) => t.Replace(link.Value, link.Key)).ToString();
    }

    /// <summary>Returns the mark of each link of a mail; <c>null</c> where it has none, or more than SendGrid accepts.</summary>
    public static Dictionary<string, string>? Of(OutboundMessage message)
    {
        if (message.Links is not { Count: > 0 } own)
            return null;
        var links = own.Select((link, i) => (Mark: string.Create(CultureInfo.InvariantCulture, $"{Mark}{i}-"), link))
            .ToDictionary(l => l.Mark, l => l.link);
        return links.Sum(l => l.Key.Length + l.Value.Length) <= MaxBytes ? links : null;
    }
}
