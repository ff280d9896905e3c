namespace Notify.Domain.Content;

using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

/// <summary>A file that goes with an email.</summary>
/// <param name="Filename">Its name for the recipient, cleaned by <see cref="AttachmentRules.Clean"/>.</param>
/// <param name="ContentType">Its media type, without parameters.</param>
/// <param name="Content">Its bytes.</param>
/// <param name="ContentId">The ID by which the HTML shows it (<c>cid:…</c>); <c>null</c>: it is attached, not shown.</param>
public sealed record EmailAttachment(string Filename, string ContentType, byte[] Content, string? ContentId = null);

/// <summary>Rules for attachments.</summary>
public static partial class AttachmentRules
{
    /// <summary>Files in one email.</summary>
    public const int MaxCount = 10;

    /// <summary>Bytes of all files of one email together, before they are encoded.</summary>
    public const int MaxBytes = 5 * 1024 * 1024;

    /// <summary>Characters of a name.</summary>
    public const int MaxName = 120;

    /// <summary>The type of what has no type that could be sent.</summary>
    public const string AnyType = "application/octet-stream";

    /// <summary>
    /// A name without path, control characters, line breaks, and marks that turn the direction of writing; at most
    /// <see cref="MaxName"/> characters, its ending kept. <c>null</c> where nothing is left.
    /// </summary>
    public static string? Clean(string name)
    {
        var last = name[(name.LastIndexOfAny(['/', '\\']) + 1)..];
        var clean = new StringBuilder(last.Length);
        foreach (var rune in last.EnumerateRunes())
        {
            if (
                rune == Rune.ReplacementChar
                || Rune.GetUnicodeCategory(rune)
                    is UnicodeCategory.Control
                        or UnicodeCategory.Format
                        or UnicodeCategory.LineSeparator
                        or UnicodeCategory.ParagraphSeparator
                        or UnicodeCategory.Surrogate
                        or UnicodeCategory.PrivateUse
                        or UnicodeCategory.OtherNotAssigned
            )
                continue;
            if (rune.Value is '"' or '<' or '>' or ':' or '|' or '?' or '*')
                clean.Append('_');
            else
                clean.Append(rune.ToString());
        }

        var text = clean.ToString().Trim(' ', '.');
        if (text.Length > MaxName)
        {
            var ending = text.LastIndexOf('.') is var dot and > 0 && text.Length - dot <= 12 ? text[dot..] : "";
            var end = MaxName - ending.Length;
            text = text[..(char.IsHighSurrogate(text[end - 1]) ? end - 1 : end)].TrimEnd(' ', '.') + ending;
        }

        return text.Length == 0 ? null : text;
    }

    /// <summary>Whether a text is a media type that a file may have: no parameters, no container of other parts.</summary>
    public static bool IsType(string text) => text.Length <= 100 && MediaType().IsMatch(text);

    /// <summary>Whether a text may be a content ID.</summary>
    public static bool IsContentId(string text) => text.Length <= 100 && ContentId().IsMatch(text);

    [GeneratedRegex(
        @"^(?!multipart/|message/)[a-z]+/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*\z",
        RegexOptions.IgnoreCase | RegexOptions.CultureInvariant
    )]
    private static partial Regex MediaType();

    [GeneratedRegex(@"^[A-Za-z0-9][A-Za-z0-9._+-]*(@[A-Za-z0-9][A-Za-z0-9.-]*)?\z")]
    private static partial Regex ContentId();
}
