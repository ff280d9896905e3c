namespace Notify.Domain.Templates.Liquid;

using System.Text.Encodings.Web;
using Fluid;
using Fluid.Ast;

/// <summary>One text of a template, ready to be rendered any number of times, by any number of threads.</summary>
internal sealed class LiquidText
{
    private readonly string source;
    private readonly IReadOnlyList<Statement> statements;

    private LiquidText(
        string source,
        IReadOnlyList<Statement> statements,
        IReadOnlyList<(string Name, int Offset)> parameters,
        bool html
    ) => (this.source, this.statements, Parameters, Html) = (source, statements, parameters, html);

    /// <summary>The variables that it reads and does not make itself, and where first.</summary>
    public IReadOnlyList<(string Name, int Offset)> Parameters { get; }

    /// <summary>Whether it is HTML.</summary>
    public bool Html { get; }

    /// <summary>Reads a text.</summary>
    /// <returns>The text, or where and why it cannot be read.</returns>
    public static (LiquidText? Text, (int Offset, string Message)? Fault) Parse(string source, bool html)
    {
        var (tokens, fault) = Tokens.Of(source);
        if (fault is not null)
            return (null, fault);
        var parser = new Parser(tokens, html);
        var statements = parser.Read();
        return parser.Fault is { } wrong ? (null, wrong) : (new LiquidText(source, statements, [.. parser.Parameters], html), null);
    }

    /// <summary>Line and column of a place in a source, both from 1.</summary>
    public static (int Line, int Column) Place(string source, int offset)
    {
        var before = source.AsSpan(0, Math.Clamp(offset, 0, source.Length));
        return (before.Count('\n') + 1, before.Length - before.LastIndexOf('\n'));
    }

    /// <summary>Renders it.</summary>
    /// <param name="limit">The most characters it may become.</param>
    /// <returns>The result, or where and why there is none.</returns>
    public (string? Result, (int Offset, string Message, bool IsBudget)? Fault) Render(RenderContext context, int limit)
    {
        try
        {
            using var writer = new LimitedWriter(limit);
            // Nothing in a template waits: it is complete.
            RunAsync(statements, writer, NullEncoder.Default, context).AsTask().GetAwaiter().GetResult();
            return (writer.ToString(), null);
        }
        catch (RenderStopped stopped)
        {
            return (null, (context.Position, stopped.Message, stopped.IsBudget));
        }
        catch (DivideByZeroException)
        {
            return (null, (context.Position, "divides by zero", false));
        }
        catch (Exception e) when (e is not (OperationCanceledException or OutOfMemoryException))
        {
            // A fault of the library: the same parameters would cause it at every attempt. Its message may contain values.
            return (null, (context.Position, "gives a filter, a member or a comparison what it cannot use", false));
        }
    }

    /// <summary>Line and column of a place in it.</summary>
    public (int Line, int Column) Place(int offset) => Place(source, offset);

    /// <summary>Carries out statements until one of them leaves a loop.</summary>
    public static async ValueTask<Completion> RunAsync(
        IReadOnlyList<Statement> statements,
        TextWriter writer,
        TextEncoder encoder,
        TemplateContext context
    )
    {
        foreach (var statement in statements)
        {
            if (await statement.WriteToAsync(writer, encoder, context) is var completion && completion != Completion.Normal)
                return completion;
        }

        return Completion.Normal;
    }
}
