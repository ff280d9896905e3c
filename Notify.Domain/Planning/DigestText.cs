namespace Notify.Domain.Planning;

using System.Globalization;
using System.Net;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Notify.Domain.Channels;
using Notify.Domain.Content;

/// <summary>The content of one notification in a digest, on one channel.</summary>
/// <param name="Params">Its template's parameters; in a digest's template, up to <see cref="DigestText.MaxParams"/>.</param>
/// <param name="SentAt">When it was due to be sent.</param>
public sealed record DigestItem(string EventId, string? Title, string? Body, string? Url, JsonElement? Params, DateTimeOffset SentAt);

/// <summary>Writes the text of a digest. Pure: the same items give the same text.</summary>
public static class DigestText
{
    /// <summary>Bytes of a notification's parameters, as JSON, up to which a digest's template gets them: two hundred larger ones, on three
    /// channels, would be an event of tens of megabytes.</summary>
    public const int MaxParams = 4 * 1024;

    private const int MaxTitle = 200,
        MaxBody = 1000,
        MaxRead = 10_000,
        MaxSmsLine = 160,
        MaxPushLine = 120,
        MaxPushBytes = 1500;

    /// <summary>The parameters that a digest's template gets.</summary>
    public static readonly IReadOnlyList<string> ParameterNames = ["count", "items"];

    /// <summary>The values of <see cref="ParameterNames"/>.</summary>
    /// <param name="count">The number of its notifications; may exceed the number of items.</param>
    public static JsonElement Params(int count, IReadOnlyList<DigestItem> items) =>
        JsonSerializer.SerializeToElement(
            new
            {
                count,
                items = items.Select(i => new
                {
                    eventId = i.EventId,
                    title = i.Title is null ? null : Cut(i.Title, MaxTitle),
                    body = i.Body is null ? null : Cut(i.Body, MaxBody),
                    url = i.Url,
                    @params = i.Params is { } p && JsonMarshal.GetRawUtf8Value(p).Length <= MaxParams ? i.Params : null,
                    at = i.SentAt.UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture),
                }),
            }
        );

    /// <summary>Shortens an item to a bound that exceeds the text of every channel: a template's result may be long.</summary>
    public static DigestItem Shortened(DigestItem item) =>
        item with
        {
            Title = item.Title is null ? null : Cut(item.Title, MaxRead),
            Body = item.Body is null ? null : Cut(item.Body, MaxRead),
        };

    /// <summary>
    /// Writes the plain text for a channel: the number of notifications, and as many of them as fit; the rest is counted.
    /// </summary>
    /// <param name="count">The number of its notifications; may exceed the number of items.</param>
    public static NotificationContent Of(Channel channel, string category, int count, IReadOnlyList<DigestItem> items, SmsLimits sms) =>
        channel switch
        {
            Channel.Sms => new NotificationContent(Body: Sms(category, count, items, sms)),
            Channel.Push => new NotificationContent(
                Title(category, count),
                Push(count, items),
                Url: items.Select(i => i.Url).Distinct().ToList() is [var url] ? url : null
            ),
            _ => new NotificationContent(Title(category, count), EmailText(category, count, items), EmailHtml(category, count, items)),
        };

    private static string Title(string category, int count) => string.Create(CultureInfo.InvariantCulture, $"{count} × {category}");

    // Without characters that would make the whole message UCS-2, unless the notifications bring such along.
    private static string Sms(string category, int count, IReadOnlyList<DigestItem> items, SmsLimits sms)
    {
        var lines = items
            .Select(i => (Line: Line(i, MaxSmsLine), i.Url))
            .Where(l => l.Line.Length > 0 || l.Url is not null)
            .Select(l => $"- {l.Line}{(l.Url is null ? "" : $" {l.Url}")}")
            .ToList();
        var head = string.Create(CultureInfo.InvariantCulture, $"{count} x {category}");
        return Fitting(head, lines, count, text => sms.Excess(text) is null);
    }

    private static string Push(int count, IReadOnlyList<DigestItem> items) =>
        Fitting(
            null,
            [.. items.Select(i => Line(i, MaxPushLine)).Where(l => l.Length > 0).Select(l => $"• {l}")],
            count,
            text => Encoding.UTF8.GetByteCount(text) <= MaxPushBytes
        );

    private static string EmailText(string category, int count, IReadOnlyList<DigestItem> items)
    {
        var text = new StringBuilder(Title(category, count)).Append('\n');
        foreach (var i in items)
        {
            text.Append('\n');
            foreach (
                var part in new[] { Cut(OneLine(i.Title), MaxTitle), Cut(i.Body?.Trim() ?? "", MaxBody), i.Url ?? "" }.Where(p =>
                    p.Length > 0
                )
            )
                text.Append(part).Append('\n');
        }

        return count > items.Count
            ? text.Append(CultureInfo.InvariantCulture, $"\n{More(count - items.Count)}\n").ToString()
            : text.ToString();
    }

    private static string EmailHtml(string category, int count, IReadOnlyList<DigestItem> items)
    {
        var html = new StringBuilder().Append(CultureInfo.InvariantCulture, $"<h2>{Html(Title(category, count))}</h2>\n<ul>\n");
        foreach (var i in items)
        {
            string[] parts =
            [
                Cut(OneLine(i.Title), MaxTitle) is { Length: > 0 } title ? $"<strong>{Html(title)}</strong>" : "",
                Html(Cut(i.Body?.Trim() ?? "", MaxBody)).Replace("\n", "<br>", StringComparison.Ordinal),
                i.Url is null ? "" : $"<a href=\"{Html(i.Url)}\">{Html(i.Url)}</a>",
            ];
            html.Append(CultureInfo.InvariantCulture, $"<li>{string.Join("<br>", parts.Where(p => p.Length > 0))}</li>\n");
        }

        html.Append("</ul>\n");
        return count > items.Count
            ? html.Append(CultureInfo.InvariantCulture, $"<p>{More(count - items.Count)}</p>\n").ToString()
            : html.ToString();
    }

    // As many lines as fit, with a last one that counts those that do not.
    private static string Fitting(string? head, IReadOnlyList<string> lines, int count, Func<string, bool> fits)
    {
        for (var shown = lines.Count; ; shown--)
        {
            List<string> told = [.. lines.Take(shown)];
            if (head is not null)
                told.Insert(0, head);
            if (count > shown)
                told.Add(More(count - shown));
            var text = string.Join('\n', told);
            if (shown == 0 || fits(text))
                return text;
        }
    }

    private static string More(int count) => string.Create(CultureInfo.InvariantCulture, $"+ {count} more");

    private static string Line(DigestItem item, int most)
    {
        var (title, body) = (OneLine(item.Title), OneLine(item.Body));
        return Cut(
            title.Length == 0 ? body
                : body.Length == 0 ? title
                : $"{title}: {body}",
            most
        );
    }

    private static string OneLine(string? text) =>
        text is null ? "" : string.Join(' ', text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));

    // A character that takes two units is never cut in half.
    private static string Cut(string text, int most)
    {
        if (text.Length <= most)
            return text;
        var end = most - 3;
        return $"{text[..(char.IsHighSurrogate(text[end - 1]) ? end - 1 : end)].TrimEnd()}...";
    }

    private static string Html(string text) => WebUtility.HtmlEncode(text);
}
