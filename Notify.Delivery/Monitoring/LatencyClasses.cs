namespace Notify.Delivery.Monitoring;

/// <summary>Counts of durations in fixed classes, so that hosts' and buckets' counts can be added and asked for percentiles.</summary>
public static class LatencyClasses
{
    /// <summary>The upper bound of each class, in milliseconds; one more class holds all above. Appended to, never changed: rows hold
    /// counts by position.</summary>
    public static IReadOnlyList<int> Bounds { get; } =
    [5, 10, 20, 35, 50, 75, 100, 150, 200, 300, 500, 750, 1000, 1500, 2000, 3000, 5000, 7500, 10_000];

    /// <summary>How many classes there are.</summary>
    public static int Classes => Bounds.Count + 1;

    /// <summary>The class of a duration.</summary>
    public static int ClassOf(TimeSpan duration)
    {
        var ms = duration.TotalMilliseconds;
        var at = 0;
        while (at < Bounds.Count && ms > Bounds[at])
            at++;
        return at;
    }

    /// <summary>A percentile in milliseconds, interpolated within its class; <c>null</c> when nothing was counted.</summary>
    /// <param name="counts">By class; missing classes count as 0.</param>
    /// <param name="share">Such as 0.95.</param>
    public static double? Percentile(IReadOnlyList<long> counts, double share)
    {
        var total = counts.Sum();
        if (total == 0)
            return null;
        var (rank, below) = (share * total, 0L);
        for (var i = 0; i < counts.Count; i++)
        {
            if (counts[i] > 0 && below + counts[i] >= rank)
            {
                var (from, to) = (i == 0 ? 0 : Bounds[i - 1], i < Bounds.Count ? Bounds[i] : Bounds[^1]);
                return Math.Round(from + ((to - from) * Math.Max(0, rank - below) / counts[i]), 1);
            }

            below += counts[i];
        }

        return Bounds[^1];
    }
}
