namespace Notify.Domain.Content;

using System.Net;
using System.Text;
using Notify.Domain.Channels;

/// <summary>A message whose links lead through Notify.</summary>
/// <param name="Destinations">Where each link leads in the end, by its number from 0.</param>
/// <param name="Addresses">The exact text in the content that replaces each link, and that of the image.</param>
public sealed record TrackedContent(NotificationContent Content, IReadOnlyList<string> Destinations, IReadOnlyList<string> Addresses);

/// <summary>
/// Replaces the web links of a message by tracked ones. Pure: the same message gives the same links, so that an attempt that
/// is repeated sends the same text. An address that occurs twice is one link.
/// </summary>
public static class LinkRewriter
{
    /// <summary>The most links of a message; those after it stay as they are.</summary>
    public const int Most = 200;

    /// <summary>The length of a tracked link's token.</summary>
    public const int TokenLength = 16;

    private const int MaxAddress = 4000;

    private static readonly string[] Unread = ["script", "style", "textarea", "title"];

    /// <summary>Rewrites a message.</summary>
    /// <param name="linkOf">A link's address by its number.</param>
    /// <param name="pixel">The address of the image that reports an opening.</param>
    /// <param name="own">The prefix of Notify's own addresses, which are not rewritten.</param>
    /// <param name="sms">How long an SMS may be; one that would become longer stays as it is.</param>
    public static TrackedContent Rewrite(
        NotificationContent content,
        Channel channel,
        Func<int, string> linkOf,
        string pixel,
        string own,
        SmsLimits sms
    )
    {
        if (content.Track is not { } track || channel == Channel.Push)
            return new TrackedContent(content, [], []);
        var destinations = new List<string>();
        if (track.Links)
        {
            var before = content;
            content = content with
            {
                Html = channel == Channel.Email && content.Html is { } html ? InHtml(html, LinkTo) : content.Html,
                Body = content.Body is { } body ? InText(body, LinkTo) : null,
            };
            if (channel == Channel.Sms && before.Body is { } text && sms.IsTooLongTracked(text, content.Body!))
                return new TrackedContent(before, [], []);
        }

        var addresses = destinations.Select((_, i) => linkOf(i)).ToList();
        if (track.Opens && channel == Channel.Email && content.Html is { } page)
        {
            var image = WebUtility.HtmlEncode(pixel);
            content = content with { Html = WithPixel(page, image) };
            addresses.Add(image);
        }

        return new TrackedContent(content, destinations, addresses);

        string? LinkTo(string address)
        {
            if (address.StartsWith(own, StringComparison.OrdinalIgnoreCase) || !IsWeb(address))
                return null;
            var number = destinations.IndexOf(address);
            if (number < 0 && destinations.Count < Most)
            {
                number = destinations.Count;
                destinations.Add(address);
            }

            return number < 0 ? null : linkOf(number);
        }
    }

    /// <summary>Whether there is a web link in a text.</summary>
    public static bool HasLink(string text) => TextLinks.Find(text).Any();

    /// <summary>Whether an address is one of the web's, to which a browser may be sent.</summary>
    public static bool IsWeb(string address) => ForHeader(address) is not null;

    /// <summary>
    /// An address as the header <c>Location</c> has it: as it was written where that is ASCII, else in the form that browsers make of it
    /// (IDNA, percent-encoding). <c>null</c> for what is no address of the web.
    /// </summary>
    public static string? ForHeader(string address)
    {
        if (
            address.Length > MaxAddress
            || address.Any(char.IsControl)
            || !Uri.TryCreate(address, UriKind.Absolute, out var uri)
            || (uri.Scheme != Uri.UriSchemeHttps && uri.Scheme != Uri.UriSchemeHttp)
            || uri.Host.Length == 0
        )
            return null;
        if (IsAscii(address))
            return address;
        try
        {
            var host =
                uri.HostNameType != UriHostNameType.Dns || IsAscii(uri.Host)
                    ? uri.IdnHost
                    : DomainNames.ToAscii(WrittenHost(address) ?? uri.Host);
            return
                host is not null
                && new UriBuilder(uri) { Host = host }
                    .Uri
                    .AbsoluteUri
                    is var written
                && IsAscii(written)
                ? written
                : null;
        }
        catch (UriFormatException)
        {
            return null; // a host that has no name in ASCII
        }

        static bool IsAscii(string text) => text.All(c => c is > ' ' and <= '~');
    }

