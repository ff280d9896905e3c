namespace Notify.Sandbox.Ledger;

using System.Buffers;
using System.Text;
using Notify.Sandbox.Providers;

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
public readonly record struct LedgerEntry(
    byte Provider,
    DateTimeOffset ReceivedAt,
    string Method,
    string? Target,
    IHeaderDictionary Headers
);

/// <summary>
/// All that clients asked the providers to send, in the order in which it was judged, refused requests included.
/// </summary>
/// <remarks>
/// Bounded: beyond <see cref="MaximumEntries"/> or <see cref="MaximumBytes"/> the oldest block of entries goes. With files, each block
/// has one of its own on disk, and a ledger that is made anew has what they hold. A block goes when its latest entry is older than the
/// time to live; it takes entries for a 24th of that time at most.
/// </remarks>
public sealed class RequestLedger
{
    /// <summary>Entries kept at most.</summary>
    public const int MaximumEntries = 2_000_000;

    /// <summary>Memory for entries at most, in bytes.</summary>
    public const long MaximumBytes = 1L << 30;

    private const int SegmentSize = 1 << 20,
        SegmentsPerLife = 24;

    [ThreadStatic]
    private static ArrayBufferWriter<byte>? _packing;

    private static readonly byte[] AcceptedUtf8 = Encoding.UTF8.GetBytes(ProviderAnswer.Accepted);
    private readonly Lock _lock = new();
    private readonly IProviderDialect[] _dialects;
    private readonly LedgerCounts[] _counts;
    private readonly LedgerFiles? _files;
    private readonly long _life;
    private readonly Queue<LedgerSegment> _segments = new();
    private LedgerSegment? _last;
    private long _recorded;
    private long _bytes;

    /// <summary>Reads what the files hold.</summary>
    /// <param name="files">Where entries are kept beside this memory; null: nowhere.</param>
    /// <param name="age">How long; null: until there is no room.</param>
    public RequestLedger(IEnumerable<IProviderDialect> dialects, LedgerFiles? files = null, LedgerAge? age = null)
    {
        _life = age?.TimeToLive.Ticks ?? 0;
        _dialects = [.. dialects];
        _counts = new LedgerCounts[_dialects.Length];
        _files = files;
        foreach (var file in files?.Read() ?? [])
            Load(file);
    }

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
            Count(provider, outcome == ProviderAnswer.Accepted);
        }
    }

    /// <summary>Has each provider's messages made anew from the requests that it accepted.</summary>
    public void Restore(IEnumerable<IProviderHistory> histories)
    {
        var known = histories.ToDictionary(history => history.Provider, StringComparer.Ordinal);
        foreach (var slice in Snapshot())
        {
            for (var i = 0; i < slice.Count; i++)
            {
                var record = new LedgerRecord(slice[i]);
                if (IsAccepted(record) && known.TryGetValue(_dialects[record.Provider].Name, out var history))
                    history.Restore(Encoding.UTF8.GetString(record.MessageId), record.ReceivedAt, record.Body);
            }
        }
    }

    /// <summary>Drops the blocks whose time to live has passed.</summary>
    public void Expire(DateTimeOffset now)
    {
        if (_life <= 0)
            return;
        lock (_lock)
        {
            while (_segments.TryPeek(out var oldest) && oldest.LastAt < now.UtcTicks - _life)
                DropOldest();
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
            _files?.Clear();
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
        foreach (var slice in Snapshot())
        {
            for (var i = 0; i < slice.Count; i++)
            {
                var record = new LedgerRecord(slice[i]);
                ref var count = ref counts[record.Provider];
                if (_dialects[record.Provider].Mentions(record.Body, text))
                    count = new LedgerCounts(count.Received + 1, count.Accepted + (IsAccepted(record) ? 1 : 0));
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

    private static bool IsAccepted(in LedgerRecord record) => record.Outcome.SequenceEqual(AcceptedUtf8);

    private void Append(ReadOnlySpan<byte> entry)
    {
        if (_last is null || !_last.Fits(entry.Length) || IsSpent(_last, LedgerRecord.ReceivedAtOf(entry)))
        {
            _files?.Begin(_recorded + 1, new LedgerFileHeader([.. _dialects.Select(dialect => dialect.Name)], [.. _counts]));
            Begin(entry.Length);
        }

        _files?.Append(entry);
        _last!.Append(entry);
        _recorded++;
        while (_bytes > MaximumBytes || _recorded - _segments.Peek().FirstSequence >= MaximumEntries)
            DropOldest();
    }

    private bool IsSpent(LedgerSegment segment, long now) =>
        _life > 0 && segment.FirstAt > 0 && now - segment.FirstAt > _life / SegmentsPerLife;

    private void DropOldest()
    {
        var oldest = _segments.Dequeue();
        _bytes -= oldest.Capacity;
        _files?.Drop(oldest.FirstSequence, isLast: ReferenceEquals(oldest, _last));
        if (ReferenceEquals(oldest, _last))
            _last = null;
    }

    private void Begin(int needed)
    {
        _last = new LedgerSegment(_recorded + 1, Math.Max(SegmentSize, needed));
        _segments.Enqueue(_last);
        _bytes += _last.Capacity;
    }

    // A provider that this version does not know keeps its place in the sequence, as the first one's.
    private void Load(LedgerFile file)
    {
        var numbers = file.Header.Providers.Select(name => Math.Max(0, Array.FindIndex(_dialects, known => known.Name == name))).ToArray();
        if (_segments.Count == 0)
        {
            for (var i = 0; i < numbers.Length; i++)
                _counts[numbers[i]] = file.Header.Counts[i];
        }

        _recorded = file.FirstSequence - 1;
        Begin(file.Entries.Sum(entry => entry.Length));
        foreach (var entry in file.Entries)
        {
            entry[0] = (byte)numbers[entry[0]];
            _last!.Append(entry);
            _recorded++;
            Count(entry[0], IsAccepted(new LedgerRecord(entry)));
        }
    }

    private void Count(byte provider, bool isAccepted)
    {
        var counts = _counts[provider];
        _counts[provider] = new LedgerCounts(counts.Received + 1, counts.Accepted + (isAccepted ? 1 : 0));
    }

    private Dictionary<string, LedgerCounts> Named(LedgerCounts[] counts)
    {
        var named = new Dictionary<string, LedgerCounts>(StringComparer.Ordinal);
        for (var i = 0; i < counts.Length; i++)
            named[_dialects[i].Name] = counts[i];
        return named;
    }
}
