namespace Notify.Bench;

/// <summary>Rows and columns, as aligned text or as Markdown.</summary>
internal sealed class Table(IReadOnlyList<string> heads, IReadOnlyList<string[]> rows)
{
    /// <summary>A row for each item, a column for each pair.</summary>
    public static Table Of<T>(IReadOnlyList<T> items, params IReadOnlyList<(string Head, Func<T, string> Cell)> columns) =>
        new([.. columns.Select(c => c.Head)], [.. items.Select(item => columns.Select(c => c.Cell(item)).ToArray())]);

    /// <summary>Writes it to the standard output, an empty line behind it.</summary>
    public void Write(bool markdown)
    {
        var widths = heads.Select((head, i) => rows.Select(r => r[i].Length).Prepend(head.Length).Max()).ToArray();
        string Line(IReadOnlyList<string> cells) =>
            markdown
                ? $"| {string.Join(" | ", cells)} |"
                : string.Join("  ", cells.Select((cell, i) => i == 0 ? cell.PadRight(widths[i]) : cell.PadLeft(widths[i])));
        Console.WriteLine(Line(heads));
        Console.WriteLine(
            markdown
                ? $"|{string.Join("|", heads.Select((_, i) => i == 0 ? "---" : "---:"))}|"
                : new string('-', widths.Sum() + 2 * (widths.Length - 1))
        );
        foreach (var row in rows)
            Console.WriteLine(Line(row));
        Console.WriteLine();
    }
}
