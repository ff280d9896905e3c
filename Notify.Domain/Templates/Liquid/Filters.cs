using Fluid;
using Fluid.Values;

namespace Notify.Domain.Templates.Liquid;

/// <summary>
/// The filters that templates have: Liquid's own, without <c>raw</c> (parameters are always encoded in HTML) and without
/// those whose result can be made endless. Each is counted, and checked before it makes something large.
/// </summary>
internal static class Filters
{
    /// <summary>Their names.</summary>
    public static readonly IReadOnlyList<string> Names =
    [
        "abs", "append", "at_least", "at_most", "capitalize", "ceil", "compact", "concat", "date", "default", "divided_by", "downcase", "escape", "escape_once", "find", "first",
        "floor", "has", "join", "last", "lstrip", "map", "minus", "modulo", "newline_to_br", "plus", "prepend", "reject", "remove", "remove_first", "remove_last", "replace",
        "replace_first", "replace_last", "reverse", "round", "rstrip", "size", "slice", "sort", "sort_natural", "split", "strip", "strip_html", "strip_newlines", "sum",
        "time_zone", "times", "truncate", "truncatewords", "uniq", "upcase", "url_decode", "url_encode", "where",
    ];

    // Those that make HTML; ours, so that there is one encoding.
    private static readonly string[] Makers = ["escape", "escape_once", "newline_to_br"];

    /// <summary>What templates are rendered with: these filters, and no object, file or template to reach.</summary>
    public static TemplateOptions Options { get; } = Make();

    private static TemplateOptions Make()
    {
        var options = new TemplateOptions { TimeZone = TimeZoneInfo.Utc, Now = () => DateTimeOffset.UnixEpoch, MaxRecursion = 100 };
        var all = new TemplateOptions().Filters;
        options.Filters.Clear();
        foreach (var name in Names)
        {
            if (!Makers.Contains(name) && all.TryGetValue(name, out var filter)) options.Filters.AddFilter(name, Guarded(name, filter));
        }

        options.Filters.AddFilter("escape", Guarded("escape", Escape));
        options.Filters.AddFilter("escape_once", Guarded("escape_once", EscapeOnce));
        options.Filters.AddFilter("newline_to_br", Guarded("newline_to_br", BreakLines));
        return options;
    }

    private static FilterDelegate Guarded(string name, FilterDelegate filter) => async (input, arguments, context) =>
    {
        var render = (RenderContext)context;
        render.Spend(1 + render.Weigh(input));
        for (var i = 0; i < arguments.Count; i++) render.Spend(1 + render.Weigh(arguments.At(i)));
        CheckGrowth(name, input, arguments, render);
        var result = await filter(input, arguments, context);
        render.Spend(render.Weigh(result));
        return Makers.Contains(name) || (result is StringValue { Encode: false } && input is StringValue { Encode: false } && result.ToStringValue() == input.ToStringValue()) ? result : Untrusted(result);
    };

    // Only what encodes may say that its result is encoded: a filter that changes an encoded text can bring back what was encoded.
    private static FluidValue Untrusted(FluidValue value) => value switch
    {
        StringValue { Encode: false } => new StringValue(value.ToStringValue()),
        ArrayValue list when list.Values.Any(v => v is StringValue { Encode: false } or ArrayValue) => new ArrayValue([.. list.Values.Select(Untrusted)]),
        _ => value,
    };

    private static ValueTask<FluidValue> Escape(FluidValue input, FilterArguments arguments, TemplateContext context) => new StringValue(Output.Encoder.Encode(input.ToStringValue()), encode: false);

    private static ValueTask<FluidValue> EscapeOnce(FluidValue input, FilterArguments arguments, TemplateContext context) =>
        new StringValue(Output.Encoder.Encode(System.Net.WebUtility.HtmlDecode(input.ToStringValue())), encode: false);

    private static void CheckGrowth(string name, FluidValue input, FilterArguments arguments, RenderContext render)
    {
        switch (name)
        {
            case "replace" when arguments.At(0).ToStringValue() is { Length: > 0 } search:
                var text = input.ToStringValue();
                var times = 0L;
                for (var i = text.IndexOf(search, StringComparison.Ordinal); i >= 0; i = text.IndexOf(search, i + search.Length, StringComparison.Ordinal)) times++;
                if (text.Length + (times * arguments.At(1).ToStringValue().Length) > RenderBudget.ValueLength) throw TooLong();
                break;
            case "replace":
                throw new RenderStopped("replaces the empty text");
            case "join" when input is ArrayValue list:
                if (render.Weigh(list) + ((long)list.Values.Count * arguments.At(0).ToStringValue().Length) > 2 * RenderBudget.ValueLength) throw TooLong();
                break;
            case "date":
                // strftime pads to any width.
                var format = arguments.At(0).ToStringValue();
                if (format.Length > 200 || format.Where((c, i) => i > 1 && char.IsAsciiDigit(c) && char.IsAsciiDigit(format[i - 1]) && char.IsAsciiDigit(format[i - 2])).Any())
                    throw new RenderStopped("writes a date in a format of more than 200 characters, or with a width of three digits");
                break;
            case "round" or "times" or "plus" or "minus" when arguments.Count > 0 && Math.Abs(arguments.At(0).ToNumberValue()) > 1_000_000_000_000_000m:
                throw new RenderStopped("counts beyond 1,000,000,000,000,000");
        }
    }

    private static RenderStopped TooLong() => RenderStopped.Budget($"makes a value of more than {RenderBudget.ValueLength:N0} characters");

    private static ValueTask<FluidValue> BreakLines(FluidValue input, FilterArguments arguments, TemplateContext context)
    {
        if (!((RenderContext)context).Html) return input;
        var text = input.ToStringValue();
        var encoded = input is StringValue { Encode: false } ? text : string.Join('\n', text.ReplaceLineEndings("\n").Split('\n').Select(Output.Encoder.Encode));
        return new StringValue(encoded.ReplaceLineEndings("<br />\n"), encode: false);
    }
}
