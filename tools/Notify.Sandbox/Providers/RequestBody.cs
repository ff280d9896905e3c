namespace Notify.Sandbox.Providers;

using System.Buffers;
using System.IO.Pipelines;

/// <summary>A request's raw body in a rented buffer.</summary>
public readonly struct RequestBody : IDisposable
{
    private readonly byte[]? _rented;
    private readonly int _length;

    private RequestBody(byte[]? rented, int length)
    {
        _rented = rented;
        _length = length;
    }

    /// <summary>The bytes, valid until disposal.</summary>
    public ReadOnlySpan<byte> Span => _rented.AsSpan(0, _length);

    /// <summary>Reads to the end, or to <paramref name="maximum"/> and one byte more; throws what the server throws when the client goes
    /// away.</summary>
    public static async ValueTask<RequestBody> ReadAsync(PipeReader reader, int maximum)
    {
        while (true)
        {
            var result = await reader.ReadAsync();
            var buffer = result.Buffer;
            if (!result.IsCompleted && buffer.Length <= maximum)
            {
                reader.AdvanceTo(buffer.Start, buffer.End);
                continue;
            }

            var body = Copy(buffer.Slice(0, Math.Min(buffer.Length, maximum + 1L)));
            reader.AdvanceTo(buffer.End);
            return body;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_rented is not null)
            ArrayPool<byte>.Shared.Return(_rented);
    }

    private static RequestBody Copy(ReadOnlySequence<byte> bytes)
    {
        if (bytes.IsEmpty)
            return new RequestBody(null, 0);

        var length = (int)bytes.Length;
        var rented = ArrayPool<byte>.Shared.Rent(length);
        bytes.CopyTo(rented);
        return new RequestBody(rented, length);
    }
}
