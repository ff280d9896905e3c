using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Notify.Domain.Tracking;

/// <summary>Finds the web links of plain text.</summary>
/// <remarks>
/// RFC 3986: a link ends at the first character that no URI has, such as a blank, <c>&lt;</c>, <c>"</c>, <c>|</c> or punctuation beyond
/// ASCII. Punctuation that ends a sentence or closes a bracket is not part of it. Letters beyond ASCII (RFC 3987) belong to a link only
/// where they begin a part of it: a particle or a word that follows a link without a blank does not. Where both are possible, as in
/// scripts that have no blanks between words, the text is no link.
/// </remarks>
public static partial class TextLinks
{
    // RFC 3986, section 2: unreserved, gen-delims without the brackets of an IP literal, sub-delims, and the percent sign.
    private static readonly SearchValues<char> UriCharacters =
        SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:/?#@!$&'()*+,;=%");

    // They may end a URI, and end a sentence or a quotation far more often.
    private static readonly SearchValues<char> Trailing = SearchValues.Create(".,;:!?'*");

    private static readonly HashSet<string> Particles = new(StringComparer.Ordinal)
    {
        "을", "를", "이", "가", "은", "는", "의", "에", "에서", "에게", "에는", "에도", "에서는", "에서도", "로", "으로", "로는", "으로는", "와", "과", "도", "만",
        "부터", "까지", "보다", "처럼", "이나", "나", "라고", "이라고", "라는", "이라는", "입니다", "이며", "이고", "하고", "랑", "이랑", "엔", "에선",
    };

    private enum Belonging { Inside, Outside, Unclear }

    /// <summary>The links of a text, in order.</summary>
    public static IEnumerable<Range> Find(string text)
    {
        for (var found = Scheme().Match(text); found.Success;)
        {
            var start = found.Index;
            var (end, isClear) = EndOf(text, start, found.Index + found.Length);
            if (isClear) yield return start..Trimmed(text, start, end);
            found = Scheme().Match(text, Math.Max(end, found.Index + found.Length));
        }
    }

    private static (int End, bool IsClear) EndOf(string text, int start, int host)
    {
        var at = host < text.Length && text[host] == '[' ? EndOfLiteral(text, host) : host;
        while (at < text.Length)
        {
            if (text[at] is 'h' or 'H' && text[at - 1] is ',' or ';' && Scheme().IsMatch(text.AsSpan(at,
                Math.Min(8, text.Length - at)))) return (at - 1, true);
            if (UriCharacters.Contains(text[at]))
            {
                at++;
                continue;
            }

            var word = EndOfWord(text, at);
            if (word == at) return (at, true);
            switch (BelongingOf(text, start, host, at, word))
            {
                case Belonging.Outside: return (at, true);
                case Belonging.Unclear: return (word, false);
                default: at = word; break;
            }
        }

        return (at, true);
    }

    // [2001:db8::1]; RFC 3986, section 3.2.2.
    private static int EndOfLiteral(string text, int at)
    {
        var end = at + 1;
        while (end < text.Length && (char.IsAsciiHexDigit(text[end]) || text[end] is ':' or '.' or 'v')) end++;
        return end < text.Length && text[end] == ']' ? end + 1 : at;
    }

    // Letters, marks and digits beyond ASCII; half-width and full-width forms are none of an address as people write it.
    private static int EndOfWord(string text, int at)
    {
        while (at < text.Length && text[at] > '\u007f' && Rune.TryGetRuneAt(text, at, out var rune)
            && IsWord(rune)) at += rune.Utf16SequenceLength;
        return at;
    }

    private static bool IsWord(Rune rune) => rune.Value is not (>= 0xFF00 and <= 0xFFEF)
        && (rune.Value is 0x200C or 0x200D || Rune.GetUnicodeCategory(rune) is
        UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.TitlecaseLetter
        or UnicodeCategory.ModifierLetter or UnicodeCategory.OtherLetter
        or UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark or UnicodeCategory.DecimalDigitNumber);

    private static Belonging BelongingOf(string text, int start, int host, int at, int end)
    {
        var (first, before) = (text[at], text[at - 1]);
        if (at == host) return Belonging.Inside; // a domain in other letters
        if (char.IsAsciiLetterOrDigit(before)) return IsLatin(first) ? Belonging.Inside : Belonging.Outside;
        var address = text.AsSpan(start, at - start);
        var isInHost = address[(host - start)..].IndexOfAny('/', '?', '#') < 0;
        if (isInHost && address.IndexOfAnyExceptInRange('\0', '\u007f') >= 0) return Belonging.Inside; // its further labels
        if (isInHost || Trailing.Contains(before) || before is ')') return Belonging.Outside;
        if (Particles.Contains(text[at..end])) return Belonging.Outside;
        return HasNoBlanks(first) ? Belonging.Unclear : Belonging.Inside;
    }

    private static bool IsLatin(char c) =>
        c is (>= '\u00C0' and <= '\u024F') or (>= '\u0300' and <= '\u036F') or (>= '\u1E00' and <= '\u1EFF');

    // Thai, Lao, Tibetan, Myanmar, Khmer, Han, Kana; and what lies beyond the basic plane.
    private static bool HasNoBlanks(char c) =>
        c is (>= '\u0E00' and <= '\u109F') or (>= '\u1780' and <= '\u17FF') or (>= '\u2E80' and <= '\u2FDF')
            or (>= '\u3005' and <= '\u30FF') or (>= '\u31F0' and <= '\u31FF')
            or (>= '\u3400' and <= '\u9FFF') or (>= '\uF900' and <= '\uFAFF') || char.IsSurrogate(c);

    private static int Trimmed(string text, int start, int end)
    {
        var address = text.AsSpan(start, end - start);
        var open = address.Count('(') - address.Count(')');
        var around = start > 0 ? text[start - 1] : '\0';
        for (; end > start; end--)
        {
            var last = text[end - 1];
            // A bracket belongs to the address only if it was opened there; a mark of emphasis, if none stands before it.
            if (last == ')' && open < 0) open++;
            else if (last == '(') open--;
            else if (!Trailing.Contains(last) && last != '%' && !(last is '_' or '~' && last == around)) break;
        }

        return end;
    }

    [GeneratedRegex("(?<![A-Za-z0-9@])https?://", RegexOptions.IgnoreCase | RegexOptions.CultureInvariant)]
    private static partial Regex Scheme();
}
