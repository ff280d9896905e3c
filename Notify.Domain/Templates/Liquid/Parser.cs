namespace Notify.Domain.Templates.Liquid;

using Fluid.Ast;

/// <summary>Reads a template's blocks into statements that Fluid carries out. There is no tag that reaches a file or another
/// template.</summary>
internal sealed class Parser(List<Token> tokens, bool html)
{
    private const int MaxDepth = 30;

    private static readonly string[] Tags =
    [
        "assign",
        "break",
        "capture",
        "case",
        "comment",
        "continue",
        "cycle",
        "decrement",
        "echo",
        "for",
        "if",
        "increment",
        "raw",
        "unless",
    ];

    private static readonly string[] Foreign = ["include", "render", "layout", "extends", "import", "from", "macro", "section"];

    private readonly Dictionary<string, int> used = new(StringComparer.Ordinal);
    private readonly HashSet<string> own = new(StringComparer.Ordinal) { "forloop" };
    private readonly Stack<HtmlContext> contexts = new([new HtmlContext()]);
    private readonly Stack<(int Contexts, List<HtmlPosition> Left)> exits = new();
    private int next,
        depth;

    /// <summary>The first fault, and where it is.</summary>
    public (int Offset, string Message)? Fault { get; private set; }

    /// <summary>The variables that are read and not made by the template itself, and where first.</summary>
    public IEnumerable<(string Name, int Offset)> Parameters => used.Where(u => !own.Contains(u.Key)).Select(u => (u.Key, u.Value));

    /// <summary>The whole template.</summary>
    public List<Statement> Read()
    {
        var statements = Block(null, [], out var end);
        if (end is not null)
            Fail(end.Offset, $"{{% {end.Name} %}} closes nothing that is open here");
        if (html && contexts.Peek().Position.IsQuoted)
            Fail(
                Math.Max(0, tokens[^1].Offset + tokens[^1].Text.Length - 1),
                $"the quotes of the attribute {contexts.Peek().Position.Attribute} are never closed"
            );
        if (html && tokens.Count > 0 && !contexts.Peek().MayEnd)
            Fail(
                tokens[^1].Offset,
                "the text ends inside a tag, a comment or an element such as <style>, where a layout goes on; close it"
            );
        return statements;
    }

    private List<Statement> Block(Token? opener, string[] ends, out Token? end)
    {
        var statements = new List<Statement>();
        end = null;
        if (opener is not null && ++depth > MaxDepth)
            Fail(opener.Offset, $"blocks stand at most {MaxDepth} deep in each other");
        while (Fault is null && next < tokens.Count)
        {
            var token = tokens[next++];
            if (token.Kind == TokenKind.Text)
            {
                if (html && contexts.Peek().Read(token.Text) is { } colon)
                    Fail(
                        token.Offset + colon,
                        "the colon after a value makes a scheme of it, such as javascript; write the scheme into the template "
                            + "(https://), or the whole address into one value"
                    );
                statements.Add(new PlainText(token.Text));
            }
            else if (token.Kind == TokenKind.Output)
                Add(statements, token, Write(token, Expressions(token, 0)));
            else if (
                ends.Contains(token.Name)
                || token.Name.StartsWith("end", StringComparison.Ordinal)
                || token.Name is "else" or "elsif" or "when"
            )
            {
                end = token;
                if (opener is not null && !ends.Contains(token.Name))
                    Fail(
                        token.Offset,
                        $"{{% {token.Name} %}} does not fit here: {{% {opener.Name} %}} waits for {string.Join(" or ", ends)}"
                    );
                break;
            }
            else
                Add(statements, token, Tag(token, Expressions(token, token.AfterName)));
        }

        if (opener is not null)
        {
            depth--;
            if (end is null)
                Fail(opener.Offset, $"{{% {opener.Name} %}} is never closed with {{% end{opener.Name} %}}");
        }

        return statements;
    }

    private static void Add(List<Statement> statements, Token token, Statement? statement)
    {
        if (statement is not null)
            statements.Add(new Located(token.Offset, statement));
    }

