namespace Notify.Domain.Templates;

using Notify.Domain.Templates.Liquid;

/// <summary>A version of a layout, ready to be set around emails.</summary>
public sealed class CompiledLayout
{
    /// <summary>The name in a layout that the email replaces.</summary>
    public const string Content = "content";

    /// <summary>The values that a layout knows.</summary>
    public static readonly IReadOnlyList<string> Known = [Content, "subject", "locale"];

    private CompiledLayout(LiquidText html, LiquidText? text, string? styles) => (Html, Text, Styles) = (html, text, styles);

    internal LiquidText Html { get; }

    internal LiquidText? Text { get; }

    internal string? Styles { get; }

    /// <summary>Compiles a layout.</summary>
    /// <returns>The layout, or every fault.</returns>
    public static (CompiledLayout? Layout, IReadOnlyList<TemplateFault> Faults) Compile(LayoutDefinition definition)
    {
        var faults = new List<TemplateFault>();
        var html = Read("html", definition.Html, true);
        var text = definition.Text is null ? null : Read("text", definition.Text, false);
        if (definition.Styles?.Contains("</", StringComparison.Ordinal) == true)
            faults.Add(new TemplateFault("styles", 0, 0, "must be CSS alone, without </"));
        return faults.Count > 0 ? (null, faults) : (new CompiledLayout(html!, text, definition.Styles), []);

        LiquidText? Read(string field, string source, bool isHtml)
        {
            var (read, fault) = LiquidText.Parse(source, isHtml);
            if (fault is { } f)
                Add(field, source, f.Offset, f.Message);
            if (read is null)
                return null;
            foreach (var (name, offset) in read.Parameters.Where(p => !Known.Contains(p.Name)))
                Add(field, source, offset, $"{name} is not known to a layout; known are {string.Join(", ", Known)}");
            if (read.Parameters.All(p => p.Name != Content))
                faults.Add(new TemplateFault(field, 0, 0, "must have {{ content }} where the email goes"));
            return read;
        }

        void Add(string field, string source, int offset, string message)
        {
            var (line, column) = LiquidText.Place(source, offset);
            faults.Add(new TemplateFault(field, line, column, message));
        }
    }
}
