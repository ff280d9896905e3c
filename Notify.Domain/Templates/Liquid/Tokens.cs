namespace Notify.Domain.Templates.Liquid;

/// <summary>The kind of a piece of a template.</summary>
internal enum TokenKind
{
    Text,
    Output,
    Tag,
}

/// <summary>A piece of a template: text, or the inside of <c>{{ }}</c> or <c>{% %}</c>.</summary>
/// <param name="Offset">Where <paramref name="Text"/> begins in the source.</param>
internal sealed record Token(TokenKind Kind, string Text, int Offset)
{
    /// <summary>A tag's name: its first word.</summary>
    public string Name { get; } = Kind == TokenKind.Tag ? NameOf(Text) : "";

    /// <summary>Where what follows the name begins in <see cref="Text"/>.</summary>
    public int AfterName => Text.Length - Text.TrimStart().Length + Name.Length;

    private static string NameOf(string text)
    {
        var inside = text.AsSpan().TrimStart();
        var end = 0;
        while (end < inside.Length && (char.IsAsciiLetterOrDigit(inside[end]) || inside[end] == '_'))
            end++;
        return inside[..end].ToString();
    }
}

/// <summary>Cuts a template into its pieces; <c>{%-</c> and <c>-%}</c> take away the blanks beside them.</summary>
internal static class Tokens
{
    /// <summary>The pieces, or what is wrong.</summary>
    public static (List<Token> Tokens, (int Offset, string Message)? Fault) Of(string source)
    {
        var tokens = new List<Token>();
        var (start, trim) = (0, false);
        while (true)
        {
            var open = NextOpening(source, start);
            var isTag = open < source.Length && source[open + 1] == '%';
            var trimBefore = open + 2 < source.Length && source[open + 2] == '-';
            AddText(open, trim, trimBefore);
            if (open >= source.Length)
                return (tokens, null);

            var begin = open + (trimBefore ? 3 : 2);
            var close = Closing(source, begin, isTag ? "%}" : "}}");
            if (close < 0)
                return (tokens, (open, isTag ? "{% is never closed with %}" : "{{ is never closed with }}"));
            trim = source[close - 1] == '-' && close > begin;
            var token = new Token(isTag ? TokenKind.Tag : TokenKind.Output, source[begin..(trim ? close - 1 : close)], begin);
            start = close + 2;
            if (token.Name is "raw" or "comment")
            {
                var end = EndOf(source, start, $"end{token.Name}");
                if (end is null)
                    return (tokens, (open, $"{{% {token.Name} %}} is never closed with {{% end{token.Name} %}}"));
                if (token.Name == "raw")
                    AddText(end.Value.From, trim, end.Value.TrimBefore);
                (start, trim) = (end.Value.To, end.Value.TrimAfter);
            }
            else if (!isTag || token.Text.AsSpan().TrimStart() is not ['#', ..])
                tokens.Add(token);
        }

        void AddText(int end, bool trimStart, bool trimEnd)
        {
            var text = source.AsSpan(start, end - start);
            if (trimStart)
                text = text.TrimStart();
            var begin = end - text.Length;
            if (trimEnd)
                text = text.TrimEnd();
            if (text.Length > 0)
                tokens.Add(new Token(TokenKind.Text, text.ToString(), begin));
        }
    }

    private static int NextOpening(string source, int from)
    {
        for (var i = source.IndexOf('{', from); i >= 0 && i + 1 < source.Length; i = source.IndexOf('{', i + 1))
            if (source[i + 1] is '{' or '%')
                return i;
        return source.Length;
    }

    // Text in quotes closes nothing. The expression parser reports quotes that do not match.
    private static int Closing(string source, int from, string close)
    {
        var quote = '\0';
        for (var i = from; i < source.Length; i++)
        {
            if (quote != '\0')
                quote = source[i] == quote ? '\0' : quote;
            else if (source[i] is '"' or '\'')
                quote = source[i];
            else if (string.CompareOrdinal(source, i, close, 0, 2) == 0)
                return i;
        }

        return source.IndexOf(close, from, StringComparison.Ordinal);
    }

    private static (int From, int To, bool TrimBefore, bool TrimAfter)? EndOf(string source, int start, string name)
    {
        for (
            var open = source.IndexOf("{%", start, StringComparison.Ordinal);
            open >= 0;
            open = source.IndexOf("{%", open + 2, StringComparison.Ordinal)
        )
        {
            var close = source.IndexOf("%}", open + 2, StringComparison.Ordinal);
            if (close < 0)
                return null;
            var inside = source.AsSpan((open + 2)..close);
            if (inside.Trim().Trim('-').Trim().SequenceEqual(name))
                return (open, close + 2, inside is ['-', ..], inside is [.., '-']);
        }

        return null;
    }
}