    private Statement? Tag(Token token, ExpressionReader reader)
    {
        switch (token.Name)
        {
            case "if":
                return If(token, reader);
            case "unless":
                return Unless(token, reader);
            case "case":
                return Case(token, reader);
            case "for":
                return For(token, reader);
            case "echo":
                return Write(token, reader);
            case "break":
                return Ended(reader) && Leave(token) ? new BreakStatement() : null;
            case "continue":
                return Ended(reader) && Leave(token) ? new ContinueStatement() : null;
            case "assign":
                var name = reader.Identifier("the name of what is assigned");
                if (name is not null && !reader.Symbol("="))
                    reader.Fail("assign is written {% assign name = value %}; the = is missing");
                var value = name is null ? null : reader.Filtered();
                if (!Ended(reader) || value is null)
                    return null;
                own.Add(name!);
                return new AssignStatement(name!, value);
            case "capture":
                var captured = reader.Identifier("the name of what is captured");
                if (!Ended(reader))
                    return null;
                own.Add(captured!);
                contexts.Push(new HtmlContext());
                var inside = Block(token, ["endcapture"], out _);
                if (html && !contexts.Peek().IsBetweenTags)
                    Fail(
                        token.Offset,
                        "what is captured ends inside a tag or an attribute, so that nobody knows where it would stand; "
                            + "close tags and quotes in it"
                    );
                contexts.Pop();
                return new Capture(captured!, inside);
            case "increment" or "decrement":
                var counter = reader.Identifier("a counter's name");
                if (!Ended(reader))
                    return null;
                own.Add(counter!);
                return new Counter(counter!, isUp: token.Name == "increment");
            case "cycle":
                return CycleOf(token, reader);
            case "":
                return Failed(token.Offset, "a tag's name is missing, such as if, for or assign");
            default:
                return Failed(
                    token.Offset,
                    Foreign.Contains(token.Name)
                        ? $"the tag {token.Name} is not available: a template reaches no other files; set its layout beside it"
                        : $"the tag {token.Name} is not known{(ExpressionReader.Nearest(token.Name, Tags) is { } near ? $"; did you mean {near}?" : $"; known are {string.Join(", ", Tags)}")}"
                );
        }
    }

    // {% cycle 'group': 'a', 'b' %}: cycles of a group count together, whatever their values are.
    private Cycle? CycleOf(Token token, ExpressionReader reader)
    {
        var name = reader.Group() is { } group ? $"{group}:" : token.Text.Trim();
        var values = new List<Expression>();
        do
        {
            if (reader.Value() is { } one)
                values.Add(one);
        } while (reader.Symbol(","));
        return Ended(reader) ? new Cycle(name, Outputs(token, values)) : null;
    }

    private Output? Write(Token token, ExpressionReader reader)
    {
        var value = reader.Filtered();
        if (!Ended(reader) || value is null)
            return null;
        return new Output(value, Place(token));
    }

    // A literal of the template itself is allowed everywhere.
    private List<Output> Outputs(Token token, List<Expression> values)
    {
        var place = values.All(v => v is LiteralExpression) && !contexts.Peek().IsInAddress ? HtmlPlace.Plain : Place(token);
        return [.. values.Select(v => new Output(v, place))];
    }

    private HtmlPlace Place(Token token)
    {
        if (!html)
            return HtmlPlace.Plain;
        var (place, fault) = contexts.Peek().Write();
        if (fault is not null)
            Fail(token.Offset, $"the value {fault}");
        return place;
    }

    private IfStatement? If(Token token, ExpressionReader reader)
    {
        var condition = reader.Condition();
        if (!Ended(reader) || condition is null)
            return null;
        var ways = new Ways(contexts.Peek());
        var then = ways.Of(Block(token, ["elsif", "else", "endif"], out var end));
        var others = new List<ElseIfStatement>();
        while (Fault is null && end?.Name == "elsif")
        {
            var another = Expressions(end, end.AfterName);
            var otherwise = another.Condition();
            if (!Ended(another) || otherwise is null)
                return null;
            others.Add(
                new ElseIfStatement(new LocatedCondition(end.Offset, otherwise), ways.Of(Block(token, ["elsif", "else", "endif"], out end)))
            );
        }

        return new IfStatement(condition, then, Else(token, ref end, "endif", ways), others);
    }

    private UnlessStatement? Unless(Token token, ExpressionReader reader)
    {
        var condition = reader.Condition();
        if (!Ended(reader) || condition is null)
            return null;
        var ways = new Ways(contexts.Peek());
        var then = ways.Of(Block(token, ["else", "endunless"], out var end));
        return new UnlessStatement(condition, then, Else(token, ref end, "endunless", ways));
    }

