namespace Notify.Sandbox.Ledger;

using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using Microsoft.Net.Http.Headers;

/// <summary>One request and its outcome, packed into bytes; read back without copying.</summary>
/// <remarks>
/// provider (1), received at in UTC ticks (8), message ID, outcome, method, path and target,
/// number of headers (2) and each name and value, body. Texts are UTF-8 behind their length (2), the body behind 4.
/// </remarks>
internal readonly ref struct LedgerRecord
{
    private readonly ReadOnlySpan<byte> _headers;

    public LedgerRecord(ReadOnlySpan<byte> packed)
    {
        Provider = packed[0];
        ReceivedAt = new DateTime(ReceivedAtOf(packed), DateTimeKind.Utc);
        packed = packed[9..];
        MessageId = TakeText(ref packed);
        Outcome = TakeText(ref packed);
        Method = TakeText(ref packed);
        Path = TakeText(ref packed);
        HeaderCount = BinaryPrimitives.ReadUInt16LittleEndian(packed);
        _headers = packed = packed[2..];
        for (var i = 0; i < HeaderCount * 2; i++)
            TakeText(ref packed);
        Body = packed.Slice(4, BinaryPrimitives.ReadInt32LittleEndian(packed));
    }

    /// <summary>Index of the provider's dialect.</summary>
    public byte Provider { get; }

    public DateTime ReceivedAt { get; }

    /// <summary>Empty for none.</summary>
    public ReadOnlySpan<byte> MessageId { get; }

    public ReadOnlySpan<byte> Outcome { get; }

    public ReadOnlySpan<byte> Method { get; }

    /// <summary>The request's target as it came, with the query.</summary>
    public ReadOnlySpan<byte> Path { get; }

    public int HeaderCount { get; }

    public ReadOnlySpan<byte> Body { get; }

    /// <summary>When a packed entry came, in UTC ticks.</summary>
    public static long ReceivedAtOf(ReadOnlySpan<byte> packed) => BinaryPrimitives.ReadInt64LittleEndian(packed[1..]);

    public HeaderEnumerator GetHeaders() => new(_headers, HeaderCount);

    public static void Pack(ArrayBufferWriter<byte> into, in LedgerEntry entry, string? messageId, string outcome, ReadOnlySpan<byte> body)
    {
        var head = into.GetSpan(9);
        head[0] = entry.Provider;
        BinaryPrimitives.WriteInt64LittleEndian(head[1..], entry.ReceivedAt.UtcTicks);
        into.Advance(9);
        PutText(into, messageId);
        PutText(into, outcome);
        PutText(into, entry.Method);
        PutText(into, entry.Target);
        PutHeaders(into, entry.Headers);
        BinaryPrimitives.WriteInt32LittleEndian(into.GetSpan(4), body.Length);
        into.Advance(4);
        into.Write(body);
    }

    private static void PutHeaders(ArrayBufferWriter<byte> into, IHeaderDictionary headers)
    {
        BinaryPrimitives.WriteUInt16LittleEndian(into.GetSpan(2), (ushort)headers.Count);
        into.Advance(2);
        foreach (var (name, values) in headers)
        {
            var value = values.Count == 1 ? values[0] : values.ToString();
            PutText(into, name);
            PutText(into, name == HeaderNames.Authorization ? Redact(value) : value);
        }
    }

    private static string Redact(string? authorization) =>
        authorization?.IndexOf(' ') switch
        {
            6 when authorization.StartsWith("bearer", StringComparison.Ordinal) => "bearer [redacted]",
            > 0 and <= 16 and var scheme => string.Concat(authorization.AsSpan(0, scheme), " [redacted]"),
            _ => "[redacted]",
        };

    private static void PutText(ArrayBufferWriter<byte> into, string? text)
    {
        // Kestrel allows no request line and no headers beyond 32 KiB, so that any text fits 16 bits.
        var space = into.GetSpan(2 + Encoding.UTF8.GetMaxByteCount(text?.Length ?? 0));
        var length = Encoding.UTF8.GetBytes(text, space[2..]);
        BinaryPrimitives.WriteUInt16LittleEndian(space, (ushort)length);
        into.Advance(2 + length);
    }

    private static ReadOnlySpan<byte> TakeText(scoped ref ReadOnlySpan<byte> packed)
    {
        var length = BinaryPrimitives.ReadUInt16LittleEndian(packed);
        var text = packed.Slice(2, length);
        packed = packed[(2 + length)..];
        return text;
    }

    /// <summary>Names and values in the order in which the server keeps them.</summary>
    public ref struct HeaderEnumerator(ReadOnlySpan<byte> packed, int left)
    {
        private ReadOnlySpan<byte> _packed = packed;
        private int _left = left;

        public bool MoveNext(out ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value)
        {
            name = value = default;
            if (_left-- <= 0)
                return false;

            name = TakeText(ref _packed);
            value = TakeText(ref _packed);
            return true;
        }
    }
}
