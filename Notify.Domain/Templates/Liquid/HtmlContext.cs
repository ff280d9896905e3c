namespace Notify.Domain.Templates.Liquid;

/// <summary>The possible text before the next character of an attribute that is an address.</summary>
/// <param name="IsOpen">Whether it may still be undecided where the address leads: neither its scheme nor its path has surely begun.</param>
/// <param name="HasValue">Whether a value may have been written since it began.</param>
internal readonly record struct AddressStart(bool IsOpen, bool HasValue)
{
    /// <summary>Either of two.</summary>
    public AddressStart Or(AddressStart other) => new(IsOpen || other.IsOpen, HasValue || other.HasValue);
}

/// <summary>
/// Follows HTML far enough to know where a value would be written. Encoding protects between tags and in quoted attributes;
/// elsewhere a template must not write values.
/// </summary>
/// <remarks>
/// WHATWG: HTML, 13.2.5 Tokenization; URL, 4.4 URL parsing: a scheme is read after character references are, without tabs and line
/// breaks.
/// </remarks>
internal sealed class HtmlContext
{
    private static readonly HashSet<string> Codes = ["script", "style", "xmp", "iframe", "noembed", "noframes", "noscript", "plaintext"];
    private static readonly HashSet<string> Links =
    [
        "href", "src", "action", "formaction", "background", "cite", "poster", "data", "longdesc", "xlink:href",
        "srcset", "ping", "content", "lowsrc", "dynsrc",
        "codebase", "classid", "archive", "manifest", "profile", "xml:base",
    ];

    // SVG sets any attribute by them, also one that is an address or code.
    private static readonly HashSet<string> Animations =
        ["animate", "set", "animatetransform", "animatemotion", "animatecolor", "handler", "listener"];

    private static readonly string[] CodeSchemes = ["javascript:", "vbscript:", "livescript:", "mocha:", "data:"];

    private HtmlPosition now = new(HtmlState.Text, "", "", "", "", null, false, default);

    /// <summary>How many values were written so far.</summary>
    public int Values { get; private set; }

    /// <summary>Whether the next character is between tags.</summary>
    public bool IsBetweenTags => now.State is HtmlState.Text or HtmlState.Comment;

    /// <summary>Whether the next character is in an attribute that is an address.</summary>
    public bool IsInAddress => now.IsQuoted && Links.Contains(now.Attribute);

    /// <summary>The position of the next character; set to return to it, where there are several ways on.</summary>
    public HtmlPosition Position { get => now; set => now = value; }

    /// <summary>Reads the template's own text.</summary>
    /// <returns>Where in it a colon makes a scheme of the value before it; <c>null</c>: nowhere.</returns>
    public int? Read(ReadOnlySpan<char> text)
    {
        int? fault = null, reference = null;
        for (var i = 0; i < text.Length; i++)
        {
            var isInside = now.Reference is not null;
            if (Read(text[i])) fault ??= reference ?? i;
            reference = now.Reference is null ? null : isInside ? reference : i + 1;
        }

        return fault;
    }

    /// <summary>Begins a block that is executed any number of times: the text at its end may precede its beginning.</summary>
    public void BeginLoop() => now = now with { Start = now.Start with { HasValue = true } };

    /// <summary>A value is written here.</summary>
    /// <returns>How, or why it must not be.</returns>
    public (HtmlPlace Place, string? Fault) Write()
    {
        Values++;
        switch (now.State)
        {
            case HtmlState.Text or HtmlState.Comment:
                return (HtmlPlace.Plain, null);
            case HtmlState.Code:
                return (HtmlPlace.Plain,
                    $"stands inside <{now.Element}>, where encoding does not protect; "
                    + "write values only between tags and in quoted attributes");
            case HtmlState.Double or HtmlState.Single:
                return WriteAttribute();
            case HtmlState.BeforeValue or HtmlState.Unquoted:
                return (HtmlPlace.Plain, $"stands in the attribute {now.Attribute} without quotes; put the attribute's value in quotes");
            case HtmlState.Unclear:
                return (HtmlPlace.Plain, "may stand inside a tag or between tags, as conditions decide; "
                    + "close tags and quotes in the branch that opens them");
            default:
                return (HtmlPlace.Plain, "stands inside a tag, but not in the quoted value of an attribute; write values only between tags and in quoted attributes");
        }
    }

    private (HtmlPlace Place, string? Fault) WriteAttribute()
    {
        var (attribute, elements) = (now.Attribute, now.Element.Split('|'));
        if (attribute.StartsWith("on", StringComparison.Ordinal) || attribute == "srcdoc"
            || (elements.Contains("script") && Links.Contains(attribute)))
            return (HtmlPlace.Plain,
                $"stands in the attribute {attribute}, which is code; write values only between tags and in other quoted attributes");
        if (elements.Any(Animations.Contains)) return (HtmlPlace.Plain,
            $"stands in <{now.Element}>, which sets other attributes; write values only in elements that do not");
        if (attribute == HtmlPosition.Unclear)
            return (HtmlPlace.Plain, "stands in an attribute whose name conditions decide; write the whole attribute in each branch");
        if (attribute == "style") return (HtmlPlace.Style, null);
        if (!Links.Contains(attribute)) return (HtmlPlace.Attribute, null);
        if (now.Reference is not null) return (HtmlPlace.Link,
            $"stands in a character reference of the attribute {attribute}; end it with a semicolon");
        if (CodeSchemes.FirstOrDefault(s => now.Address.StartsWith(s, StringComparison.Ordinal)) is { } scheme)
            return (HtmlPlace.Link,
                $"stands in the attribute {attribute} after {scheme}, which is code; let links lead to https addresses");
        if (!now.Start.IsOpen) return (HtmlPlace.Attribute, null);
        now = now with { Start = now.Start with { HasValue = true } };
        return (HtmlPlace.Link, null);
    }

