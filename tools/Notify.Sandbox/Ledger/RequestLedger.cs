using System.Buffers;
using System.Text;
using Notify.Sandbox.Providers;

namespace Notify.Sandbox.Ledger;

/// <summary>How many requests came, and what became of them: received = accepted + refused.</summary>
public readonly record struct LedgerCounts(long Received, long Accepted)
{
    /// <summary>All that was not taken on, including what was never answered.</summary>
    public long Refused => Received - Accepted;
}

/// <summary>A request as it came, without its body.</summary>
/// <param name="Provider">By <see cref="RequestLedger.IndexOf"/>.</param>
/// <param name="Method">HTTP's, or the command by which another protocol sends.</param>
/// <param name="Target">HTTP's, with the query; another protocol's recipient.</param>
public readonly record struct LedgerEntry(byte Provider, DateTimeOffset ReceivedAt, string Method, string? Target, IHeaderDictionary Headers);

/// <summary>
/// All that clients asked the providers to send, in the order in which it was judged, refused requests included.
/// </summary>
/// <remarks>Bounded: beyond <see cref="MaximumEntries"/> or <see cref="MaximumBytes"/> the oldest block of entries goes.</remarks>
public sealed class RequestLedger(IEnumerable<IProviderDialect> dialects)
{
    /// <summary>Entries kept at most.</summary>
    public const int MaximumEntries = 2_000_000;

    /// <summary>Memory for entries at most, in bytes.</summary>
    public const long MaximumBytes = 1L << 30;

    private const int SegmentSize = 1 << 20;

    [ThreadStatic]
    private static ArrayBufferWriter<byte>? _packing;

    private readonly Lock _lock = new();
    private readonly IProviderDialect[] _dialects = [.. dialects];
    private readonly LedgerCounts[] _counts = new LedgerCounts[dialects.Count()];
    private readonly Queue<LedgerSegment> _segments = new();
    private LedgerSegment? _last;
    private long _recorded;
    private long _bytes;

    /// <summary>The number by which entries name a provider.</summary>
    public byte IndexOf(IProviderDialect dialect) => (byte)Array.FindIndex(_dialects, known => known.Name == dialect.Name);

    /// <summary>The provider that a number names.</summary>
    public IProviderDialect Dialect(byte provider) => _dialects[provider];

    /// <summary>Adds a request; cheap enough for every request there is.</summary>
    /// <param name="messageId">The provider's ID of the message; null if it got none.</param>
    /// <param name="outcome"><see cref="ProviderAnswer.Accepted"/>, or the provider's reason or code.</param>
    public void Record(in LedgerEntry entry, ReadOnlySpan<byte> body, string? messageId, string outcome)
    {
        var packing = _packing ??= new ArrayBufferWriter<byte>(4096);
        packing.ResetWrittenCount();
        LedgerRecord.Pack(packing, entry, messageId, outcome, body);
        var provider = entry.Provider;

        lock (_lock)
        {
            Append(packing.WrittenSpan);
            var counts = _counts[provider];
            _counts[provider] = new LedgerCounts(counts.Received + 1, counts.Accepted + (outcome == ProviderAnswer.Accepted ? 1 : 0));
        }
    }

    /// <summary>Forgets everything; the next entry is number 1 again.</summary>
    public void Clear()
    {
        lock (_lock)
        {
            _segments.Clear();
            _last = null;
            _recorded = _bytes = 0;
            Array.Clear(_counts);
        }
    }

    /// <summary>Counts by provider of everything since the last <see cref="Clear"/>.</summary>
    public IReadOnlyDictionary<string, LedgerCounts> Count()
    {
        lock (_lock)
            return Named(_counts);
    }

    /// <summary>Counts by provider of the entries kept that contain a text.</summary>
    public IReadOnlyDictionary<string, LedgerCounts> Count(TextQuery text)
    {
        var counts = new LedgerCounts[_dialects.Length];
        var accepted = Encoding.UTF8.GetBytes(ProviderAnswer.Accepted);
        foreach (var slice in Snapshot())
        {
            for (var i = 0; i < slice.Count; i++)
            {
                var record = new LedgerRecord(slice[i]);
                ref var count = ref counts[record.Provider];
                if (_dialects[record.Provider].Mentions(record.Body, text))
                    count = new LedgerCounts(count.Received + 1, count.Accepted + (record.Outcome.SequenceEqual(accepted) ? 1 : 0));
            }
        }

        return Named(counts);
    }

    /// <summary>The entries kept at this moment, oldest first.</summary>
    internal LedgerSegment.Slice[] Snapshot()
    {
        lock (_lock)
            return [.. _segments.Select(segment => segment.Snapshot())];
    }

    private void Append(ReadOnlySpan<byte> entry)
    {
        if (_last is null || !_last.TryAppend(entry))
        {
            _last = new LedgerSegment(_recorded + 1, Math.Max(SegmentSize, entry.Length));
            _last.TryAppend(entry);
            _segments.Enqueue(_last);
            _bytes += _last.Capacity;
        }

        _recorded++;
        while (_bytes > MaximumBytes || _recorded - _segments.Peek().FirstSequence >= MaximumEntries)
            _bytes -= _segments.Dequeue().Capacity;
    }

    private Dictionary<string, LedgerCounts> Named(LedgerCounts[] counts)
    {
        var named = new Dictionary<string, LedgerCounts>(StringComparer.Ordinal);
        for (var i = 0; i < counts.Length; i++)
            named[_dialects[i].Name] = counts[i];
        return named;
    }
}
