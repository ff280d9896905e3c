namespace Notify.Projections.Analytics;

using System.Globalization;
using System.Numerics;

/// <summary>
/// Counts of milliseconds in buckets: one for each value below 32, from there on 16 for each doubling. A percentile read
/// from it is off by at most 1/32; adding up is exact. The SQL function <c>analytics.percentile</c> reads the same buckets.
/// </summary>
public static class LatencyHistogram
{
    private const int Exact = 32,
        PerDoubling = 16;

    /// <summary>The bucket that milliseconds fall into; negative ones count as 0.</summary>
    public static int BucketOf(long milliseconds)
    {
        if (milliseconds < Exact)
            return (int)Math.Max(0, milliseconds);
        var doubling = BitOperations.Log2((ulong)milliseconds);
        return Exact + ((doubling - 5) * PerDoubling) + (int)((milliseconds >> (doubling - 4)) & (PerDoubling - 1));
    }

    /// <summary>A histogram as PostgreSQL writes a <c>bigint[]</c>, without the empty buckets at its end.</summary>
    public static string Write(IReadOnlyList<long> counts)
    {
        var length = counts.Count;
        while (length > 0 && counts[length - 1] == 0)
            length--;
        return $"{{{string.Join(',', counts.Take(length).Select(c => c.ToString(CultureInfo.InvariantCulture)))}}}";
    }
}
