namespace Notify.Domain.Content;

using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

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
    private static readonly SearchValues<char> UriCharacters = SearchValues.Create(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:/?#@!$&'()*+,;=%"
    );

    // They may end a URI, and end a sentence or a quotation far more often.
    private static readonly SearchValues<char> Trailing = SearchValues.Create(".,;:!?'*");

    // One of them between two addresses divides them. In front of an address in another's path or query stand
    // a slash, an equals sign or an ampersand.
    private static readonly SearchValues<char> Joins = SearchValues.Create(".,;'()*!");

    // Top-level domains in Hangul, of IANA's root zone database.
    private static readonly string[] HangulEnds = ["한국", "삼성", "닷컴", "닷넷"];

    private const int MaxParticle = 12,
        MaxHost = 1000;

    private enum Belonging
    {
        Inside,
        Outside,
        Unclear,
    }

    /// <summary>The links of a text, in order.</summary>
    public static IEnumerable<Range> Find(string text)
    {
        for (var found = Scheme().Match(text); found.Success; )
        {
            var start = found.Index;
            var (end, isClear) = EndOf(text, start, found.Index + found.Length);
            if (isClear)
                yield return start..Trimmed(text, start, end);
            found = Scheme().Match(text, Math.Max(end, found.Index + found.Length));
        }
    }

    private static (int End, bool IsClear) EndOf(string text, int start, int host)
    {
        var at = host < text.Length && text[host] == '[' ? EndOfLiteral(text, host) : host;
        var open = 0; // brackets that the address itself opened
        while (at < text.Length)
        {
            if (text[at] is 'h' or 'H' && Joins.Contains(text[at - 1]) && Scheme().IsMatch(text.AsSpan(at, Math.Min(8, text.Length - at))))
                return (at - 1, true);
            if (UriCharacters.Contains(text[at]))
            {
                if (Closes(text, start, at, open))
                    return (at, true);
                open += text[at] switch
                {
                    '(' => 1,
                    ')' => -1,
                    _ => 0,
                };
                at++;
                continue;
            }

            var word = EndOfWord(text, at);
            if (word == at)
                return (at, true);
            if (Label(text, host, at, word) is { } label)
            {
                if (label != word)
                    return (label, label > at);
                at = word;
                continue;
            }

            switch (BelongingOf(text, start, host, at, word))
            {
                case Belonging.Outside:
                    return (at, true);
                case Belonging.Unclear:
                    return (word, false);
                default:
                    at = word;
                    break;
            }
        }

        return (at, true);
    }

    // A bracket or quote around an address closes it, also if more follows without a blank.
    private static bool Closes(string text, int start, int at, int open)
    {
        var around = start > 0 ? text[start - 1] : '\0';
        if (around == '(' && text[at] == ')')
            return open == 0;
        return around == '\'' && text[at] == '\'' && (at + 1 == text.Length || !char.IsLetterOrDigit(text[at + 1]));
    }

    // The end of a label of a host in other letters; null for other text. The beginning itself: the end cannot be told.
    private static int? Label(string text, int host, int at, int word)
    {
        if (at - host > MaxHost || text.AsSpan(host, at - host).IndexOfAny('/', '?', '#') >= 0 || (at > host && text[at - 1] != '.'))
            return null;
        // A host in ASCII has ended, and a sentence follows.
        if (at > host && text.AsSpan(host, at - host).IndexOfAnyExceptInRange('\0', '\u007f') < 0)
            return null;
        var rest = text.AsSpan(word);
        if (rest is ['/' or '?' or '#' or ':', ..] || (rest is ['.', var next, ..] && !char.IsWhiteSpace(next)))
            return null;
        if (HasNoBlanks(text[at]))
            return at;
        var label = text.AsSpan(at, word - at);
        foreach (var end in HangulEnds)
        {
            if (!label.StartsWith(end, StringComparison.Ordinal))
                continue;
            var after = label[end.Length..];
            if (after.IsEmpty || (after.Length <= MaxParticle && Particle().IsMatch(after)))
                return at + end.Length;
        }

        return null;
    }

    // [2001:db8::1]; RFC 3986, section 3.2.2.
    private static int EndOfLiteral(string text, int at)
    {
        var end = at + 1;
        while (end < text.Length && (char.IsAsciiHexDigit(text[end]) || text[end] is ':' or '.' or 'v'))
            end++;
        return end < text.Length && text[end] == ']' ? end + 1 : at;
    }

    // Letters, marks and digits beyond ASCII; half-width and full-width forms are none of an address as people write it.
    private static int EndOfWord(string text, int at)
    {
        while (at < text.Length && text[at] > '\u007f' && Rune.TryGetRuneAt(text, at, out var rune) && IsWord(rune))
            at += rune.Utf16SequenceLength;
        return at;
    }

    private static bool IsWord(Rune rune) =>
        rune.Value is not (>= 0xFF00 and <= 0xFFEF)
        && (
            rune.Value is 0x200C or 0x200D
            || Rune.GetUnicodeCategory(rune)
                is UnicodeCategory.UppercaseLetter
                    or UnicodeCategory.LowercaseLetter
                    or UnicodeCategory.TitlecaseLetter
                    or UnicodeCategory.ModifierLetter
                    or UnicodeCategory.OtherLetter
                    or UnicodeCategory.NonSpacingMark
                    or UnicodeCategory.SpacingCombiningMark
                    or UnicodeCategory.DecimalDigitNumber
        );

    private static Belonging BelongingOf(string text, int start, int host, int at, int end)
    {
        var (first, before) = (text[at], text[at - 1]);
        if (at == host)
            return Belonging.Inside; // a domain in other letters
        if (char.IsAsciiLetterOrDigit(before))
            return IsLatin(first) ? Belonging.Inside : Belonging.Outside;
        var address = text.AsSpan(start, at - start);
        var isInHost = address[(host - start)..].IndexOfAny('/', '?', '#') < 0;
        if (isInHost && address.IndexOfAnyExceptInRange('\0', '\u007f') >= 0)
            return Belonging.Inside; // its further labels
        if (isInHost || before == ')' || (Trailing.Contains(before) && !(before == '?' && end < text.Length && text[end] == '=')))
            return Belonging.Outside;
        if (end - at <= MaxParticle && Particle().IsMatch(text.AsSpan(at, end - at)))
            return Belonging.Outside;
        return HasNoBlanks(first) ? Belonging.Unclear : Belonging.Inside;
    }

    private static bool IsLatin(char c) =>
        c is (>= '\u00C0' and <= '\u024F') or (>= '\u0300' and <= '\u036F') or (>= '\u1E00' and <= '\u1EFF');

    // Thai, Lao, Tibetan, Myanmar, Khmer, Han, Kana; and what lies beyond the basic plane.
    private static bool HasNoBlanks(char c) =>
        c
            is (>= '\u0E00' and <= '\u109F')
                or (>= '\u1780' and <= '\u17FF')
                or (>= '\u2E80' and <= '\u2FDF')
                or (>= '\u3005' and <= '\u30FF')
                or (>= '\u31F0' and <= '\u31FF')
                or (>= '\u3400' and <= '\u9FFF')
                or (>= '\uF900' and <= '\uFAFF')
        || char.IsSurrogate(c);

    private static int Trimmed(string text, int start, int end)
    {
        var address = text.AsSpan(start, end - start);
        var open = address.Count('(') - address.Count(')');
        var around = start > 0 ? text[start - 1] : '\0';
        for (; end > start; end--)
        {
            var last = text[end - 1];
            // A bracket belongs to the address only if it was opened there; a mark of emphasis, if none stands before it.
            if (last == ')' && open < 0)
                open++;
            else if (last == '(')
                open--;
            else if (!Trailing.Contains(last) && last != '%' && !(last is '_' or '~' && last == around))
                break;
        }

        return end;
    }

    // Korean particles, which follow a word without a blank, and those that may follow another.
    [GeneratedRegex(
        "^(을|를|이|가|께서|은|는|의|에|에서|에게|에게서|한테|한테서|께|더러|보고|으?로|으?로서|으?로써|와|과|이?랑|하고|보다|처럼|만큼|같이|대로|부터|까지|마저|조차|밖에|뿐|만"
            + "|도|이?나|이?든지|이?야|이?라도|이?라고|이?라는|이?란|이?라며|이?며|이?고|이?면|이?라면|인데|인|입니다|이에요|예요|이었습니다|였습니다|엔|에선)"
            + "(부터|까지|의|은|는|도|만|이?나|이?라도|조차|마저|보다|처럼|밖에|만큼|와|과|로|서|입니다)*$",
        RegexOptions.CultureInvariant
    )]
    private static partial Regex Particle();

    [GeneratedRegex("(?<![A-Za-z0-9@])https?://", RegexOptions.IgnoreCase | RegexOptions.CultureInvariant)]
    private static partial Regex Scheme();
}
