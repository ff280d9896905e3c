namespace Notify.Dispatch.Receipts;

/// <summary>Bounds the bytes of receipt posts that are in memory at once, from before a body is read until its receipts are
/// committed.</summary>
/// <param name="max">In bytes. One post alone is always taken.</param>
public sealed class ReceiptBudget(long max = ReceiptBudget.Max)
{
    // While the signature of a form is computed, its text is held up to six times; see ReceiptMemoryTests.
    private const int Copies = 8;

    /// <summary>As many as four of the largest posts, with the copies that reading them makes.</summary>
    public const long Max = 4L * Copies * ReceiptEndpoints.MaxBytes;

    /// <summary>Returns the memory that a post needs until its receipts are committed.</summary>
    /// <param name="bytes">Bytes of its body.</param>
    public static long Of(long bytes) => Copies * bytes;

    private long held;

    /// <summary>Reserves the bytes of a post.</summary>
    /// <returns>Whether there is room; if so, the caller releases them.</returns>
    public bool TryReserve(long bytes)
    {
        if (Interlocked.Add(ref held, bytes) is var total && (total <= max || total == bytes))
            return true;
        Interlocked.Add(ref held, -bytes);
        return false;
    }

    /// <summary>Releases bytes.</summary>
    public void Release(long bytes) => Interlocked.Add(ref held, -bytes);
}
