namespace Notify.Domain.Templates.Liquid;

using System.Globalization;
using Fluid.Ast;
using Fluid.Ast.BinaryExpressions;
using Fluid.Values;

/// <summary>
/// Reads the expressions of one tag: values, filters, conditions. Strict: what Liquid would silently pass over is a fault.
/// After a fault it reads nothing more.
/// </summary>
/// <param name="text">The inside of the tag.</param>
/// <param name="offset">Where it begins in the source.</param>
/// <param name="used">Called for each variable that is read, with its position.</param>
internal sealed class ExpressionReader(string text, int offset, Action<string, int> used)
{
    private const int MaxDepth = 20,
        MaxConditions = 50;
    private int at;

    /// <summary>The first fault, and where it is in the source.</summary>
    public (int Offset, string Message)? Fault { get; private set; }

    /// <summary>Whether nothing is left to read.</summary>
    public bool AtEnd
    {
        get
        {
            while (at < text.Length && char.IsWhiteSpace(text[at]))
                at++;
            return at >= text.Length || Fault is not null;
        }
    }

    /// <summary>Notes a fault at the place that has been reached.</summary>
    /// <returns>Always <c>null</c>.</returns>
    public Expression? Fail(string message, int? place = null)
    {
        Fault ??= (offset + Math.Min(place ?? at, text.Length), message);
        return null;
    }

    /// <summary>Notes a fault if anything is left.</summary>
    public void End()
    {
        if (!AtEnd)
            Fail($"\"{Rest()}\" is not expected here");
    }

    /// <summary>Takes a word, if it is the next.</summary>
    public bool Word(string word)
    {
        var start = Peek();
        if (Name() == word)
            return true;
        at = start;
        return false;
    }

    /// <summary>Takes a symbol, if it is the next.</summary>
    public bool Symbol(string symbol)
    {
        if (AtEnd || string.CompareOrdinal(text, at, symbol, 0, symbol.Length) != 0)
            return false;
        at += symbol.Length;
        return true;
    }

    /// <summary>A name that is given to something.</summary>
    public string? Identifier(string what)
    {
        if (!AtEnd && Name() is { } name)
            return name;
        Fail($"{what} is missing");
        return null;
    }

    /// <summary>A value before a colon, as it is written; <c>null</c>, and nothing is read, where no colon follows a value.</summary>
    public string? Group()
    {
        var start = Peek();
        if (Value() is not null && Symbol(":"))
            return text[start..(at - 1)].Trim();
        if (Fault is null)
            at = start;
        return null;
    }

    /// <summary>A value and the filters that it goes through.</summary>
    public Expression? Filtered()
    {
        var value = Value();
        var count = 0;
        while (value is not null && Symbol("|"))
        {
            if (++count > MaxDepth)
                return Fail($"a value goes through at most {MaxDepth} filters");
            var place = Peek();
            if (Identifier("a filter's name") is not { } name)
                return null;
            if (!Filters.Names.Contains(name))
                return Fail(Unknown(name), place);
            var arguments = new List<FilterArgument>();
            if (Symbol(":"))
            {
                do
                {
                    var start = Peek();
                    var label = Name();
                    if (label is null || !Symbol(":"))
                        (label, at) = (null, start);
                    if (Value() is not { } argument)
                        return null;
                    arguments.Add(new FilterArgument(label, argument));
                } while (Symbol(","));
            }

            value = new FilterExpression(value, name, arguments);
        }

        return Fault is null ? value : null;
    }

    /// <summary>Comparisons joined by <c>and</c> and <c>or</c>, from the right as Liquid does.</summary>
    public Expression? Condition(int count = 0)
    {
        if (count > MaxConditions)
            return Fail($"a condition has at most {MaxConditions} parts");
        if (Comparison() is not { } left)
            return null;
        var isAnd = Word("and");
        if (!isAnd && !Word("or"))
            return left;
        if (Condition(count + 1) is not { } right)
            return null;
        return isAnd ? new AndBinaryExpression(left, right) : new OrBinaryExpression(left, right);
    }

    /// <summary>A literal, a range, or a variable with its members.</summary>
    public Expression? Value(int depth = 0)
    {
        if (depth > MaxDepth)
            return Fail($"values stand at most {MaxDepth} deep in each other");
        if (AtEnd)
            return Fail("a value is missing");
        var c = text[at];
        if (c is '"' or '\'')
        {
            var end = text.IndexOf(c, at + 1);
            if (end < 0)
                return Fail($"the text that begins here is never closed with {c}");
            var literal = text[(at + 1)..end];
            at = end + 1;
            return new LiteralExpression(new StringValue(literal));
        }

        if (char.IsAsciiDigit(c) || (c == '-' && at + 1 < text.Length && char.IsAsciiDigit(text[at + 1])))
            return Number();
        if (c == '(')
        {
            at++;
            var from = Value(depth + 1);
            if (from is null)
                return null;
            if (!Symbol(".."))
                return Fail("a range is written (1..5); the two dots are missing");
            var to = Value(depth + 1);
            if (to is null)
                return null;
            return Symbol(")") ? new BoundedRange(from, to) : Fail("the range is never closed with )");
        }

        var place = at;
        if (Name() is not { } name)
            return Fail($"\"{Rest()}\" is no value");
        return Keyword(name) is { } keyword ? keyword : Variable(name, place, depth);
    }

