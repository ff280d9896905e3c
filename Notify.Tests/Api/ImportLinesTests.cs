namespace Notify.Tests.Api;

using System.IO.Pipelines;
using System.Text;
using Notify.Api.Recipients;

public class ImportLinesTests
{
    [Theory]
    [InlineData("", "")]
    [InlineData("a", "1a")]
    [InlineData("a\n", "1a")]
    [InlineData("a\nb", "1a 2b")]
    [InlineData("\n\na\n", "1 2 3a")]
    [InlineData("12345678\n123456789\nb\n", "112345678 2! 3b")]
    [InlineData("123456789", "1!")]
    [InlineData("123456789012345678901234567890\nb", "1! 2b")]
    [InlineData("\ufeffa\n\ufeffb", "1a 2\ufeffb")]
    public async Task Lines_are_read_however_they_arrive(string text, string expected)
    {
        for (var piece = 1; piece < 12; piece++)
        {
            var pipe = new Pipe();
            var writing = WriteAsync(pipe.Writer, Encoding.UTF8.GetBytes(text), piece);
            var lines = new List<string>();
            await foreach (var (number, line) in ImportLines.ReadAsync(pipe.Reader, 8, CancellationToken.None))
                lines.Add($"{number}{(line is null ? "!" : Encoding.UTF8.GetString(line))}");
            await writing;
            Assert.Equal(expected, string.Join(' ', lines));
        }
    }

    /// <summary>RFC 8259, section 8.1: a byte order mark may be ignored. Files that were put together have one each.</summary>
    [Theory]
    [InlineData("a", "a")]
    [InlineData("\ufeffa", "a")]
    [InlineData("\ufeff\ufeffa\ufeff", "a\ufeff")]
    [InlineData("\ufeff", "")]
    public void Byte_order_marks_before_a_line_are_dropped(string line, string expected) =>
        Assert.Equal(expected, Encoding.UTF8.GetString(ImportLines.WithoutMarks(Encoding.UTF8.GetBytes(line))));

    private static async Task WriteAsync(PipeWriter writer, byte[] text, int piece)
    {
        foreach (var part in text.Chunk(piece))
        {
            await writer.WriteAsync(part);
            await Task.Yield();
        }

        await writer.CompleteAsync();
    }
}
