namespace Notify.Sandbox.Ledger;

/// <summary>
/// A run of consecutive entries in one block of memory: millions of entries leave the garbage collector
/// only thousands of objects to know of.
/// </summary>
/// <remarks>Appended to under the ledger's lock; appended entries never change and are read without it.</remarks>
internal sealed class LedgerSegment(long firstSequence, int capacity)
{
    private readonly byte[] _bytes = GC.AllocateUninitializedArray<byte>(capacity);
    private int[] _ends = new int[256];

    /// <summary>The sequence of the first entry.</summary>
    public long FirstSequence { get; } = firstSequence;

    /// <summary>When the first entry came, in UTC ticks; 0: there is none.</summary>
    public long FirstAt { get; private set; }

    /// <summary>When the latest entry came, in UTC ticks; 0: there is none.</summary>
    public long LastAt { get; private set; }

    /// <summary>How many entries there are.</summary>
    public int Count { get; private set; }

    /// <summary>Size of the block in bytes, used or not.</summary>
    public int Capacity => _bytes.Length;

    private int Used => Count == 0 ? 0 : _ends[Count - 1];

    /// <summary>Whether there is room for so many more bytes.</summary>
    public bool Fits(int length) => length <= _bytes.Length - Used;

    /// <summary>Adds an entry that fits.</summary>
    public void Append(ReadOnlySpan<byte> entry)
    {
        var start = Used;
        entry.CopyTo(_bytes.AsSpan(start));
        if (Count == _ends.Length)
            Array.Resize(ref _ends, Count * 2);
        _ends[Count++] = start + entry.Length;
        var at = LedgerRecord.ReceivedAtOf(entry);
        FirstAt = FirstAt == 0 ? at : Math.Min(FirstAt, at);
        LastAt = Math.Max(LastAt, at);
    }

    /// <summary>The entries so far, to be read while others are appended. Taken under the ledger's lock.</summary>
    public Slice Snapshot() => new(FirstSequence, Count, _bytes, _ends);

    /// <summary>The first <paramref name="Count"/> entries of a segment.</summary>
    public readonly record struct Slice(long FirstSequence, int Count, byte[] Bytes, int[] Ends)
    {
        /// <summary>The entry at an index from 0.</summary>
        public ReadOnlySpan<byte> this[int index]
        {
            get
            {
                var start = index == 0 ? 0 : Ends[index - 1];
                return Bytes.AsSpan(start, Ends[index] - start);
            }
        }
    }
}
