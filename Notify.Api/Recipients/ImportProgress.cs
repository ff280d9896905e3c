namespace Notify.Api.Recipients;

using System.Globalization;

/// <summary>
/// Shows the progress of an import: a bar that is overwritten on a terminal, else a line for every tenth of the file, or every 100,000
/// lines of an input without a known end.
/// </summary>
/// <param name="isTerminal">Whether somebody looks.</param>
/// <param name="width">The terminal's width in columns, asked each time, since windows change; 0: not known.</param>
public sealed class ImportProgress(TextWriter output, bool isTerminal, Func<int> width)
{
    private const string Name = "notify";
    private const int LongestBar = 30,
        ShortestBar = 5,
        LinesToTell = 100_000;
    private long told;

    /// <summary>The one for this process: standard error, so that the result can be piped on.</summary>
    public static ImportProgress OfConsole() => new(Console.Error, !Console.IsErrorRedirected, WidthOfConsole);

    /// <summary>Shows how far it is.</summary>
    /// <param name="part">The part of the file that was read, 0 to 1; <c>null</c>: nobody knows how much there is.</param>
    public void Show(double? part, long lines, long failed)
    {
        if (isTerminal)
            output.Write($"\r\x1b[K{Bar(part, lines, failed, width())}");
        var reached = part is { } known ? (long)(known * 10) : lines / LinesToTell;
        if (!isTerminal && reached > told)
            output.WriteLine($"{Name}: {Text(part, lines, failed)}");
        told = Math.Max(told, reached);
    }

    /// <summary>Says something on a line of its own.</summary>
    public void Say(string message)
    {
        Clear();
        output.WriteLine($"{Name}: {message}");
    }

    /// <summary>Takes the bar away.</summary>
    public void Clear()
    {
        if (isTerminal)
            output.Write("\r\x1b[K");
    }

    /// <summary>One line that fits: the bar shrinks first, then goes, then the text is cut, since a line that wraps cannot be written
    /// over.</summary>
    public static string Bar(double? part, long lines, long failed, int width)
    {
        var text = Text(part, lines, failed);
        var room = (width > 0 ? width : 80) - 1;
        var length = Math.Min(LongestBar, room - text.Length - 3);
        if (part is not { } known || length < ShortestBar)
            return text.Length <= room ? text : text[..room];
        var full = (int)(known * length);
        return $"[{new string('#', full)}{new string('.', length - full)}] {text}";
    }

    private static string Text(double? part, long lines, long failed) =>
        string.Create(
            CultureInfo.InvariantCulture,
            $"{(part is { } known ? $"{(int)(known * 100)}%  " : "")}{lines:N0} lines, {failed:N0} refused"
        );

    private static int WidthOfConsole()
    {
        try
        {
            return Console.WindowWidth;
        }
        catch (IOException)
        {
            return 0;
        }
    }
}
