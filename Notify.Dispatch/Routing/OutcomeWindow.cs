namespace Notify.Dispatch.Routing;

using Notify.Delivery.Monitoring;

/// <summary>The counts of a provider's calls within the window.</summary>
/// <param name="Calls">Calls that were counted.</param>
/// <param name="Failures">Those that failed.</param>
/// <param name="FailuresInARow">Failures since the last success, however long ago.</param>
/// <param name="P95Ms">Nineteen of twenty calls took no longer, in milliseconds; <c>null</c> without calls.</param>
public readonly record struct WindowCounts(long Calls, long Failures, int FailuresInARow, double? P95Ms = null)
{
    /// <summary>The share that failed, 0 to 1.</summary>
    public double FailureRate => Calls == 0 ? 0 : (double)Failures / Calls;
}

/// <summary>Counts a provider's outcomes over the last <see cref="Length"/>, by the second. Not safe for threads: its owner
/// locks.</summary>
public sealed class OutcomeWindow
{
    /// <summary>How far back it counts.</summary>
    public static readonly TimeSpan Length = TimeSpan.FromSeconds(Seconds);

    private const int Seconds = 30;
    private readonly Second[] seconds = [.. Enumerable.Range(0, Seconds).Select(_ => new Second())];
    private int failuresInARow;

    /// <summary>Counts one call.</summary>
    public void Add(bool failed, TimeSpan latency, DateTimeOffset now)
    {
        var number = now.ToUnixTimeSeconds();
        var second = seconds[number % Seconds];
        if (second.Number != number)
            second.Begin(number);
        second.Calls++;
        second.Latencies[LatencyClasses.ClassOf(latency)]++;
        if (failed)
            second.Failures++;
        failuresInARow = failed ? failuresInARow + 1 : 0;
    }

    /// <summary>The counts, without durations.</summary>
    public WindowCounts Counts(DateTimeOffset now)
    {
        var (calls, failures) = (0L, 0L);
        foreach (var second in Current(now))
        {
            calls += second.Calls;
            failures += second.Failures;
        }

        return new WindowCounts(calls, failures, failuresInARow);
    }

    /// <summary>The counts, with durations.</summary>
    public WindowCounts Sample(DateTimeOffset now)
    {
        var latencies = new long[LatencyClasses.Classes];
        foreach (var second in Current(now))
        {
            for (var i = 0; i < latencies.Length; i++)
                latencies[i] += second.Latencies[i];
        }

        return Counts(now) with
        {
            P95Ms = LatencyClasses.Percentile(latencies, 0.95),
        };
    }

    /// <summary>Forgets everything.</summary>
    public void Clear()
    {
        foreach (var second in seconds)
            second.Begin(0);
        failuresInARow = 0;
    }

    private IEnumerable<Second> Current(DateTimeOffset now)
    {
        var newest = now.ToUnixTimeSeconds();
        return seconds.Where(s => s.Number > newest - Seconds && s.Number <= newest);
    }

    private sealed class Second
    {
        public readonly long[] Latencies = new long[LatencyClasses.Classes];
        public long Number,
            Calls,
            Failures;

        public void Begin(long number)
        {
            (Number, Calls, Failures) = (number, 0, 0);
            Array.Clear(Latencies);
        }
    }
}
