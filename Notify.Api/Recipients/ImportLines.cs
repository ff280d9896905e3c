namespace Notify.Api.Recipients;

using System.Buffers;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;

/// <summary>Reads lines from a stream of any length, holding one at a time.</summary>
public static class ImportLines
{
    /// <summary>The lines with their numbers, from 1; without their ends, and without a byte order mark.</summary>
    /// <param name="maxBytes">The longest line; a longer one yields only its number.</param>
    public static async IAsyncEnumerable<(long Number, byte[]? Text)> ReadAsync(
        PipeReader reader,
        int maxBytes,
        [EnumeratorCancellation] CancellationToken cancellation
    )
    {
        var number = 0L;
        var isTooLong = false;
        while (true)
        {
            // A read from a pipe that nobody writes to cannot be called back.
            var result = await reader.ReadAsync(cancellation).AsTask().WaitAsync(cancellation);
            var buffer = result.Buffer;
            while (buffer.PositionOf((byte)'\n') is { } end)
            {
                yield return (++number, Take(buffer.Slice(0, end)));
                isTooLong = false;
                buffer = buffer.Slice(buffer.GetPosition(1, end));
            }

            if (isTooLong || buffer.Length > maxBytes)
                (isTooLong, buffer) = (true, buffer.Slice(buffer.End));
            if (result.IsCompleted && (isTooLong || buffer.Length > 0))
                yield return (++number, Take(buffer));
            reader.AdvanceTo(result.IsCompleted ? buffer.End : buffer.Start, buffer.End);
            if (result.IsCompleted)
                yield break;
        }

        byte[]? Take(ReadOnlySequence<byte> line)
        {
            if (isTooLong || line.Length > maxBytes)
                return null;
            var text = line.ToArray();
            return number == 1 && text is [0xEF, 0xBB, 0xBF, .. var rest] ? rest : text;
        }
    }

    /// <summary>A line without the byte order marks that it begins with: files that were put together have one each.</summary>
    public static byte[] WithoutMarks(byte[] line)
    {
        while (line is [0xEF, 0xBB, 0xBF, .. var rest])
            line = rest;
        return line;
    }

    /// <summary>Whether there is nothing in a line.</summary>
    public static bool IsBlank(byte[] line) => line.AsSpan().IndexOfAnyExcept(" \t\r"u8) < 0;
}
