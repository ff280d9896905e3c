namespace Notify.Domain.Templates.Liquid;

using System.Globalization;
using System.Text;
using Fluid;
using Fluid.Ast;
using Fluid.Values;
using ICU4N;

/// <summary>Texts as Liquid counts them: by characters of Unicode, of which some take two of .NET's.</summary>
internal static class Characters
{
    /// <summary>How many characters a text has.</summary>
    public static int Count(string text)
    {
        var count = text.Length;
        for (var i = text.AsSpan().IndexOfAnyInRange('\uD800', '\uDBFF'); i >= 0 && i < text.Length - 1; i++)
            if (char.IsSurrogatePair(text[i], text[i + 1]))
                count--;
        return count;
    }

    /// <summary>Where the character begins that a number of others precede; the end of the text, where there are no more.</summary>
    public static int IndexOf(string text, int characters)
    {
        var at = 0;
        for (; characters > 0 && at < text.Length; characters--)
            at = Next(text, at);
        return at;
    }

    /// <summary>Where the character after the one at a place begins.</summary>
    public static int Next(string text, int at) => at + 1 < text.Length && char.IsSurrogatePair(text[at], text[at + 1]) ? at + 2 : at + 1;

    /// <summary>Each character of a text.</summary>
    public static IEnumerable<string> Of(string text)
    {
        for (var at = 0; at < text.Length; )
        {
            var next = Next(text, at);
            yield return text[at..next];
            at = next;
        }
    }

    /// <summary>A text in capitals, as Unicode has them: one letter may become several.</summary>
    /// <remarks>The Unicode Standard, 3.13 Default Case Algorithms, with SpecialCasing.txt; .NET maps one letter to one.</remarks>
    public static string Upper(string text) =>
        (Ascii.IsValid(text) ? text : UChar.ToUpper(CultureInfo.InvariantCulture, text)).ToUpperInvariant();

    /// <summary>A text in small letters. As in Ruby each letter stands for itself: a sigma at a word's end is no other.</summary>
    public static string Lower(string text) =>
        (Ascii.IsValid(text) ? text : text.Replace("\u0130", "i\u0307", StringComparison.Ordinal)).ToLowerInvariant();

    /// <summary>A text whose first letter is a capital and whose others are small.</summary>
    public static string Capitalized(string text)
    {
        if (text.Length == 0)
            return text;
        var first = text[..Next(text, 0)];
        var upper = Upper(first);
        var title =
            upper.Length > first.Length ? upper[..Next(upper, 0)] + Lower(upper[Next(upper, 0)..])
            : Rune.TryGetRuneAt(first, 0, out var rune) && UChar.ToTitleCase(rune.Value) is var c && c != rune.Value
                ? char.ConvertFromUtf32(c)
            : upper;
        return title + Lower(text[first.Length..]);
    }

    /// <summary>Compares texts by their characters' numbers, as Ruby does.</summary>
    public static int Compare(string one, string other)
    {
        for (var i = 0; i < one.Length && i < other.Length; i++)
        {
            if (one[i] == other[i])
                continue;
            // A character beyond the basic plane sorts after all of that plane; its surrogates alone would not.
            var (isHigh, isOtherHigh) = (char.IsSurrogate(one[i]), char.IsSurrogate(other[i]));
            return isHigh == isOtherHigh ? one[i].CompareTo(other[i])
                : isHigh ? 1
                : -1;
        }

        return one.Length.CompareTo(other.Length);
    }
}

/// <summary>The member <c>size</c>, <c>first</c> or <c>last</c>, which a text has by its characters.</summary>
internal sealed class CharacterSegment(string name) : MemberSegment
{
    private readonly IdentifierSegment inner = new(name);

    /// <inheritdoc />
    public override ValueTask<FluidValue> ResolveAsync(FluidValue value, TemplateContext context)
    {
        if (value is not StringValue text)
            return inner.ResolveAsync(value, context);
        ((RenderContext)context).Spend(text.ToStringValue().Length);
        return name switch
        {
            "size" => NumberValue.Create(Characters.Count(text.ToStringValue())),
            "first" => ListFilters.First(text),
            _ => ListFilters.Last(text),
        };
    }
}

/// <summary>An item by its number, which counts from the end where it is below 0, or a member by its name.</summary>
internal sealed class ItemSegment(Expression index) : MemberSegment
{
    /// <inheritdoc />
    public override async ValueTask<FluidValue> ResolveAsync(FluidValue value, TemplateContext context)
    {
        var which = await index.EvaluateAsync(context);
        if (value is ArrayValue list && which is NumberValue && which.ToNumberValue() is < 0 and >= int.MinValue and var fromEnd)
            which = NumberValue.Create(list.Values.Count + decimal.Truncate(fromEnd));
        return await new IndexerSegment(new LiteralExpression(which)).ResolveAsync(value, context);
    }
}
