namespace Notify.Domain.Templates.Liquid;

using Fluid;
using Fluid.Values;

/// <summary>The filters for lists. Lists within lists count as one list; a value that is no list is a list of one.</summary>
/// <remarks>
/// Shopify: Liquid reference, filters; its own implementation (lib/liquid/standardfilters.rb) where the reference is silent.
/// </remarks>
internal static class ListFilters
{
    // In units of the budget: a comparison takes as long as some filters need for so many characters.
    private const int CostOfComparison = 4,
        CharactersAtOnce = 16;

    /// <summary>The filters.</summary>
    public static IEnumerable<Filter> All =>
        [
            new("compact", (input, given, _) => List(Items(input).Where(i => !(given.At(0).IsNil() ? i : Member(i, given.At(0))).IsNil()))),
            new(
                "concat",
                (input, given, _) =>
                    given.At(0) is ArrayValue more
                        ? List(Items(input).Concat(more.Values))
                        : throw new RenderStopped("joins a list to what is none")
            ),
            new("default", Default),
            new(
                "find",
                (input, given, context) =>
                    Matching(input, given, context) is { } found
                        ? found.FirstOrDefault(i => i.Matches).Item ?? NilValue.Instance
                        : NilValue.Instance
            ),
            new("first", (input, _, _) => First(input)),
            new(
                "has",
                (input, given, context) =>
                    Matching(input, given, context) is { } found && found.Any(i => i.Matches) ? BooleanValue.True : BooleanValue.False
            ),
            new(
                "join",
                (input, given, _) =>
                    TextFilters.Text(
                        string.Join(given.Count == 0 ? " " : given.At(0).ToStringValue(), Items(input).Select(i => i.ToStringValue()))
                    )
            ),
            new("last", (input, _, _) => Last(input)),
            new("map", (input, given, _) => List(Items(input).Select(i => Member(i, given.At(0))))),
            new(
                "reject",
                (input, given, context) =>
                    Matching(input, given, context) is { } found
                        ? List(found.Where(i => !i.Matches).Select(i => i.Item))
                        : NilValue.Instance
            ),
            new("reverse", (input, _, _) => List(Items(input).Reverse())),
            new("size", (input, _, _) => NumberValue.Create(Size(input))),
            new("sort", (input, given, context) => Sorted(input, given.At(0), i => i, Compare, context)),
            new("sort_natural", (input, given, context) => Sorted(input, given.At(0), Folded, CompareNaturally, context)),
            new(
                "sum",
                (input, given, _) =>
                    NumberFilters.Value(Items(input).Sum(i => NumberFilters.Number(given.At(0).IsNil() ? i : Member(i, given.At(0)))))
            ),
            new(
                "uniq",
                (input, given, _) =>
                    List(given.At(0).IsNil() ? Items(input).Distinct() : Items(input).DistinctBy(i => Member(i, given.At(0))))
            ),
            new(
                "where",
                (input, given, context) =>
                    Matching(input, given, context) is { } found ? List(found.Where(i => i.Matches).Select(i => i.Item)) : NilValue.Instance
            ),
        ];

    /// <summary>The first item of a list, the first character of a text.</summary>
    public static FluidValue First(FluidValue value) =>
        value switch
        {
            ArrayValue list => list.Values.Count > 0 ? list.Values[0] : NilValue.Instance,
            StringValue => TextFilters.Text(value.ToStringValue()[..Characters.IndexOf(value.ToStringValue(), 1)]),
            DictionaryValue members
                when members.ToObjectValue() is IFluidIndexable { Count: > 0 } all
                    && all.Keys.First() is var name
                    && all.TryGetValue(name, out var member) => new ArrayValue([new StringValue(name), member]),
            _ => NilValue.Instance,
        };

    /// <summary>The last item of a list, the last character of a text.</summary>
    public static FluidValue Last(FluidValue value)
    {
        if (value is ArrayValue list)
            return list.Values.Count > 0 ? list.Values[^1] : NilValue.Instance;
        if (value is not StringValue)
            return NilValue.Instance;
        var text = value.ToStringValue();
        return TextFilters.Text(
            text.Length > 1 && char.IsSurrogatePair(text[^2], text[^1]) ? text[^2..]
            : text.Length > 0 ? text[^1..]
            : ""
        );
    }

    private static int Size(FluidValue value) =>
        value switch
        {
            StringValue => Characters.Count(value.ToStringValue()),
            ArrayValue list => list.Values.Count,
            DictionaryValue members => ((IFluidIndexable)members.ToObjectValue()).Count,
            _ => 0,
        };

