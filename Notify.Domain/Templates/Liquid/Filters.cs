namespace Notify.Domain.Templates.Liquid;

using System.Text.RegularExpressions;
using Fluid;
using Fluid.Values;

/// <summary>A filter: its name in templates, and its function of a value and arguments.</summary>
internal sealed record Filter(string Name, Func<FluidValue, FilterArguments, RenderContext, FluidValue> Apply);

/// <summary>
/// The filters that templates have: Liquid's own, without <c>raw</c> (parameters are always encoded in HTML) and without
/// those whose result can be made endless. Each is counted, and checked before it makes something large.
/// </summary>
/// <remarks>
/// None is Fluid's, whose filters differ from Liquid's: they count UTF-16 halves, round half to even, take the sign of the dividend,
/// sort numbers as texts, and read the machine's time zones (Fluid.Core 2.41).
/// </remarks>
internal static partial class Filters
{
    private const int SearchedAtOnce = 4096;

    private static readonly Dictionary<string, Filter> ByName = TextFilters
        .All.Concat(NumberFilters.All)
        .Concat(ListFilters.All)
        .Concat(DateFilters.All)
        .Concat(Makers())
        .ToDictionary(f => f.Name, StringComparer.Ordinal);

    /// <summary>Their names.</summary>
    public static readonly IReadOnlyList<string> Names = [.. ByName.Keys.Order(StringComparer.Ordinal)];

    /// <summary>The options for rendering: these filters, and no access to objects, files or other templates.</summary>
    public static TemplateOptions Options { get; } = Make();

    private static TemplateOptions Make()
    {
        var options = new TemplateOptions
        {
            TimeZone = TimeZoneInfo.Utc,
            Now = () => DateTimeOffset.UnixEpoch,
            MaxRecursion = 100,
        };
        options.Filters.Clear();
        foreach (var filter in ByName.Values)
            options.Filters.AddFilter(filter.Name, Guarded(filter));
        return options;
    }

    // Those that make HTML.
    private static Filter[] Makers() => [new("escape", Escape), new("escape_once", EscapeOnce), new("newline_to_br", BreakLines)];

    private static FilterDelegate Guarded(Filter filter) =>
        (input, arguments, context) =>
        {
            var render = (RenderContext)context;
            render.Spend(1 + render.Weigh(input));
            for (var i = 0; i < arguments.Count; i++)
                render.Spend(1 + render.Weigh(arguments.At(i)));
            CheckGrowth(filter.Name, input, arguments, render);
            var result = filter.Apply(input, arguments, render);
            render.Spend(render.Weigh(result));
            return
                Makes(filter.Name)
                || (
                    result is StringValue { Encode: false }
                    && input is StringValue { Encode: false }
                    && result.ToStringValue() == input.ToStringValue()
                )
                ? result
                : Untrusted(result);
        };

    private static bool Makes(string name) => name is "escape" or "escape_once" or "newline_to_br";

    // Only what encodes may say that its result is encoded: a filter that changes an encoded text can bring back what was encoded.
    private static FluidValue Untrusted(FluidValue value) =>
        value switch
        {
            StringValue { Encode: false } => new StringValue(value.ToStringValue()),
            ArrayValue list when list.Values.Any(v => v is StringValue { Encode: false } or ArrayValue) => new ArrayValue([
                .. list.Values.Select(Untrusted),
            ]),
            _ => value,
        };

    // Liquid's own five characters, which are all that matter in quoted attributes and between tags; elsewhere no value may stand.
    private static FluidValue Escape(FluidValue input, FilterArguments arguments, RenderContext context) =>
        new StringValue(Escapable().Replace(input.ToStringValue(), m => Escaped(m.ValueSpan[0])), encode: false);

    private static FluidValue EscapeOnce(FluidValue input, FilterArguments arguments, RenderContext context) =>
        new StringValue(EscapableOnce().Replace(input.ToStringValue(), m => Escaped(m.ValueSpan[0])), encode: false);

    private static string Escaped(char c) =>
        c switch
        {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '"' => "&quot;",
            _ => "&#39;",
        };

    [GeneratedRegex("[&<>\"']")]
    private static partial Regex Escapable();

    // As Liquid has it (lib/liquid/standardfilters.rb, HTML_ESCAPE_ONCE_REGEXP).
    [GeneratedRegex("[\"><']|&(?!([a-zA-Z]+|(#[0-9]+));)")]
    private static partial Regex EscapableOnce();

    private static void CheckGrowth(string name, FluidValue input, FilterArguments arguments, RenderContext render)
    {
        switch (name)
        {
            case "replace" when arguments.At(0).ToStringValue() is { Length: > 0 } search:
                var text = input.ToStringValue();
                SpendOnSearch(text, search, render);
                var times = 0L;
                for (
                    var i = text.IndexOf(search, StringComparison.Ordinal);
                    i >= 0;
                    i = text.IndexOf(search, i + search.Length, StringComparison.Ordinal)
                )
                    times++;
                if (text.Length + (times * arguments.At(1).ToStringValue().Length) > RenderBudget.ValueLength)
                    throw TooLong();
                break;
            case "replace":
                throw new RenderStopped("replaces the empty text");
            case "remove" or "remove_first" or "remove_last" or "replace_first" or "replace_last" or "split":
                SpendOnSearch(input.ToStringValue(), arguments.At(0).ToStringValue(), render);
                break;
            case "join" when input is ArrayValue list:
                if (render.Weigh(list) + ((long)list.Values.Count * arguments.At(0).ToStringValue().Length) > 2 * RenderBudget.ValueLength)
                    throw TooLong();
                break;
            case "date":
                // strftime pads to any width.
                var format = arguments.At(0).ToStringValue();
                if (format.Length > 200 || Wide().IsMatch(format))
                    throw new RenderStopped("writes a date in a format of more than 200 characters, or with a width of three digits");
                break;
        }
    }

    /// <summary>Counts a search; one for a text of one repeated letter reads each position as far as the searched text is long.</summary>
    public static void SpendOnSearch(string text, string search, RenderContext render) =>
        render.Spend((long)text.Length * search.Length / SearchedAtOnce);

    [GeneratedRegex("%[-_0^#:]*[1-9][0-9][0-9]")]
    private static partial Regex Wide();

    private static RenderStopped TooLong() => RenderStopped.Budget($"makes a value of more than {RenderBudget.ValueLength:N0} characters");

    private static FluidValue BreakLines(FluidValue input, FilterArguments arguments, RenderContext context)
    {
        if (!context.Html)
            return input;
        var text = input.ToStringValue();
        var encoded = input is StringValue { Encode: false }
            ? text
            : string.Join('\n', text.ReplaceLineEndings("\n").Split('\n').Select(Output.Encoder.Encode));
        return new StringValue(encoded.ReplaceLineEndings("<br />\n"), encode: false);
    }
}
