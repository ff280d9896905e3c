namespace Notify.Tests.Api;

using Notify.Api.Recipients;

public class ImportProgressTests
{
    [Theory]
    [InlineData(120, "[###############...............] 50%  50,000 lines, 3 refused")]
    [InlineData(0, "[###############...............] 50%  50,000 lines, 3 refused")] // not known: 80
    [InlineData(50, "[#########.........] 50%  50,000 lines, 3 refused")]
    [InlineData(40, "[####....] 50%  50,000 lines, 3 refused")]
    [InlineData(35, "50%  50,000 lines, 3 refused")]
    [InlineData(20, "50%  50,000 lines, ")]
    [InlineData(1, "")]
    public void The_bar_fits_into_the_line(int width, string bar) => Assert.Equal(bar, ImportProgress.Bar(0.5, 50_000, 3, width));

    [Theory]
    [InlineData(120, "50,000 lines, 3 refused")]
    [InlineData(10, "50,000 li")]
    public void Where_nobody_knows_the_end_there_is_no_bar(int width, string text) =>
        Assert.Equal(text, ImportProgress.Bar(null, 50_000, 3, width));

    [Fact]
    public void Where_nobody_knows_the_end_and_nobody_looks_there_is_a_line_now_and_then()
    {
        using var output = new StringWriter { NewLine = "\n" };
        var progress = new ImportProgress(output, isTerminal: false, () => 0);
        for (var lines = 1_000; lines <= 250_000; lines += 1_000)
            progress.Show(null, lines, 0);
        Assert.Equal("notify: 100,000 lines, 0 refused\nnotify: 200,000 lines, 0 refused\n", output.ToString());
    }

    [Fact]
    public void Where_nobody_looks_there_is_a_line_for_every_tenth_and_no_control_character()
    {
        using var output = new StringWriter { NewLine = "\n" };
        var progress = new ImportProgress(output, isTerminal: false, () => throw new IOException("there is no terminal"));
        for (var i = 1; i <= 100; i++)
            progress.Show(i / 100.0, i, 0);
        progress.Say("line 7: wrong");
        progress.Clear();
        var lines = output.ToString().TrimEnd('\n').Split('\n');
        Assert.Equal(11, lines.Length);
        Assert.Equal(
            ("notify: 10%  10 lines, 0 refused", "notify: 100%  100 lines, 0 refused", "notify: line 7: wrong"),
            (lines[0], lines[9], lines[10])
        );
        Assert.DoesNotContain('\u001b', output.ToString());
    }

    [Fact]
    public void Message_is_printed_on_its_own_line_above_the_bar()
    {
        using var output = new StringWriter { NewLine = "\n" };
        var progress = new ImportProgress(output, isTerminal: true, () => 80);
        progress.Show(0.5, 500, 0);
        progress.Say("line 7: wrong");
        progress.Show(1, 1000, 1);
        progress.Clear();
        Assert.Equal(
            $"\r\x1b[K{ImportProgress.Bar(0.5, 500, 0, 80)}\r\x1b[Knotify: line 7: "
                + $"wrong\n\r\x1b[K{ImportProgress.Bar(1, 1000, 1, 80)}\r\x1b[K",
            output.ToString()
        );
    }
}