    private static IEnumerable<FluidValue> Items(FluidValue value) =>
        value switch
        {
            ArrayValue list => list.Values.Any(i => i is ArrayValue)
                ? list.Values.SelectMany(i => i is ArrayValue ? Items(i) : [i])
                : list.Values,
            _ => value.IsNil() || value.Type is FluidValues.Empty or FluidValues.Blank ? [] : [value],
        };

    private static ArrayValue List(IEnumerable<FluidValue> items) => new([.. items]);

    private static FluidValue Member(FluidValue item, FluidValue name)
    {
        var member = name.ToStringValue();
        return item switch
        {
            DictionaryValue members => ((IFluidIndexable)members.ToObjectValue()).TryGetValue(member, out var value)
                ? value
                : NilValue.Instance,
            StringValue => item.ToStringValue().Contains(member, StringComparison.Ordinal) ? TextFilters.Text(member) : NilValue.Instance,
            NumberValue => throw new RenderStopped("takes a member of a number"),
            _ => NilValue.Instance,
        };
    }

    // Null where an item can have no member: Liquid's result is then nothing.
    private static List<(FluidValue Item, bool Matches)>? Matching(FluidValue input, FilterArguments given, RenderContext context)
    {
        var items = Items(input).ToList();
        if (items.Any(i => i is not (DictionaryValue or StringValue or NumberValue)))
            return null;
        var (name, wanted) = (given.At(0), given.At(1));
        if (!wanted.IsNil())
            context.Spend((long)items.Count * context.Weigh(wanted));
        return
        [
            .. items.Select(i => (i, Member(i, name) is var member && (wanted.IsNil() ? member.ToBooleanValue() : member.Equals(wanted)))),
        ];
    }

    private static ArrayValue Sorted(
        FluidValue input,
        FluidValue member,
        Func<FluidValue, FluidValue> keyOf,
        Comparison<FluidValue> compare,
        RenderContext context
    )
    {
        var items = Items(input).ToList();
        var keys = items.ConvertAll(i => keyOf(member.IsNil() ? i : Member(i, member)));
        // Each is compared with some log2(n) others, as far as both are alike.
        var size = keys.Sum(k => (long)CostOfComparison + (k is StringValue ? k.ToStringValue().Length / CharactersAtOnce : 0));
        context.Spend(size * (1 + (int)Math.Log2(Math.Max(1, items.Count))));
        return List(Enumerable.Range(0, items.Count).OrderBy(i => keys[i], Comparer<FluidValue>.Create(compare)).Select(i => items[i]));
    }

    // Nothing comes last.
    private static int Compare(FluidValue one, FluidValue other) =>
        (one, other) switch
        {
            _ when one.IsNil() || other.IsNil() => one.IsNil().CompareTo(other.IsNil()),
            (NumberValue, NumberValue) => one.ToNumberValue().CompareTo(other.ToNumberValue()),
            (StringValue, StringValue) => Characters.Compare(one.ToStringValue(), other.ToStringValue()),
            (DateTimeValue, DateTimeValue) => ((DateTimeOffset)one.ToObjectValue()).CompareTo((DateTimeOffset)other.ToObjectValue()),
            _ when one.Equals(other) => 0,
            _ => throw new RenderStopped("sorts values that cannot be compared"),
        };

    private static int CompareNaturally(FluidValue one, FluidValue other) =>
        one.IsNil() || other.IsNil()
            ? one.IsNil().CompareTo(other.IsNil())
            : Characters.Compare(one.ToStringValue(), other.ToStringValue());

    private static FluidValue Folded(FluidValue value) => value.IsNil() ? value : new StringValue(Folded(value.ToStringValue()));

    // Ruby's casecmp: only A to Z.
    private static string Folded(string text) =>
        string.Create(
            text.Length,
            text,
            (folded, from) =>
            {
                for (var i = 0; i < folded.Length; i++)
                    folded[i] = char.IsAsciiLetterUpper(from[i]) ? (char)(from[i] | 0x20) : from[i];
            }
        );

    private static FluidValue Default(FluidValue input, FilterArguments given, RenderContext context)
    {
        var allowsFalse = given.HasNamed("allow_false") && given["allow_false"].ToBooleanValue();
        var isMissing =
            input.IsNil()
            || (!allowsFalse && input is BooleanValue && !input.ToBooleanValue())
            || input.Type is FluidValues.Empty or FluidValues.Blank
            || (input is StringValue && input.ToStringValue().Length == 0)
            || (input is ArrayValue or DictionaryValue && Size(input) == 0);
        return !isMissing ? input
            : given.Count == 0 ? StringValue.Empty
            : given.At(0);
    }
}
