namespace Notify.Domain.Templates.Liquid;

/// <summary>The possible text before the next character of an attribute that is an address.</summary>
/// <param name="IsOpen">Whether it may still be undecided where the address leads: neither its scheme nor its path has surely
/// begun.</param>
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
        "href",
        "src",
        "action",
        "formaction",
        "background",
        "cite",
        "poster",
        "data",
        "longdesc",
        "xlink:href",
        "srcset",
        "ping",
        "content",
        "lowsrc",
        "dynsrc",
        "codebase",
        "classid",
        "archive",
        "manifest",
        "profile",
        "xml:base",
    ];

    // SVG sets any attribute by them, also one that is an address or code.
    private static readonly HashSet<string> Animations =
    [
        "animate",
        "set",
        "animatetransform",
        "animatemotion",
        "animatecolor",
        "handler",
        "listener",
    ];

    // Their content is text, in which character references are read and tags are not.
    private static readonly HashSet<string> Texts = ["textarea", "title"];

    private static readonly HashSet<string> Foreign = ["svg", "math"];

    private static readonly string[] CodeSchemes = ["javascript:", "vbscript:", "livescript:", "mocha:", "data:"];

    private HtmlPosition now = HtmlPosition.Start;

    /// <summary>How many values were written so far.</summary>
    public int Values { get; private set; }

    /// <summary>Whether the next character is between tags.</summary>
    public bool IsBetweenTags => now.State == HtmlState.Text;

    /// <summary>Whether the text may end here: not inside a tag, a comment, or an element whose content is no HTML.</summary>
    public bool MayEnd => now is { State: HtmlState.Text, Hidden: null };

    /// <summary>Whether the next character is in an attribute that is an address.</summary>
    public bool IsInAddress => now.IsQuoted && Links.Contains(now.Attribute);

    /// <summary>The position of the next character; set to return to it, where there are several ways on.</summary>
    public HtmlPosition Position
    {
        get => now;
        set => now = value;
    }

    /// <summary>Reads the template's own text.</summary>
    /// <returns>Where in it a colon makes a scheme of the value before it; <c>null</c>: nowhere.</returns>
    public int? Read(ReadOnlySpan<char> text)
    {
        int? fault = null,
            reference = null;
        for (var i = 0; i < text.Length; i++)
        {
            var isInside = now.Reference is not null;
            if (Read(text[i]))
                fault ??= reference ?? i;
            reference =
                now.Reference is null ? null
                : isInside ? reference
                : i + 1;
        }

        return fault;
    }

    /// <summary>Begins a block that is executed any number of times: the text at its end may precede its beginning.</summary>
    public void BeginLoop() => now = now with { Begun = now.Begun with { HasValue = true } };

    /// <summary>A value is written here.</summary>
    /// <returns>How, or why it must not be.</returns>
    public (HtmlPlace Place, string? Fault) Write()
    {
        Values++;
        switch (now.State)
        {
            case HtmlState.Text or HtmlState.Comment or HtmlState.Remark:
                return (HtmlPlace.Plain, null);
            case HtmlState.TextAlone when !now.IsForeign || now.Openings == 0:
                return (HtmlPlace.Plain, null);
            case HtmlState.Code or HtmlState.TextAlone:
                return (
                    HtmlPlace.Plain,
                    $"stands inside <{now.Element}>, where encoding does not protect; "
                        + "write values only between tags and in quoted attributes"
                );
            case HtmlState.Double or HtmlState.Single:
                return WriteAttribute();
            case HtmlState.BeforeValue or HtmlState.Unquoted:
                return (HtmlPlace.Plain, $"stands in the attribute {now.Attribute} without quotes; put the attribute's value in quotes");
            case HtmlState.Unclear:
                return (
                    HtmlPlace.Plain,
                    "may stand inside a tag or between tags, as conditions decide, or programs that read "
                        + "comments or SVG differently; close tags and quotes where they are opened"
                );
            default:
                return (
                    HtmlPlace.Plain,
                    "stands inside a tag, but not in the quoted value of an attribute; write values only between tags and in "
                        + "quoted attributes"
                );
        }
    }

    private (HtmlPlace Place, string? Fault) WriteAttribute()
    {
        var (attribute, elements) = (now.Attribute, now.Element.Split('|'));
        if (
            attribute.StartsWith("on", StringComparison.Ordinal)
            || attribute == "srcdoc"
            || (elements.Contains("script") && Links.Contains(attribute))
        )
            return (
                HtmlPlace.Plain,
                $"stands in the attribute {attribute}, which is code; write values only between tags and in other quoted attributes"
            );
        if (elements.Any(Animations.Contains))
            return (HtmlPlace.Plain, $"stands in <{now.Element}>, which sets other attributes; write values only in elements that do not");
        if (attribute == HtmlPosition.Unclear)
            return (HtmlPlace.Plain, "stands in an attribute whose name conditions decide; write the whole attribute in each branch");
        if (attribute == "style")
            return (HtmlPlace.Style, null);
        if (!Links.Contains(attribute))
            return (HtmlPlace.Attribute, null);
        if (now.Reference is not null)
            return (HtmlPlace.Link, $"stands in a character reference of the attribute {attribute}; end it with a semicolon");
        if (CodeSchemes.FirstOrDefault(s => now.Address.StartsWith(s, StringComparison.Ordinal)) is { } scheme)
            return (
                HtmlPlace.Link,
                $"stands in the attribute {attribute} after {scheme}, which is code; let links lead to https addresses"
            );
        if (!now.Begun.IsOpen)
            return (HtmlPlace.Attribute, null);
        now = now with { Begun = now.Begun with { HasValue = true } };
        return (HtmlPlace.Link, null);
    }

    // True: a colon makes a scheme of the value before it.
    private bool Read(char c)
    {
        var fault = false;
        if (now.State is HtmlState.Double or HtmlState.Single)
            fault = ReadQuoted(c);
        else if (
            now.State
            is HtmlState.Text
                or HtmlState.TagOpen
                or HtmlState.Comment
                or HtmlState.Remark
                or HtmlState.Code
                or HtmlState.TextAlone
        )
            ReadContent(c);
        else
            ReadTag(c);
        if (now.Hidden is { } recent)
            ReadHidden(recent, c);
        return fault;
    }

    private void ReadContent(char c)
    {
        switch (now.State)
        {
            case HtmlState.Text:
                if (c == '<')
                    now = now with { State = HtmlState.TagOpen, IsEnd = false };
                break;
            case HtmlState.TagOpen:
                if (char.IsAsciiLetter(c))
                    now = now with { State = HtmlState.Name, Element = $"{char.ToLowerInvariant(c)}" };
                else if (c == '/' && !now.IsEnd)
                    now = now with { IsEnd = true };
                else if (now.IsEnd ? c != '>' : c is '!' or '?')
                    now = now with { State = HtmlState.Comment, IsEnd = false, Recent = c == '!' ? "!" : "" };
                else
                    now = now with { State = c == '<' ? HtmlState.TagOpen : HtmlState.Text, IsEnd = false };
                break;
            case HtmlState.Comment:
                if (c == '>')
                    now = now with { State = HtmlState.Text };
                else if (c == '-' && now.Recent == "!-")
                    now = now with { State = HtmlState.Remark, Recent = Comments.Start };
                else
                    now = now with { Recent = c == '-' && now.Recent == "!" ? "!-" : "" };
                break;
            case HtmlState.Remark:
                // Of a conditional comment the programs that it is meant for read the inside; it begins and ends as a tag does.
                if (c == '[' && now.Recent == Comments.Start)
                    now = now with { State = HtmlState.Comment, Recent = "", Hidden = "" };
                else if (Comments.Next(now.Recent, c) is { } recent)
                    now = now with { Recent = recent };
                else
                    now = now with { State = HtmlState.Text };
                break;
            default:
                ReadCode(c);
                break;
        }
    }

    // A conditional comment: hidden from browsers, read by the programs that it is meant for.
    private void ReadHidden(string recent, char c)
    {
        if (Comments.Next(recent, c) is { } next)
            now = now with { Hidden = next };
        else
            now = now with { Hidden = null, State = now.State == HtmlState.Text ? HtmlState.Text : HtmlState.Unclear };
    }

    private void ReadTag(char c)
    {
        switch (now.State)
        {
            case HtmlState.Name:
                if (c == '>')
                    Close();
                else if (IsBlank(c) || c == '/')
                    now = now with { State = HtmlState.InTag };
                else if (now.Element.Length < 60)
                    now = now with { Element = string.Join('|', now.Element.Split('|').Select(e => e + char.ToLowerInvariant(c))) };
                break;
            case HtmlState.InTag or HtmlState.AfterAttribute:
                if (c == '>')
                    Close();
                else if (c == '=' && now.State == HtmlState.AfterAttribute)
                    now = now with { State = HtmlState.BeforeValue };
                else if (c == '/')
                    now = now with { State = HtmlState.InTag };
                else if (!IsBlank(c))
                    now = now with { State = HtmlState.Attribute, Attribute = $"{char.ToLowerInvariant(c)}" };
                break;
            case HtmlState.Attribute:
                if (c == '>')
                    Close();
                else if (c == '=')
                    now = now with { State = HtmlState.BeforeValue };
                else if (IsBlank(c))
                    now = now with { State = HtmlState.AfterAttribute };
                else if (c == '/')
                    now = now with { State = HtmlState.InTag };
                else if (now.Attribute.Length < 40)
                    now = now with { Attribute = now.Attribute + char.ToLowerInvariant(c) };
                break;
            case HtmlState.BeforeValue:
                if (c is '"' or '\'')
                    now = now with
                    {
                        State = c == '"' ? HtmlState.Double : HtmlState.Single,
                        Begun = new AddressStart(true, false),
                        Address = "",
                        Reference = null,
                    };
                else if (c == '>')
                    Close();
                else if (!IsBlank(c))
                    now = now with { State = HtmlState.Unquoted };
                break;
            case HtmlState.Unquoted:
                if (c == '>')
                    Close();
                else if (IsBlank(c))
                    now = now with { State = HtmlState.InTag };
                break;
        }
    }

    // Its end tag ends it, unless a script is written in a comment of the script (WHATWG: script data double escaped state).
    private void ReadCode(char c)
    {
        if (c == '<')
            now = now with { Openings = Math.Min(2, now.Openings + 1) };
        var isNameEnded = IsBlank(c) || c is '/' or '>';
        if (isNameEnded && now.Recent == $"</{now.Element}" && now.Escape < 2)
        {
            // In SVG and MathML browsers read tags in these elements, unless they have left SVG by a tag of HTML.
            var isClear = !now.IsForeign || now.Openings < 2;
            now = now with
            {
                State =
                    !isClear ? HtmlState.Unclear
                    : c == '>' ? HtmlState.Text
                    : HtmlState.InTag,
                IsEnd = true,
                Recent = "",
            };
            return;
        }

        var escape =
            isNameEnded && now.Escape > 0 && now.Element == "script"
                ? now.Recent == "</script"
                    ? 1
                    : now.Recent.EndsWith("<script", StringComparison.Ordinal)
                        ? 2
                        : now.Escape
                : now.Escape;
        var recent = now.Recent + char.ToLowerInvariant(c);
        if (recent.Length > now.Element.Length + 2)
            recent = recent[^(now.Element.Length + 2)..];
        if (recent.EndsWith("-->", StringComparison.Ordinal))
            escape = 0;
        else if (escape == 0 && now.Element == "script" && recent.EndsWith("<!--", StringComparison.Ordinal))
            escape = 1;
        now = now with { Recent = recent, Escape = escape };
    }

    // HTML's own blanks: others belong to names and values.
    private static bool IsBlank(char c) => c is ' ' or '\t' or '\n' or '\f' or '\r';

    private bool ReadQuoted(char c)
    {
        var isEnd = c == (now.State == HtmlState.Double ? '"' : '\'');
        var fault = false;
        if (now.Reference is { } reference)
        {
            if (!isEnd && CharacterReferences.GoesOn(reference, c))
            {
                now = now with { Reference = CharacterReferences.With(reference, c) };
                return false;
            }

            now = now with { Reference = null };
            foreach (var decoded in CharacterReferences.Decode(reference, isEnded: c == ';'))
                fault |= ReadAddress(decoded);
            if (c == ';')
                return fault;
        }

        if (isEnd)
            now = now with { State = HtmlState.InTag };
        else if (c == '&' && now.Begun.IsOpen && Links.Contains(now.Attribute))
            now = now with { Reference = "" };
        else
            fault |= ReadAddress(c);
        return fault;
    }

    private bool ReadAddress(char c)
    {
        if (c <= ' ' || char.IsControl(c))
            return false; // no address has them
        if (now.Address.Length < 20)
            now = now with { Address = now.Address + char.ToLowerInvariant(c) };
        var (isOpen, hasValue) = now.Begun;
        // A character that no scheme contains shows that the address has none. In a refresh, other text precedes the address.
        if (now.Attribute == "content" ? c is '/' or '?' or '#' or ':' : !char.IsAsciiLetterOrDigit(c) && c is not ('+' or '-' or '.'))
            now = now with { Begun = now.Begun with { IsOpen = false } };
        return c == ':' && isOpen && hasValue && Links.Contains(now.Attribute);
    }

    private void Close()
    {
        var elements = now.Element.Split('|');
        var special = now.IsEnd ? [] : elements.Where(e => Codes.Contains(e) || Texts.Contains(e)).ToList();
        now = now with
        {
            Recent = "",
            Openings = 0,
            Escape = 0,
            IsForeign = elements.Any(Foreign.Contains) ? !now.IsEnd : now.IsForeign,
            State =
                special.Count == 0 ? HtmlState.Text
                : special[0] != now.Element ? HtmlState.Unclear
                : Texts.Contains(now.Element) ? HtmlState.TextAlone
                : HtmlState.Code,
        };
    }
}
