namespace Notify.Dispatch.Providers.Sms;

/// <summary>How the text of a message at a provider compares with the text that was sent.</summary>
public enum TextMatch
{
    /// <summary>It is another text.</summary>
    Other,

    /// <summary>It may be the text that was sent: the provider may have changed, lengthened or removed it.</summary>
    Unclear,

    /// <summary>It is the text that was sent, perhaps with the provider's own line before it.</summary>
    Same,
}

/// <summary>Compares texts as providers keep them with texts as they were sent. Pure.</summary>
/// <remarks>
/// Providers change texts: a trial account of Twilio's writes a line before them, its smart encoding replaces typographic
/// characters by those of GSM-7, and an account may have texts redacted. A message whose text was changed must not pass for
/// another message, because an absent message is sent again. A longer text of another delivery must not pass for this one,
/// because the other delivery would then miss its own message, and be sent again.
/// </remarks>
public static class SentText
{
    /// <summary>Compares a text that a provider shows with the text of a delivery.</summary>
    /// <param name="kept">The text at the provider.</param>
    /// <param name="sent">The text that was sent.</param>
    /// <param name="mark">A word of the line that the provider may have written before it.</param>
    public static TextMatch Compare(string? kept, string sent, string? mark = null)
    {
        if (string.IsNullOrEmpty(kept) || sent.Length == 0)
            return TextMatch.Unclear;
        if (kept == sent)
            return TextMatch.Same;
        if (
            mark is not null
            && kept.EndsWith(sent, StringComparison.Ordinal)
            && kept[..^sent.Length].Contains(mark, StringComparison.OrdinalIgnoreCase)
        )
            return TextMatch.Same;
        if (kept.Contains(sent, StringComparison.Ordinal))
            return TextMatch.Unclear;
        var (words, wanted) = (Words(kept), Words(sent));
        // Of a text without letters and digits nothing remains to compare.
        var isClear = wanted.Length > 0 && words.Length > 0 && !words.Contains(wanted, StringComparison.Ordinal);
        return isClear ? TextMatch.Other : TextMatch.Unclear;
    }

    private static string Words(string text) => string.Concat(text.Where(char.IsLetterOrDigit));
}
