namespace Notify.Projections.Analytics;

using Notify.Delivery.Tracking;
using Notify.Domain.Notifications;

/// <summary>One delivery, as far as it is counted.</summary>
/// <param name="Opens">Opens recorded as events.</param>
/// <param name="Clicks">Links clicked, each once.</param>
/// <param name="BroadcastId">The broadcast that made its notification; <c>null</c>: none did.</param>
public sealed record CountedDelivery(
    DailyKey Key,
    string? BroadcastId,
    string Status,
    bool Dispatched,
    bool Delivered,
    long? LatencyMs,
    int Opens,
    int Clicks,
    bool Unsubscribed
);

/// <summary>The counts of a row of <c>analytics.daily</c>.</summary>
public sealed class DailyCounts
{
    private readonly long[] counts = new long[Columns.Count];
    private readonly List<long> histogram = [];

    /// <summary>The counted columns, in the order of the table.</summary>
    public static IReadOnlyList<string> Columns { get; } =
    [
        "requested",
        "suppressed",
        "cancelled",
        "expired",
        "in_flight",
        "unknown",
        "dispatched",
        "delivered",
        "failed",
        "dead_lettered",
        "opened",
        "opened_total",
        "clicked",
        "clicked_total",
        "unsubscribed",
    ];

    /// <summary>A column's count.</summary>
    public long this[int column] => counts[column];

    /// <summary>How many deliveries there are.</summary>
    public long Requested => counts[0];

    /// <summary>The latencies; see <see cref="LatencyHistogram"/>.</summary>
    public IReadOnlyList<long> Histogram => histogram;

    /// <summary>Adds a delivery once, or takes it out with −1.</summary>
    public void Add(CountedDelivery d, int sign)
    {
        Count(0, 1);
        Count(
            d.Status switch
            {
                "suppressed" => 1,
                "cancelled" => 2,
                "expired" => 3,
                "queued" or "deferred" or "attempting" => 4,
                "unknown" => 5,
                "failed" => 8,
                "deadLettered" => 9,
                _ => -1,
            },
            1
        );
        if (d.Dispatched)
            Count(6, 1);
        if (d.Delivered)
            Count(7, 1);
        if (d.Opens > 0)
            Count(10, 1);
        Count(11, d.Opens);
        if (d.Clicks > 0)
            Count(12, 1);
        Count(13, d.Clicks);
        if (d.Unsubscribed)
            Count(14, 1);
        if (d.LatencyMs is { } ms)
            AddToBucket(LatencyHistogram.BucketOf(ms), sign);

        void Count(int column, int by)
        {
            if (column >= 0)
                counts[column] += sign * by;
        }
    }

    /// <summary>Adds the counts of a row of the table.</summary>
    public void Add(IReadOnlyList<long> stored, IReadOnlyList<long> storedHistogram)
    {
        for (var i = 0; i < counts.Length; i++)
            counts[i] += stored[i];
        for (var i = 0; i < storedHistogram.Count; i++)
            AddToBucket(i, storedHistogram[i]);
    }

    private void AddToBucket(int bucket, long by)
    {
        while (histogram.Count <= bucket)
            histogram.Add(0);
        histogram[bucket] += by;
    }
}