    // True: a colon makes a scheme of the value before it.
    private bool Read(char c)
    {
        switch (now.State)
        {
            case HtmlState.Text:
                if (c == '<') now = now with { State = HtmlState.TagOpen, IsEnd = false };
                break;
            case HtmlState.TagOpen:
                if (char.IsAsciiLetter(c)) now = now with { State = HtmlState.Name, Element = $"{char.ToLowerInvariant(c)}" };
                else if (c == '/' && !now.IsEnd) now = now with { IsEnd = true };
                else now = now with { State = c == '!' ? HtmlState.Comment : HtmlState.Text };
                break;
            case HtmlState.Name:
                if (c == '>') Close();
                else if (char.IsWhiteSpace(c) || c == '/') now = now with { State = HtmlState.InTag };
                else if (now.Element.Length < 60) now = now with { Element = string.Join('|',
                    now.Element.Split('|').Select(e => e + char.ToLowerInvariant(c))) };
                break;
            case HtmlState.InTag or HtmlState.AfterAttribute:
                if (c == '>') Close();
                else if (c == '=' && now.State == HtmlState.AfterAttribute) now = now with { State = HtmlState.BeforeValue };
                else if (!char.IsWhiteSpace(c) && c != '/') now = now with { State = HtmlState.Attribute,
                    Attribute = $"{char.ToLowerInvariant(c)}" };
                break;
            case HtmlState.Attribute:
                if (c == '>') Close();
                else if (c == '=') now = now with { State = HtmlState.BeforeValue };
                else if (char.IsWhiteSpace(c)) now = now with { State = HtmlState.AfterAttribute };
                else if (c == '/') now = now with { State = HtmlState.InTag };
                else if (now.Attribute.Length < 40) now = now with { Attribute = now.Attribute + char.ToLowerInvariant(c) };
                break;
            case HtmlState.BeforeValue:
                if (c is '"' or '\'') now = now with { State = c == '"' ? HtmlState.Double : HtmlState.Single,
                    Start = new AddressStart(true, false), Address = "", Reference = null };
                else if (c == '>') Close();
                else if (!char.IsWhiteSpace(c)) now = now with { State = HtmlState.Unquoted };
                break;
            case HtmlState.Unquoted:
                if (c == '>') Close();
                else if (char.IsWhiteSpace(c)) now = now with { State = HtmlState.InTag };
                break;
            case HtmlState.Double or HtmlState.Single:
                return ReadQuoted(c);
            case HtmlState.Comment:
                // Of a conditional comment the programs that it is meant for read the inside; it begins and ends as a tag does.
                if (c == '>') now = now with { State = HtmlState.Text };
                break;
            case HtmlState.Code:
                var recent = now.Recent.Length <= now.Element.Length + 1 ? now.Recent + char.ToLowerInvariant(c)
                    : string.Concat(now.Recent.AsSpan(1), [char.ToLowerInvariant(c)]);
                now = recent == $"</{now.Element}" ? now with { State = HtmlState.Name, IsEnd = true, Recent = recent }
                    : now with { Recent = recent };
                break;
        }

        return false;
    }

    private bool ReadQuoted(char c)
    {
        var isEnd = c == (now.State == HtmlState.Double ? '"' : '\'');
        var fault = false;
        if (now.Reference is { } reference)
        {
            if (!isEnd && CharacterReferences.GoesOn(reference, c))
            {
                now = now with { Reference = reference + c };
                return false;
            }

            now = now with { Reference = null };
            foreach (var decoded in CharacterReferences.Decode(reference, isEnded: c == ';')) fault |= ReadAddress(decoded);
            if (c == ';') return fault;
        }

        if (isEnd) now = now with { State = HtmlState.InTag };
        else if (c == '&' && now.Start.IsOpen && Links.Contains(now.Attribute)) now = now with { Reference = "" };
        else fault |= ReadAddress(c);
        return fault;
    }

    private bool ReadAddress(char c)
    {
        if (c <= ' ' || char.IsControl(c)) return false; // no address has them
        if (now.Address.Length < 20) now = now with { Address = now.Address + char.ToLowerInvariant(c) };
        var (isOpen, hasValue) = now.Start;
        // A character that no scheme contains shows that the address has none. In a refresh, other text precedes the address.
        if (now.Attribute == "content" ? c is '/' or '?' or '#' or ':' : !char.IsAsciiLetterOrDigit(c)
            && c is not ('+' or '-' or '.')) now = now with { Start = now.Start with { IsOpen = false } };
        return c == ':' && isOpen && hasValue && Links.Contains(now.Attribute);
    }

    private void Close()
    {
        var codes = now.IsEnd ? [] : now.Element.Split('|').Where(Codes.Contains).ToList();
        now = now with { Recent = "", State = codes.Count == 0 ? HtmlState.Text : codes[0] == now.Element ? HtmlState.Code
            : HtmlState.Unclear };
    }
}
