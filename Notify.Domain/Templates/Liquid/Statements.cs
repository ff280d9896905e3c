namespace Notify.Domain.Templates.Liquid;

using System.Text.Encodings.Web;
using System.Text.Unicode;
using Fluid;
using Fluid.Ast;
using Fluid.Ast.BinaryExpressions;
using Fluid.Values;

/// <summary>Where in HTML a value is written, as far as encoding it is not enough.</summary>
internal enum HtmlPlace
{
    /// <summary>Between tags.</summary>
    Plain,

    /// <summary>In a quoted attribute without a meaning of its own, or inside an address.</summary>
    Attribute,

    /// <summary>At the beginning of an address: it must not be a script.</summary>
    Link,

    /// <summary>In a <c>style</c> attribute.</summary>
    Style,
}

/// <summary>Literal text.</summary>
internal sealed class PlainText(string text) : Statement
{
    /// <inheritdoc />
    public override ValueTask<Completion> WriteToAsync(TextWriter writer, TextEncoder encoder, TemplateContext context)
    {
        ((RenderContext)context).Step();
        writer.Write(text);
        return Normal();
    }
}

/// <summary>A statement, counted, with its place remembered for what goes wrong in it.</summary>
internal sealed class Located(int position, Statement? inner) : Statement
{
    /// <inheritdoc />
    public override ValueTask<Completion> WriteToAsync(TextWriter writer, TextEncoder encoder, TemplateContext context)
    {
        var render = (RenderContext)context;
        render.Position = position;
        render.Step();
        return inner?.WriteToAsync(writer, encoder, context) ?? Normal();
    }
}

/// <summary>A value, written so that it cannot become anything but text.</summary>
internal sealed class Output(Expression expression, HtmlPlace place) : Statement
{
    // Letters of all scripts stay readable; < > & " ' and all other characters with a meaning in HTML are encoded.
    internal static readonly HtmlEncoder Encoder = HtmlEncoder.Create(UnicodeRanges.All);
    private static readonly System.Buffers.SearchValues<char> StyleSafe = System.Buffers.SearchValues.Create(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 #%.,-"
    );

    /// <inheritdoc />
    public override async ValueTask<Completion> WriteToAsync(TextWriter writer, TextEncoder encoder, TemplateContext context)
    {
        var render = (RenderContext)context;
        var value = await expression.EvaluateAsync(context);
        // How much of the email itself is written, the length of the whole bounds.
        if (!ReferenceEquals(value, render.Content))
            render.Spend(render.Weigh(value));
        var text = value.ToStringValue();
        if (!render.Html)
        {
            writer.Write(text);
            return Completion.Normal;
        }

        var isMade = value is StringValue { Encode: false };
        if (isMade && place != HtmlPlace.Plain)
            (text, isMade) = (System.Net.WebUtility.HtmlDecode(text), false); // HTML is text in an attribute, and its quotes would end it
        if (place == HtmlPlace.Link && !IsHarmless(text))
            throw new RenderStopped("makes a link that leads to neither https, http, mailto nor tel");
        if (place == HtmlPlace.Style && text.AsSpan().IndexOfAnyExcept(StyleSafe) >= 0)
            throw new RenderStopped("writes into a style attribute what is more than letters, digits, blanks and # % . , -");
        writer.Write(isMade ? text : Encoder.Encode(text));
        return Completion.Normal;
    }

    // An address without a scheme is relative to one with a scheme.
    private static bool IsHarmless(string text)
    {
        var address = string.Concat(text.Where(c => !char.IsControl(c) && !char.IsWhiteSpace(c)));
        var end = address.AsSpan().IndexOfAny(":/?#");
        return end < 0 || address[end] != ':' || address[..end].ToLowerInvariant() is "https" or "http" or "mailto" or "tel" or "sms";
    }
}

/// <summary>One value after another, each time the next. Cycles that are written alike count together.</summary>
internal sealed class Cycle(string name, IReadOnlyList<Output> values) : Statement
{
    /// <inheritdoc />
    public override ValueTask<Completion> WriteToAsync(TextWriter writer, TextEncoder encoder, TemplateContext context) =>
        values[((RenderContext)context).Turn(name, values.Count)].WriteToAsync(writer, encoder, context);
}

/// <summary>A counter that a template has beside its variables: <c>increment</c> and <c>decrement</c> share it.</summary>
internal sealed class Counter(string name, bool isUp) : Statement
{
    /// <inheritdoc />
    public override ValueTask<Completion> WriteToAsync(TextWriter writer, TextEncoder encoder, TemplateContext context)
    {
        writer.Write(((RenderContext)context).Count(name, isUp).ToString(System.Globalization.CultureInfo.InvariantCulture));
        return Normal();
    }
}

/// <summary>The text between <c>capture</c> and <c>endcapture</c>, kept as a value: in HTML already encoded.</summary>
internal sealed class Capture(string name, IReadOnlyList<Statement> statements) : Statement
{
    /// <inheritdoc />
    public override async ValueTask<Completion> WriteToAsync(TextWriter writer, TextEncoder encoder, TemplateContext context)
    {
        await using var captured = new LimitedWriter(RenderBudget.ValueLength);
        var completion = await LiquidText.RunAsync(statements, captured, encoder, context);
        var text = captured.ToString();
        ((RenderContext)context).Spend(text.Length);
        context.SetValue(name, new StringValue(text, encode: false));
        return completion;
    }
}