    // .NET's Uri has small letters already, which are not always those of IDNA.
    private static string? WrittenHost(string address)
    {
        var from = address.IndexOf("://", StringComparison.Ordinal) + 3;
        var authority = address[from..(address.AsSpan(from).IndexOfAny('/', '?', '#') is >= 0 and var end ? from + end : address.Length)];
        var host = authority[(authority.LastIndexOf('@') + 1)..].Split(':')[0];
        return host.Contains('\u1E9E', StringComparison.Ordinal) ? host : null;
    }

    // One pass. Comments, scripts and styles are passed over as a whole; of other tags only the address of a link is touched.
    private static string InHtml(string html, Func<string, string?> linkTo)
    {
        var result = new StringBuilder(html.Length + 256);
        var (copied, at) = (0, 0);
        while ((at = html.IndexOf('<', at)) >= 0)
        {
            if (Is("<!--"))
                at = EndOf("-->");
            else if (Unread.FirstOrDefault(t => Is("<" + t) && IsEndOfName(at + 1 + t.Length)) is { } unread)
                at = EndOf("</" + unread);
            else if ((Is("<a") && IsEndOfName(at + 2)) || (Is("<area") && IsEndOfName(at + 5)))
                at = Link(at + 2);
            else
                at++;
        }

        return result.Append(html, copied, html.Length - copied).ToString();

        bool Is(string text) => string.Compare(html, at, text, 0, text.Length, StringComparison.OrdinalIgnoreCase) == 0;

        bool IsEndOfName(int i) => i < html.Length && (char.IsWhiteSpace(html[i]) || html[i] is '/' or '>');

        int EndOf(string text) =>
            html.IndexOf(text, at + 1, StringComparison.OrdinalIgnoreCase) is >= 0 and var end ? end + 1 : html.Length;

        // Reads the attributes of a tag from behind "<a".
        int Link(int i)
        {
            while (i < html.Length && html[i] != '>')
            {
                if (char.IsWhiteSpace(html[i]) || html[i] == '/')
                {
                    i++;
                    continue;
                }

                var name = i++;
                while (i < html.Length && !char.IsWhiteSpace(html[i]) && html[i] is not ('=' or '>' or '/'))
                    i++;
                var isHref = html.AsSpan(name, i - name).Equals("href", StringComparison.OrdinalIgnoreCase);
                while (i < html.Length && char.IsWhiteSpace(html[i]))
                    i++;
                if (i >= html.Length || html[i] != '=')
                    continue;
                for (i++; i < html.Length && char.IsWhiteSpace(html[i]); i++) { }

                if (i >= html.Length)
                    break;
                var quote = html[i] is '"' or '\'' ? html[i] : (char?)null;
                var value = quote is null ? i : i + 1;
                var end = quote is { } q ? html.IndexOf(q, value) : value;
                if (quote is null)
                    while (end < html.Length && !char.IsWhiteSpace(html[end]) && html[end] != '>')
                        end++;
                if (end < 0)
                    return html.Length; // an unclosed quote: the rest may be part of it
                if (isHref && linkTo(WebUtility.HtmlDecode(html[value..end]).Trim()) is { } link)
                {
                    result.Append(html, copied, i - copied).Append('"').Append(link).Append('"');
                    copied = quote is null ? end : end + 1;
                }

                i = quote is null ? end : end + 1;
            }

            return Math.Min(i, html.Length);
        }
    }

    private static string InText(string text, Func<string, string?> linkTo)
    {
        var result = new StringBuilder(text.Length);
        var copied = 0;
        foreach (var range in TextLinks.Find(text))
        {
            if (linkTo(text[range]) is not { } link)
                continue;
            result.Append(text, copied, range.Start.Value - copied).Append(link);
            copied = range.End.Value;
        }

        return result.Append(text, copied, text.Length - copied).ToString();
    }

    private static string WithPixel(string html, string pixel)
    {
        var image = $"<img src=\"{pixel}\" width=\"1\" height=\"1\" alt=\"\" style=\"border:0;height:1px;width:1px\">";
        var end = html.LastIndexOf("</body", StringComparison.OrdinalIgnoreCase);
        return new StringBuilder(html).Insert(end < 0 ? html.Length : end, image).ToString();
    }
}
