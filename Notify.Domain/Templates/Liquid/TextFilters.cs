namespace Notify.Domain.Templates.Liquid;

using System.Globalization;
using System.Net;
using System.Text;
using System.Text.RegularExpressions;
using Fluid;
using Fluid.Values;

/// <summary>The filters for texts, by characters of Unicode.</summary>
/// <remarks>
/// Shopify: Liquid reference, filters; its own implementation (lib/liquid/standardfilters.rb) where the reference is silent.
/// </remarks>
internal static partial class TextFilters
{
    private const string Ellipsis = "...";

    // Ruby's whitespace. Others, such as no-break and ideographic blanks, stay.
    private static readonly char[] Blanks = ['\0', '\t', '\n', '\v', '\f', '\r', ' '];

    // Throws where it is not UTF-8.
    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>The filters.</summary>
    public static IEnumerable<Filter> All =>
        [
            new("append", (input, given, _) => Text(input.ToStringValue() + Given(given, 0))),
            new("prepend", (input, given, _) => Text(Given(given, 0) + input.ToStringValue())),
            new("capitalize", (input, _, _) => Text(Characters.Capitalized(input.ToStringValue()))),
            new("downcase", (input, _, _) => Text(Characters.Lower(input.ToStringValue()))),
            new("upcase", (input, _, _) => Text(Characters.Upper(input.ToStringValue()))),
            new("strip", (input, _, _) => Changed(input, input.ToStringValue().Trim(Blanks))),
            new("lstrip", (input, _, _) => Changed(input, input.ToStringValue().TrimStart(Blanks))),
            new("rstrip", (input, _, _) => Changed(input, input.ToStringValue().TrimEnd(Blanks))),
            new(
                "strip_newlines",
                (input, _, _) =>
                    Changed(
                        input,
                        input.ToStringValue().Replace("\r\n", "", StringComparison.Ordinal).Replace("\n", "", StringComparison.Ordinal)
                    )
            ),
            new("strip_html", (input, _, _) => Text(Tag().Replace(Block().Replace(input.ToStringValue(), ""), ""))),
            new(
                "remove",
                (input, given, _) =>
                    Changed(
                        input,
                        Given(given, 0) is { Length: > 0 } search
                            ? input.ToStringValue().Replace(search, "", StringComparison.Ordinal)
                            : input.ToStringValue()
                    )
            ),
            new("remove_first", (input, given, _) => ReplaceAt(input, Given(given, 0), "", isLast: false)),
            new("remove_last", (input, given, _) => ReplaceAt(input, Given(given, 0), "", isLast: true)),
            new(
                "replace",
                (input, given, _) =>
                    Changed(input, input.ToStringValue().Replace(Given(given, 0), Given(given, 1), StringComparison.Ordinal))
            ),
            new("replace_first", (input, given, _) => ReplaceAt(input, Given(given, 0), Given(given, 1), isLast: false)),
            new("replace_last", (input, given, _) => ReplaceAt(input, Given(given, 0), Given(given, 1), isLast: true)),
            new("slice", Slice),
            new("split", (input, given, _) => new ArrayValue([.. Split(input.ToStringValue(), Given(given, 0)).Select(Text)])),
            new("truncate", Truncate),
            new("truncatewords", TruncateWords),
            new(
                "url_encode",
                (input, _, _) => Text(Uri.EscapeDataString(input.ToStringValue()).Replace("%20", "+", StringComparison.Ordinal))
            ),
            new("url_decode", (input, _, _) => Text(UrlDecode(input.ToStringValue()))),
        ];

    /// <summary>A text as a value; it will be encoded where it is written into HTML.</summary>
    public static FluidValue Text(string text) => new StringValue(text);

    /// <summary>A whole number among a filter's arguments.</summary>
    public static int Whole(FluidValue value, string filter)
    {
        if (value is NumberValue number && number.ToNumberValue() is { Scale: 0 } whole)
            return (int)decimal.Clamp(whole, int.MinValue, int.MaxValue);
        return long.TryParse(
            value is StringValue ? value.ToStringValue() : "",
            NumberStyles.Integer,
            CultureInfo.InvariantCulture,
            out var read
        )
            ? (int)Math.Clamp(read, int.MinValue, int.MaxValue)
            : throw new RenderStopped($"gives the filter {filter} what is no whole number");
    }