/// <summary>A range of whole numbers that is not endless.</summary>
internal sealed class BoundedRange(Expression from, Expression to) : Expression
{
    /// <inheritdoc />
    public override async ValueTask<FluidValue> EvaluateAsync(TemplateContext context)
    {
        var (first, last) = (
            decimal.Truncate((await from.EvaluateAsync(context)).ToNumberValue()),
            decimal.Truncate((await to.EvaluateAsync(context)).ToNumberValue())
        );
        if (Math.Abs(first) > int.MaxValue || Math.Abs(last) > int.MaxValue || last - first >= RenderBudget.Items)
            throw RenderStopped.Budget($"makes a range of more than {RenderBudget.Items:N0} numbers");
        ((RenderContext)context).Spend(1 + (long)Math.Max(0, last - first));
        return await new RangeExpression(
            new LiteralExpression(NumberValue.Create(first)),
            new LiteralExpression(NumberValue.Create(last))
        ).EvaluateAsync(context);
    }
}

/// <summary>The items of a loop, counted and cut as Liquid does: <c>offset</c> skips the first ones, then <c>limit</c> applies.</summary>
internal sealed class LoopSource(Expression source, Expression? limit, Expression? offset) : Expression
{
    /// <inheritdoc />
    public override async ValueTask<FluidValue> EvaluateAsync(TemplateContext context)
    {
        var render = (RenderContext)context;
        var items = Items(await source.EvaluateAsync(context), render);
        var first = offset is null ? 0 : Whole(await offset.EvaluateAsync(context), 0);
        var count = limit is null ? items.Count : Whole(await limit.EvaluateAsync(context), items.Count);
        return first <= 0 && count >= items.Count ? new ArrayValue(items) : new ArrayValue([.. items.Skip(first).Take(count)]);
    }

    private static IReadOnlyList<FluidValue> Items(FluidValue value, RenderContext render)
    {
        switch (value)
        {
            case ArrayValue list:
                render.Spend(1 + list.Values.Count);
                return list.Values;
            case DictionaryValue members when members.ToObjectValue() is IFluidIndexable all:
                render.Spend(1 + (4L * all.Count));
                return
                [
                    .. all.Keys.Select(k => new ArrayValue([
                        new StringValue(k),
                        all.TryGetValue(k, out var member) ? member : NilValue.Instance,
                    ])),
                ];
            default:
                render.Spend(1);
                return value is StringValue && value.ToStringValue().Length > 0 ? [value] : [];
        }
    }

    private static int Whole(FluidValue value, int absent) => value.IsNil() ? absent : TextFilters.Whole(value, "for");
}

/// <summary>A comparison of values that may be long.</summary>
internal sealed class Weighed(BinaryExpression inner) : Expression
{
    /// <inheritdoc />
    public override async ValueTask<FluidValue> EvaluateAsync(TemplateContext context)
    {
        var render = (RenderContext)context;
        var (left, right) = (await inner.Left.EvaluateAsync(context), await inner.Right.EvaluateAsync(context));
        render.Spend(1 + Cost(left, right, render));
        return await inner.EvaluateAsync(context);
    }

    // A comparison reads both values up to the end of the shorter one. Against blank it reads the other value whole; it reads no
    // values of two types.
    private long Cost(FluidValue left, FluidValue right, RenderContext render)
    {
        if (inner is ContainsBinaryExpression)
        {
            if (left is StringValue)
                Filters.SpendOnSearch(left.ToStringValue(), right.ToStringValue(), render);
            return render.Weigh(left) + (left is ArrayValue list ? (1L + list.Values.Count) * render.Weigh(right) : render.Weigh(right));
        }

        if (left.Type == right.Type)
            return Math.Min(render.Weigh(left), render.Weigh(right));
        return left.Type == FluidValues.Blank ? render.Weigh(right)
            : right.Type == FluidValues.Blank ? render.Weigh(left)
            : 0;
    }
}

/// <summary>The condition of an <c>elsif</c>, counted as a statement is, with its place remembered.</summary>
internal sealed class LocatedCondition(int position, Expression inner) : Expression
{
    /// <inheritdoc />
    public override ValueTask<FluidValue> EvaluateAsync(TemplateContext context)
    {
        var render = (RenderContext)context;
        render.Position = position;
        render.Step();
        return inner.EvaluateAsync(context);
    }
}

/// <summary>A value that a <c>when</c> compares with. There may be any number of them, so each is counted.</summary>
internal sealed class Option(int position, Expression inner) : Expression
{
    /// <inheritdoc />
    public override async ValueTask<FluidValue> EvaluateAsync(TemplateContext context)
    {
        var render = (RenderContext)context;
        render.Position = position;
        var value = await inner.EvaluateAsync(context);
        render.Spend(1 + render.Weigh(value));
        return value;
    }
}
