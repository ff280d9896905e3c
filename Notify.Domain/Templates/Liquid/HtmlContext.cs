namespace Notify.Domain.Templates.Liquid;

/// <summary>What may stand before the next character of an attribute that is an address.</summary>
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
internal sealed class HtmlContext
{
    private enum State { Text, TagOpen, Name, InTag, Attribute, AfterAttribute, BeforeValue, Unquoted, Double, Single, Comment, Code }

    private static readonly HashSet<string> Codes = ["script", "style", "xmp", "iframe", "noembed", "noframes", "noscript", "plaintext"];
    private static readonly HashSet<string> Links = ["href", "src", "action", "formaction", "background", "cite", "poster", "data", "longdesc", "xlink:href", "srcset", "ping", "content", "lowsrc", "dynsrc"];

    private State state = State.Text;
    private string element = "", attribute = "", recent = "", address = "";
    private bool isEnd;
    private char before;

    /// <summary>What may stand before in the address that is read. Where there are several ways to get here, it holds for each of them.</summary>
    public AddressStart Start { get; set; }

    /// <summary>Reads the template's own text.</summary>
    /// <returns>Where in it a colon makes a scheme of the value before it; <c>null</c>: nowhere.</returns>
    public int? Read(ReadOnlySpan<char> text)
    {
        int? fault = null;
        for (var i = 0; i < text.Length; i++)
        {
            if (EndsScheme(text[i])) fault ??= i;
            Read(text[i]);
        }

        return fault;
    }

    /// <summary>A block begins here that is carried out any number of times: what it writes at its end may stand before its beginning.</summary>
    public void BeginLoop() => Start = Start with { HasValue = true };

    /// <summary>A value is written here.</summary>
    /// <returns>How, or why it must not be.</returns>
    public (HtmlPlace Place, string? Fault) Write()
    {
        switch (state)
        {
            case State.Text or State.Comment:
                return (HtmlPlace.Plain, null);
            case State.Code:
                return (HtmlPlace.Plain, $"stands inside <{element}>, where encoding does not protect; write values only between tags and in quoted attributes");
            case State.Double or State.Single:
                if (attribute.StartsWith("on", StringComparison.Ordinal) || attribute == "srcdoc")
                    return (HtmlPlace.Plain, $"stands in the attribute {attribute}, which is code; write values only between tags and in other quoted attributes");
                if (attribute == "style") return (HtmlPlace.Style, null);
                if (!Links.Contains(attribute)) return (HtmlPlace.Plain, null);
                return address.StartsWith("javascript:", StringComparison.Ordinal) || address.StartsWith("vbscript:", StringComparison.Ordinal) || address.StartsWith("data:", StringComparison.Ordinal)
                    ? (HtmlPlace.Link, $"stands in the attribute {attribute} after {address[..(address.IndexOf(':', StringComparison.Ordinal) + 1)]}, which is code; let links lead to https addresses")
                    : (OfAddress(), null);
            case State.BeforeValue or State.Unquoted:
                return (HtmlPlace.Plain, $"stands in the attribute {attribute} without quotes; put the attribute's value in quotes");
            default:
                return (HtmlPlace.Plain, "stands inside a tag, but not in the quoted value of an attribute; write values only between tags and in quoted attributes");
        }
    }

    private HtmlPlace OfAddress()
    {
        if (!Start.IsOpen) return HtmlPlace.Plain;
        (Start, before) = (Start with { HasValue = true }, default);
        return HtmlPlace.Link;
    }

    private bool EndsScheme(char c) =>
        state is State.Double or State.Single && Start is { IsOpen: true, HasValue: true } && Links.Contains(attribute) && (c == ':' || (c == '#' && before == '&'));

    private void Read(char c)
    {
        switch (state)
        {
            case State.Text:
                if (c == '<') (state, isEnd) = (State.TagOpen, false);
                break;
            case State.TagOpen:
                if (char.IsAsciiLetter(c)) (state, element) = (State.Name, $"{char.ToLowerInvariant(c)}");
                else if (c == '/' && !isEnd) isEnd = true;
                else state = c == '!' ? State.Comment : State.Text;
                break;
            case State.Name:
                if (c == '>') Close();
                else if (char.IsWhiteSpace(c) || c == '/') state = State.InTag;
                else if (element.Length < 20) element += char.ToLowerInvariant(c);
                break;
            case State.InTag or State.AfterAttribute:
                if (c == '>') Close();
                else if (c == '=' && state == State.AfterAttribute) state = State.BeforeValue;
                else if (!char.IsWhiteSpace(c) && c != '/') (state, attribute) = (State.Attribute, $"{char.ToLowerInvariant(c)}");
                break;
            case State.Attribute:
                if (c == '>') Close();
                else if (c == '=') state = State.BeforeValue;
                else if (char.IsWhiteSpace(c)) state = State.AfterAttribute;
                else if (c == '/') state = State.InTag;
                else if (attribute.Length < 40) attribute += char.ToLowerInvariant(c);
                break;
            case State.BeforeValue:
                if (c is '"' or '\'') (state, Start, address, before) = (c == '"' ? State.Double : State.Single, new AddressStart(true, false), "", default);
                else if (c == '>') Close();
                else if (!char.IsWhiteSpace(c)) state = State.Unquoted;
                break;
            case State.Unquoted:
                if (c == '>') Close();
                else if (char.IsWhiteSpace(c)) state = State.InTag;
                break;
            case State.Double or State.Single:
                if (c == (state == State.Double ? '"' : '\'')) state = State.InTag;
                // What can be no part of a scheme.
                else if (c is '/' or '?' or ':' || (c == '#' && before != '&')) Start = Start with { IsOpen = false };
                before = c;
                if (address.Length < 20 && !char.IsWhiteSpace(c) && !char.IsControl(c)) address += char.ToLowerInvariant(c);
                break;
            case State.Comment:
                // Of a conditional comment the programs that it is meant for read the inside; it begins and ends as a tag does.
                if (c == '>') state = State.Text;
                break;
            case State.Code:
                recent = recent.Length <= element.Length + 1 ? recent + char.ToLowerInvariant(c) : string.Concat(recent.AsSpan(1), [char.ToLowerInvariant(c)]);
                if (recent == $"</{element}") (state, isEnd) = (State.Name, true);
                break;
        }
    }

    private void Close() => (state, recent) = (!isEnd && Codes.Contains(element) ? State.Code : State.Text, "");
}