    private static string Given(FilterArguments given, int index) => given.At(index).ToStringValue();

    // A filter that changes nothing returns its input, so that encoded text stays marked as encoded.
    private static FluidValue Changed(FluidValue input, string text) =>
        input is StringValue && input.ToStringValue() == text ? input : Text(text);

    private static FluidValue ReplaceAt(FluidValue input, string search, string replacement, bool isLast)
    {
        var text = input.ToStringValue();
        var at = isLast ? text.LastIndexOf(search, StringComparison.Ordinal) : text.IndexOf(search, StringComparison.Ordinal);
        return at < 0 ? Changed(input, text) : Text(string.Concat(text.AsSpan(0, at), replacement, text.AsSpan(at + search.Length)));
    }

    private static FluidValue Slice(FluidValue input, FilterArguments given, RenderContext context)
    {
        var (offset, length) = (Whole(given.At(0), "slice"), given.At(1).IsNil() ? 1 : Whole(given.At(1), "slice"));
        if (input is ArrayValue list)
            return Range(list.Values.Count, offset, length) is var (first, count)
                ? new ArrayValue([.. list.Values.Skip(first).Take(count)])
                : ArrayValue.Empty;
        var text = input.ToStringValue();
        if (Range(Characters.Count(text), offset, length) is not var (start, taken))
            return StringValue.Empty;
        var from = Characters.IndexOf(text, start);
        return Changed(input, text.Substring(from, Characters.IndexOf(text[from..], taken)));
    }

    private static (int First, int Count)? Range(int size, int offset, int length)
    {
        var first = offset < 0 ? offset + size : offset;
        return first < 0 || first > size || length < 0 ? null : (first, Math.Min(length, size - first));
    }

    // As Ruby: a blank divides at any number of blanks, nothing divides every character, and no empty text is at the end.
    private static IEnumerable<string> Split(string text, string separator)
    {
        if (separator.Length == 0)
            return Characters.Of(text);
        if (separator == " ")
            return text.Split(Blanks, StringSplitOptions.RemoveEmptyEntries);
        var parts = text.Split(separator);
        var count = parts.Length;
        while (count > 0 && parts[count - 1].Length == 0)
            count--;
        return parts.Take(count);
    }

    private static FluidValue Truncate(FluidValue input, FilterArguments given, RenderContext context)
    {
        if (input.IsNil())
            return input;
        var length = given.Count == 0 ? 50 : Whole(given.At(0), "truncate");
        var (text, ellipsis) = (input.ToStringValue(), given.Count < 2 ? Ellipsis : Given(given, 1));
        if (Characters.Count(text) <= length)
            return Changed(input, text);
        return Text(text[..Characters.IndexOf(text, Math.Max(0, length - Characters.Count(ellipsis)))] + ellipsis);
    }

    private static FluidValue TruncateWords(FluidValue input, FilterArguments given, RenderContext context)
    {
        if (input.IsNil())
            return input;
        var words = Math.Max(1, given.Count == 0 ? 15 : Whole(given.At(0), "truncatewords"));
        var all = input.ToStringValue().Split(Blanks, StringSplitOptions.RemoveEmptyEntries);
        return all.Length <= words
            ? Changed(input, input.ToStringValue())
            : Text(string.Join(' ', all, 0, words) + (given.Count < 2 ? Ellipsis : Given(given, 1)));
    }

    private static string UrlDecode(string text)
    {
        try
        {
            return Strict.GetString(WebUtility.UrlDecodeToBytes(Encoding.UTF8.GetBytes(text), 0, Encoding.UTF8.GetByteCount(text))!);
        }
        catch (ArgumentException)
        {
            throw new RenderStopped("decodes what is no UTF-8");
        }
    }

    // Without backtracking: time stays in proportion to the text.
    [GeneratedRegex(
        "<script.*?</script>|<!--.*?-->|<style.*?</style>",
        RegexOptions.Singleline | RegexOptions.IgnoreCase | RegexOptions.CultureInvariant | RegexOptions.NonBacktracking
    )]
    private static partial Regex Block();

    [GeneratedRegex("<.*?>", RegexOptions.Singleline | RegexOptions.NonBacktracking)]
    private static partial Regex Tag();
}
