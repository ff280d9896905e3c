namespace Notify.Dispatch.Providers.Email;

using System.Net;
using System.Text;
using System.Text.RegularExpressions;
using Notify.Domain.Content;

/// <summary>
/// The subject of an email: the content's title; without one, the first line of the text, or the first words of the HTML.
/// Always one line: line breaks and terminal controls become blanks, so that its text cannot begin another header.
/// </summary>
public static class EmailSubject
{
    /// <summary>The longest subject that is made of a text, in characters; a title is kept whole where the provider takes it.</summary>
    public const int MaxDerived = 78;

    // Without backtracking: HTML is what anyone may send, and time stays in proportion to it.
    private static readonly Regex Unseen = new(
        @"<!--.*?-->|<head\b.*?</head\s*>|<style\b.*?</style\s*>|<script\b.*?</script\s*>",
        RegexOptions.IgnoreCase | RegexOptions.Singleline | RegexOptions.NonBacktracking
    );

    private static readonly Regex Tag = new("<[^>]*>", RegexOptions.NonBacktracking);

    /// <summary>The longest subject that a provider's API is given, in characters.</summary>
    /// <remarks>
    /// RFC 5322, section 2.1.1: a line has at most 998 characters, here with <c>Subject: </c> before them. SendGrid names this limit for
    /// its subjects. Over SMTP a subject is folded, and has none.
    /// </remarks>
    public const int MaxInApi = 998 - 9;

    /// <summary>The subject; <c>null</c> where nothing could be one.</summary>
    /// <param name="longest">The most characters; a title that has more is shortened.</param>
    public static string? Of(NotificationContent content, int longest = int.MaxValue)
    {
        if (OneLine(content.Title) is { } title)
            return Shorten(title, longest);
        return (content.Body ?? "").Split('\n', '\r').Select(OneLine).FirstOrDefault(line => line is not null) is { } first
                ? Shorten(first, MaxDerived)
            : content.Html is { } html && OneLine(WebUtility.HtmlDecode(Tag.Replace(Unseen.Replace(html, " "), " "))) is { } words
                ? Shorten(words, MaxDerived)
            : null;
    }

    /// <summary>
    /// The subject for a provider's API. A subject in plain ASCII that contains a possible encoded word is encoded: a provider passes
    /// ASCII on as it is, and mail programs would show another text than its author wrote. The provider encodes all others.
    /// </summary>
    /// <remarks>
    /// RFC 2047, section 6.2: between two encoded words blanks are not shown. One that has letters beyond ASCII is encoded here too:
    /// nothing says whether a provider encodes all of it, or its words beyond ASCII alone.
    /// </remarks>
    public static string? InApi(NotificationContent content)
    {
        if (Of(content, MaxInApi) is not { } subject)
            return null;
        if (!subject.Contains("=?", StringComparison.Ordinal))
            return subject;
        for (var longest = Math.Min(subject.Length, MaxInApi); ; longest = longest * 4 / 5)
            if (EncodedWords.InOneLine(Shorten(subject, longest)) is { Length: <= MaxInApi } encoded)
                return encoded;
    }

    private static string? OneLine(string? text)
    {
        if (string.IsNullOrWhiteSpace(text))
            return null;
        var line = new StringBuilder(text.Length);
        foreach (var c in text)
        {
            if (!char.IsControl(c) && !char.IsWhiteSpace(c))
                line.Append(c);
            else if (line.Length > 0 && line[^1] != ' ')
                line.Append(' ');
        }

        return line.ToString().TrimEnd() is { Length: > 0 } trimmed ? trimmed : null;
    }

    // At a blank where there is one near the end, and never between the halves of a character.
    private static string Shorten(string line, int longest)
    {
        if (line.Length <= longest)
            return line;
        var end = line.LastIndexOf(' ', longest - 1, longest / 2);
        if (end < 0)
            end = char.IsHighSurrogate(line[longest - 2]) ? longest - 2 : longest - 1;
        return line[..end] + "…";
    }
}