    private CaseStatement? Case(Token token, ExpressionReader reader)
    {
        var value = reader.Value();
        if (!Ended(reader) || value is null)
            return null;
        Block(token, ["when", "else", "endcase"], out var end);
        var ways = new Ways(contexts.Peek());
        var whens = new List<WhenStatement>();
        while (Fault is null && end?.Name == "when")
        {
            var options = new List<Expression>();
            var when = Expressions(end, end.AfterName);
            do
            {
                if (when.Value() is { } option)
                    options.Add(new Option(end.Offset, option));
            } while (when.Symbol(",") || when.Word("or"));
            if (!Ended(when))
                return null;
            whens.Add(new WhenStatement(options, ways.Of(Block(token, ["when", "else", "endcase"], out end))));
        }

        return new CaseStatement(value, Else(token, ref end, "endcase", ways), [.. whens]);
    }

    private ForStatement? For(Token token, ExpressionReader reader)
    {
        var name = reader.Identifier("the name of the loop's variable");
        if (name is not null && !reader.Word("in"))
            reader.Fail("for is written {% for item in items %}; the in is missing");
        var source = name is null ? null : reader.Value();
        Expression? limit = null,
            offset = null;
        var reversed = false;
        while (source is not null && !reader.AtEnd)
        {
            if (reader.Word("reversed"))
                reversed = true;
            else if (reader.Word("limit") && reader.Symbol(":"))
                limit = reader.Value();
            else if (reader.Word("offset") && reader.Symbol(":"))
                offset = reader.Value();
            else
                break;
        }

        if (!Ended(reader) || source is null)
            return null;
        own.Add(name!);
        var (context, ways) = (contexts.Peek(), new Ways(contexts.Peek()));
        var (before, values) = (context.Position, context.Values);
        context.BeginLoop();
        exits.Push((contexts.Count, []));
        var body = Block(token, ["else", "endfor"], out var end);
        foreach (var exit in exits.Pop().Left)
            context.Position = context.Position.Or(exit);
        if (html && context.Values > values && !context.Position.BeginsAgain(before))
            Fail(
                token.Offset,
                "a turn of the loop ends inside another tag or attribute than it begins, "
                    + "so that nobody knows where the next one's values stand; close tags and quotes in it"
            );
        ways.Of(body);
        return new ForStatement(
            [new Located(token.Offset, null), .. body],
            name!,
            new LoopSource(source, limit, offset),
            null,
            null,
            reversed,
            Else(token, ref end, "endfor", ways)
        );
    }

    // A loop, or what is captured in it, may end here.
    private bool Leave(Token token)
    {
        if (!html || exits.Count == 0)
            return true;
        var (depthOfLoop, left) = exits.Peek();
        if (depthOfLoop == contexts.Count)
            left.Add(contexts.Peek().Position);
        else if (!contexts.Peek().IsBetweenTags)
            Fail(token.Offset, $"{token.Name} stands inside a tag or an attribute of what is captured; close tags and quotes before it");
        return Fault is null;
    }

    // The last of a block's ways; without it there is one that writes nothing. A loop that is left early has written a part.
    private ElseStatement? Else(Token token, ref Token? end, string last, Ways ways)
    {
        var otherwise =
            end?.Name == "else" && Ended(Expressions(end, end.AfterName))
                ? new ElseStatement(ways.Of(Block(token, [last], out end)))
                : null;
        ways.Join(isAnySure: otherwise is not null && token.Name != "for");
        return otherwise;
    }

    private ExpressionReader Expressions(Token token, int from) =>
        new(token.Text[from..], token.Offset + from, (name, offset) => used.TryAdd(name, offset));

    // Whether a tag was read to its end; else its fault is the template's.
    private bool Ended(ExpressionReader reader)
    {
        reader.End();
        if (reader.Fault is { } fault)
            Fail(fault.Offset, fault.Message);
        return Fault is null;
    }

    private Statement? Failed(int offset, string message)
    {
        Fail(offset, message);
        return null;
    }

    private void Fail(int offset, string message) => Fault ??= (offset, message);

    // The ways through a block: each begins where the block does, and what follows it follows any of them.
    private sealed class Ways(HtmlContext context)
    {
        private readonly HtmlPosition before = context.Position;
        private HtmlPosition? after;

        public List<Statement> Of(List<Statement> way)
        {
            after = after?.Or(context.Position) ?? context.Position;
            context.Position = before;
            return way;
        }

        public void Join(bool isAnySure) =>
            context.Position =
                after is not { } any ? before
                : isAnySure ? any
                : any.Or(before);
    }
}
