namespace Notify.Domain.Templates.Liquid;

/// <summary>The part of HTML that the next character belongs to.</summary>
internal enum HtmlState
{
    Text,
    TagOpen,
    Name,
    InTag,
    Attribute,
    AfterAttribute,
    BeforeValue,
    Unquoted,
    Double,
    Single,
    Code,

    /// <summary>A declaration, or the beginning or end of a conditional comment: until the next <c>&gt;</c>.</summary>
    Comment,

    /// <summary>A comment: until <c>--&gt;</c>.</summary>
    Remark,

    /// <summary>An element whose content is text without tags.</summary>
    TextAlone,

    /// <summary>Conditions decide it.</summary>
    Unclear,
}

/// <summary>A place in HTML, as far as it was read.</summary>
/// <param name="Element">The element's name in small letters; where conditions decide it, each that it may be, divided by <c>|</c>.</param>
/// <param name="Attribute">The attribute's name in small letters.</param>
/// <param name="Recent">The last characters inside code or a comment, as far as they may belong to its end.</param>
/// <param name="Address">The beginning of an attribute's value, with its character references decoded and without blanks.</param>
/// <param name="Reference">The part of a character reference read after its <c>&amp;</c>; <c>null</c> outside of one.</param>
/// <param name="IsEnd">Whether the tag is an end tag.</param>
/// <param name="Begun">The possible preceding text of the address that is read.</param>
/// <param name="IsForeign">Whether it is in SVG or MathML.</param>
/// <param name="Openings">How many <c>&lt;</c> there were inside code or text alone, up to 2.</param>
/// <param name="Escape">In a script: 1 in a comment of it, 2 in a script in that comment.</param>
/// <param name="Hidden">Inside a conditional comment the last characters as far as they may end it; <c>null</c> outside of one.</param>
internal readonly record struct HtmlPosition(
    HtmlState State,
    string Element,
    string Attribute,
    string Recent,
    string Address,
    string? Reference,
    bool IsEnd,
    AddressStart Begun,
    bool IsForeign = false,
    int Openings = 0,
    int Escape = 0,
    string? Hidden = null
)
{
    /// <summary>The beginning of a text.</summary>
    public static readonly HtmlPosition Start = new(HtmlState.Text, "", "", "", "", null, false, default);

    /// <summary>The name of an attribute that conditions decide.</summary>
    public const string Unclear = "?";

    /// <summary>Whether it is in the quoted value of an attribute.</summary>
    public bool IsQuoted => State is HtmlState.Double or HtmlState.Single;

    private bool IsBetweenTags => State == HtmlState.Text;

    private bool IsInTag => State is HtmlState.Name or HtmlState.InTag or HtmlState.Attribute or HtmlState.AfterAttribute;

    /// <summary>Where two ways through a block lead together.</summary>
    public HtmlPosition Or(HtmlPosition other)
    {
        if (this == other)
            return this;
        var elements = Element == other.Element ? Element : string.Join('|', Element.Split('|').Union(other.Element.Split('|')));
        if (Hidden is null != other.Hidden is null)
            return this with { State = HtmlState.Unclear };
        if (IsBetweenTags && other.IsBetweenTags)
            return this with { IsForeign = IsForeign || other.IsForeign };
        if (IsInTag && other.IsInTag && (State != HtmlState.Name || other.State != HtmlState.Name))
            return this with { State = HtmlState.AfterAttribute, Attribute = Unclear, Element = elements };
        if (State != other.State || IsEnd != other.IsEnd)
            return this with { State = HtmlState.Unclear };
        if (State is HtmlState.Code or HtmlState.TextAlone && Element != other.Element)
            return this with { State = HtmlState.Unclear };
        return this with
        {
            Element = elements,
            Attribute = Attribute == other.Attribute ? Attribute : Unclear,
            Address = Address.Contains(':', StringComparison.Ordinal) ? Address : other.Address,
            Reference = Reference ?? other.Reference,
            Begun = Begun.Or(other.Begun),
            Recent = Recent.Length >= other.Recent.Length ? Recent : other.Recent,
            IsForeign = IsForeign || other.IsForeign,
            Openings = Math.Max(Openings, other.Openings),
            Escape = Math.Max(Escape, other.Escape),
        };
    }

    /// <summary>Whether a loop may begin again here that began there: a value is then written into the same.</summary>
    public bool BeginsAgain(HtmlPosition first) =>
        (IsBetweenTags && first.IsBetweenTags)
        || (IsInTag && first.IsInTag)
        || (
            State == first.State
            && (!IsQuoted || Attribute == first.Attribute)
            && (State is not (HtmlState.Code or HtmlState.TextAlone or HtmlState.Double or HtmlState.Single) || Element == first.Element)
        );
}

