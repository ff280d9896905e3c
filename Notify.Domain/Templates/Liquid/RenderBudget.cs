namespace Notify.Domain.Templates.Liquid;

using System.Diagnostics;
using System.Text;
using Fluid;
using Fluid.Values;

/// <summary>
/// The budget for rendering one message. It is counted in steps and characters, not in time: the same template with the same
/// parameters costs the same on every machine and at every attempt, so a template that renders at acceptance also renders
/// at dispatch. The limits together stay below some 200 ms.
/// </summary>
internal static class RenderBudget
{
    /// <summary>Statements carried out, each turn of a loop counted.</summary>
    public const int Steps = 50_000;

    /// <summary>Characters and list items that filters take and give, together.</summary>
    public const int Work = 4_000_000;

    /// <summary>Characters of one value.</summary>
    public const int ValueLength = 128 * 1024;

    /// <summary>Lists and objects within each other; parameters have at most 32.</summary>
    public const int Nesting = 40;

    /// <summary>
    /// The time limit of a rendering, independent of its budget. It is the last limit for costs that are not counted; counted work
    /// ends long before. A pause of the process counts as <see cref="Pause"/>, however long it is.
    /// </summary>
    public static readonly TimeSpan Time = TimeSpan.FromSeconds(5);

    /// <summary>The most that counts of the time between two steps.</summary>
    public static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(250);

    /// <summary>Items of one list or range.</summary>
    public const int Items = 10_000;
}

/// <summary>A rendering that must not go on. It passes through the library that carries out the statements; nobody else sees it.</summary>
internal sealed class RenderStopped(string message) : Exception(message)
{
    /// <summary>Whether a budget was used up; else the template did what it must not.</summary>
    public bool IsBudget { get; init; }

    /// <summary>The budget was used up.</summary>
    public static RenderStopped Budget(string message) => new(message) { IsBudget = true };
}

/// <summary>One message's rendering: its values, where it is, and what it has used.</summary>
internal sealed class RenderContext(TemplateOptions options, bool html, TimeProvider? clock = null)
    : TemplateContext(options, StringComparer.Ordinal)
{
    private readonly Dictionary<string, int> turns = new(StringComparer.Ordinal),
        counters = new(StringComparer.Ordinal);
    private int steps,
        work;
    private TimeSpan time;
    private long? before;

    /// <summary>The used part of the budget of one message; from 0 to a little above 1.</summary>
    public double Used => Math.Max((double)steps / RenderBudget.Steps, (double)work / RenderBudget.Work);

    /// <summary>Whether HTML is made.</summary>
    public bool Html { get; } = html;

    /// <summary>The position in the source of the statement that is executed.</summary>
    public int Position { get; set; }

    /// <summary>Counts a statement.</summary>
    public void Step()
    {
        CheckTime();
        if (++steps > RenderBudget.Steps)
            throw RenderStopped.Budget($"takes more than {RenderBudget.Steps:N0} steps: does a loop never end?");
    }

    /// <summary>Counts the input of a filter or a comparison.</summary>
    public void Spend(long amount)
    {
        CheckTime();
        if (amount < 0 || (work = (int)Math.Min(int.MaxValue, work + amount)) > RenderBudget.Work)
            throw RenderStopped.Budget("does more work than one message may cost: does a loop make a text longer and longer?");
    }

    /// <summary>Which value of a cycle is the next, from 0.</summary>
    public int Turn(string cycle, int length)
    {
        var turn = turns.GetValueOrDefault(cycle);
        turns[cycle] = (turn + 1) % length;
        return turn;
    }

    /// <summary>Counts up from 0 and gives the number before, or counts down and gives the number after.</summary>
    /// <remarks>A variable of the counter's name shows it, unless something else was assigned to that.</remarks>
    public int Count(string counter, bool isUp)
    {
        var before = counters.GetValueOrDefault(counter);
        var isShown =
            GetValue(counter) is var shown
            && (shown.IsNil() || (counters.ContainsKey(counter) && shown is NumberValue && shown.ToNumberValue() == before));
        counters[counter] = isUp ? before + 1 : before - 1;
        if (isShown)
            SetValue(counter, NumberValue.Create(counters[counter]));
        return isUp ? before : before - 1;
    }

    /// <summary>Continues with what another part of the same message has used.</summary>
    public RenderContext After(RenderContext? earlier)
    {
        if (earlier is not null)
            (steps, work, time) = (earlier.steps, earlier.work, earlier.time);
        return this;
    }

    private static RenderStopped TooDeep() => RenderStopped.Budget($"makes lists within lists more than {RenderBudget.Nesting} deep");

    private void CheckTime()
    {
        var now = clock?.GetTimestamp() ?? Stopwatch.GetTimestamp();
        if (before is { } last)
        {
            var passed = clock?.GetElapsedTime(last, now) ?? Stopwatch.GetElapsedTime(last, now);
            time += passed < RenderBudget.Pause ? passed : RenderBudget.Pause;
        }

        before = now;
        if (time > RenderBudget.Time)
            throw RenderStopped.Budget($"takes longer than {RenderBudget.Time.TotalSeconds} s");
    }

    /// <summary>The email that a layout is set around, which is bounded as an email is and not as a value; <c>null</c>: none.</summary>
    public FluidValue? Content { get; init; }

    /// <summary>How much a value is, in characters and items; stops when it is more than a value may be.</summary>
    public int Weigh(FluidValue value, int depth = 0)
    {
        switch (value)
        {
            case StringValue text:
                var length = text.ToStringValue().Length;
                return length <= RenderBudget.ValueLength || ReferenceEquals(value, Content)
                    ? length
                    : throw RenderStopped.Budget($"makes a value of more than {RenderBudget.ValueLength:N0} characters");
            case ArrayValue list:
                if (list.Values.Count > RenderBudget.Items)
                    throw RenderStopped.Budget($"makes a list of more than {RenderBudget.Items:N0} items");
                if (depth > RenderBudget.Nesting)
                    throw TooDeep();
                var sum = 0L;
                foreach (var item in list.Values)
                {
                    sum += 1 + Weigh(item, depth + 1);
                    if (sum > RenderBudget.Work)
                        throw RenderStopped.Budget("makes a list that is too large");
                }

                return (int)sum;
            case DictionaryValue members:
                if (depth > RenderBudget.Nesting)
                    throw TooDeep();
                var whole = 0L;
                var all = (IFluidIndexable)members.ToObjectValue();
                foreach (var name in all.Keys)
                    whole += 1 + name.Length + (all.TryGetValue(name, out var member) ? Weigh(member, depth + 1) : 0);
                return (int)Math.Min(whole, RenderBudget.Work);
            default:
                return 1;
        }
    }
}

/// <summary>Collects what is rendered, up to a limit.</summary>
internal sealed class LimitedWriter(int limit) : StringWriter(System.Globalization.CultureInfo.InvariantCulture)
{
    /// <inheritdoc />
    public override void Write(char value)
    {
        Check(1);
        base.Write(value);
    }

    /// <inheritdoc />
    public override void Write(char[] buffer, int index, int count)
    {
        Check(count);
        base.Write(buffer, index, count);
    }

    /// <inheritdoc />
    public override void Write(ReadOnlySpan<char> buffer)
    {
        Check(buffer.Length);
        base.Write(buffer);
    }

    /// <inheritdoc />
    public override void Write(string? value)
    {
        Check(value?.Length ?? 0);
        base.Write(value);
    }

    private void Check(int more)
    {
        if (GetStringBuilder().Length + more > limit)
            throw RenderStopped.Budget($"becomes longer than {limit:N0} characters");
    }
}