    private static LiteralExpression? Keyword(string name) =>
        name switch
        {
            "true" => new LiteralExpression(BooleanValue.True),
            "false" => new LiteralExpression(BooleanValue.False),
            "nil" or "null" => new LiteralExpression(NilValue.Instance),
            "empty" => new LiteralExpression(EmptyValue.Instance),
            "blank" => new LiteralExpression(BlankValue.Instance),
            _ => null,
        };

    private MemberExpression? Variable(string name, int place, int depth)
    {
        used(name, offset + place);
        var segments = new List<MemberSegment> { new IdentifierSegment(name) };
        while (at < text.Length)
        {
            if (text[at] == '.' && !(at + 1 < text.Length && text[at + 1] == '.'))
            {
                at++;
                if (Name() is not { } member)
                    return (MemberExpression?)Fail("a member's name is missing after the dot");
                segments.Add(member is "size" or "first" or "last" ? new CharacterSegment(member) : new IdentifierSegment(member));
            }
            else if (text[at] == '[')
            {
                at++;
                if (Value(depth + 1) is not { } index)
                    return null;
                if (!Symbol("]"))
                    return (MemberExpression?)Fail("the index is never closed with ]");
                segments.Add(new ItemSegment(index));
            }
            else
                break;
        }

        return new MemberExpression(segments);
    }

    private Expression? Comparison()
    {
        if (Value() is not { } left)
            return null;
        Func<Expression, Expression, BinaryExpression>? make =
            Symbol("==") ? (l, r) => new EqualBinaryExpression(l, r)
            : Symbol("!=") || Symbol("<>") ? (l, r) => new NotEqualBinaryExpression(l, r)
            : Symbol("<=") ? (l, r) => new LowerThanBinaryExpression(l, r, false)
            : Symbol(">=") ? (l, r) => new GreaterThanBinaryExpression(l, r, false)
            : Symbol("<") ? (l, r) => new LowerThanBinaryExpression(l, r, true)
            : Symbol(">") ? (l, r) => new GreaterThanBinaryExpression(l, r, true)
            : Word("contains") ? (l, r) => new ContainsBinaryExpression(l, r)
            : null;
        if (make is null)
            return left;
        return Value() is { } right ? new Weighed(make(left, right)) : null;
    }

    private Expression? Number()
    {
        var start = at++;
        while (
            at < text.Length
            && (char.IsAsciiDigit(text[at]) || (text[at] == '.' && at + 1 < text.Length && char.IsAsciiDigit(text[at + 1])))
        )
            at++;
        return decimal.TryParse(
            text.AsSpan(start, at - start),
            NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint,
            CultureInfo.InvariantCulture,
            out var number
        )
            ? new LiteralExpression(NumberFilters.Value(number))
            : Fail($"{text[start..at]} is no number", start);
    }

    private int Peek() => AtEnd ? at : at;

    private string? Name()
    {
        if (AtEnd || !(char.IsAsciiLetter(text[at]) || text[at] == '_'))
            return null;
        var start = at++;
        while (
            at < text.Length
            && (
                char.IsAsciiLetterOrDigit(text[at])
                || text[at] == '_'
                || (text[at] == '-' && at + 1 < text.Length && char.IsAsciiLetterOrDigit(text[at + 1]))
            )
        )
            at++;
        return text[start..at];
    }

    private string Rest() => text.Length - at > 20 ? $"{text.AsSpan(at, 20)}…" : text[at..].TrimEnd();

    private static string Unknown(string name) =>
        name == "raw"
            ? "the filter raw is not allowed: parameters are always encoded in HTML; write the HTML in the template itself"
            : $"the filter {name} is not known{(Nearest(name, Filters.Names) is { } near ? $"; did you mean {near}?" : $"; known are {string.Join(", ", Filters.Names)}")}";

    /// <summary>The one of some names that differs least from another, by at most two letters.</summary>
    public static string? Nearest(string name, IEnumerable<string> names) =>
        names
            .Select(n => (Name: n, Distance: Distance(name, n)))
            .Where(n => n.Distance <= 2 && n.Distance < n.Name.Length)
            .OrderBy(n => n.Distance)
            .Select(n => n.Name)
            .FirstOrDefault();

    private static int Distance(string a, string b)
    {
        if (Math.Abs(a.Length - b.Length) > 2)
            return 3;
        var last = Enumerable.Range(0, b.Length + 1).ToArray();
        for (var i = 1; i <= a.Length; i++)
        {
            var (diagonal, row) = (last[0], last);
            row[0] = i;
            for (var j = 1; j <= b.Length; j++)
                (diagonal, row[j]) = (row[j], Math.Min(Math.Min(row[j], row[j - 1]) + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)));
        }

        return last[^1];
    }
}