/// <summary>Finds the end of a comment.</summary>
/// <remarks>WHATWG: HTML, 13.2.5.43 to 13.2.5.52: <c>--&gt;</c>, <c>--!&gt;</c>, and a <c>&gt;</c> at its very beginning.</remarks>
internal static class Comments
{
    /// <summary>The last characters where a comment has just begun.</summary>
    public const string Start = "<!--";

    /// <summary>The last characters after one more; <c>null</c>: it ends the comment.</summary>
    public static string? Next(string recent, char c) =>
        (recent, c) switch
        {
            (Start or "<!---" or "--" or "--!", '>') => null,
            (Start, '-') => "<!---",
            ("<!---" or "-" or "--", '-') => "--",
            ("--", '!') => "--!",
            (_, '-') => "-",
            _ => "",
        };
}

/// <summary>The character references of HTML that can occur in a scheme, end it, or are ignored in it.</summary>
/// <remarks>WHATWG: HTML, 13.5 Named character references. All others are characters that no scheme has.</remarks>
internal static class CharacterReferences
{
    private static readonly Dictionary<string, string> Named = new(StringComparer.Ordinal)
    {
        ["colon"] = ":",
        ["sol"] = "/",
        ["bsol"] = "\\",
        ["quest"] = "?",
        ["num"] = "#",
        ["Tab"] = "\t",
        ["NewLine"] = "\n",
        ["period"] = ".",
        ["plus"] = "+",
        ["fjlig"] = "fj",
    };

    /// <summary>Whether a character belongs to a reference of which some were read.</summary>
    public static bool GoesOn(string reference, char c) =>
        reference switch
        {
            "" => c == '#' || char.IsAsciiLetterOrDigit(c),
            "#" => c is 'x' or 'X' || char.IsAsciiDigit(c),
            ['#', 'x' or 'X', ..] => char.IsAsciiHexDigit(c),
            ['#', ..] => char.IsAsciiDigit(c),
            _ => char.IsAsciiLetterOrDigit(c),
        };

    /// <summary>Appends a character to a reference; leading zeros and characters past any reference are dropped.</summary>
    public static string With(string reference, char c) =>
        reference switch
        {
            { Length: >= 33 } => reference,
            "#0" or "#x0" or "#X0" when c == '0' => reference,
            _ => reference + c,
        };

    /// <summary>Decodes a character reference, given the text between its <c>&amp;</c> and its end.</summary>
    /// <param name="isEnded">Whether a semicolon ends it; a number needs none.</param>
    public static string Decode(string reference, bool isEnded)
    {
        if (reference is not ['#', ..])
            return isEnded ? Named.GetValueOrDefault(reference, "&") : "&";
        var isHex = reference is [_, 'x' or 'X', ..];
        var style = isHex ? System.Globalization.NumberStyles.AllowHexSpecifier : System.Globalization.NumberStyles.None;
        return
            int.TryParse(reference.AsSpan(isHex ? 2 : 1), style, System.Globalization.CultureInfo.InvariantCulture, out var number)
            && System.Text.Rune.IsValid(number)
            && number > 0
            ? char.ConvertFromUtf32(number)
            : "\uFFFD";
    }
}
