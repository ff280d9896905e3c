namespace Notify.Dispatch.Receipts;

/// <summary>Bounds the bytes of receipt posts that are in memory at once, from before a body is read until its receipts are
/// committed.</summary>
/// <param name="max">In bytes. One post alone is always taken.</param>
public sealed class ReceiptBudget(long max = ReceiptBudget.Max)
{
    /// <summary>As many as eight of the largest posts.</summary>
    public const long Max = 8L * ReceiptEndpoints.MaxBytes;

    private long held;

    /// <summary>Reserves the bytes of a post.</summary>
    /// <returns>Whether there is room; if so, the caller gives them back.</returns>
    public bool TryReserve(long bytes)
    {
        if (Interlocked.Add(ref held, bytes) is var total && (total <= max || total == bytes)) return true;
        Interlocked.Add(ref held, -bytes);
        return false;
    }

    /// <summary>Gives bytes back.</summary>
    public void Release(long bytes) => Interlocked.Add(ref held, -bytes);
}
