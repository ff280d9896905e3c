namespace Notify.Dispatch.Routing;

using System.Globalization;

/// <summary>How much of its configured weight a provider of a weighted route gets.</summary>
/// <param name="Factor">One of <see cref="WeightDecider.Steps"/>.</param>
/// <param name="Since">Since when.</param>
/// <param name="Reason">Why it changed last.</param>
public sealed record WeightFactor(double Factor, DateTimeOffset Since, string? Reason = null);

/// <summary>
/// Reduces a provider's weight at once for errors and slowness, and raises it a step at a time. There are few steps, and each
/// lasts for a while, so that changes are few. Pure.
/// </summary>
public static class WeightDecider
{
    /// <summary>The factors, from the best to the worst. Never 0: a provider without deliveries cannot show that it recovered.</summary>
    public static IReadOnlyList<double> Steps { get; } = [1, 0.75, 0.5, 0.25, 0.1];

    /// <summary>How long a provider must do well for one step up.</summary>
    public static readonly TimeSpan Healthy = OutcomeWindow.Length;

    /// <summary>Calls within the window without which nothing falls.</summary>
    public const int MinCalls = 10;

    // Shares of failures, and multiples of the usual p95, from which on the next step applies.
    private static readonly double[] Failing = [0.05, 0.15, 0.3, 0.5],
        Slower = [2, 3, 5, 8];

    // Below this nothing is slow, whatever latency is usual.
    private const double QuickMs = 250;

    // The time between a change and the next one down.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    // The baseline follows slowly: a permanently higher latency becomes usual within half an hour.
    private static readonly TimeSpan Memory = TimeSpan.FromMinutes(10);

    /// <summary>The factor now.</summary>
    /// <param name="usualMs">The p95 as it usually is, in milliseconds.</param>
    /// <param name="timeout">How long a call may take.</param>
    public static WeightFactor Decide(WeightFactor current, WindowCounts sample, double? usualMs, TimeSpan timeout, DateTimeOffset now)
    {
        if (sample.Calls == 0)
            return current;
        var (byErrors, bySlowness) = (Step(sample.FailureRate, Failing), Slowness(sample.P95Ms, usualMs, timeout));
        var (at, target) = (IndexOf(current.Factor), Math.Max(byErrors, bySlowness));
        if (target > at && sample.Calls >= MinCalls && now - current.Since >= Patience)
            return new WeightFactor(
                Steps[target],
                now,
                byErrors >= bySlowness
                    ? $"{Text(sample.FailureRate * 100)}% of {sample.Calls} calls failed"
                    : $"p95 is {Text(sample.P95Ms!.Value)} ms, usually {Text(usualMs ?? 0)} ms"
            );
        return target < at && now - current.Since >= Healthy
            ? new WeightFactor(Steps[at - 1], now, $"{Healthy.TotalSeconds:0} s without reason for less")
            : current;
    }

    /// <summary>Updates the usual latency with a sample.</summary>
    public static double? Usual(double? usualMs, WindowCounts sample, TimeSpan passed) =>
        sample is not { Calls: >= MinCalls, P95Ms: { } p95 } ? usualMs
        : usualMs is not { } usual ? p95
        : usual + ((p95 - usual) * Math.Min(1, passed / Memory));

    private static int Slowness(double? p95, double? usualMs, TimeSpan timeout)
    {
        if (p95 is not { } ms || ms < QuickMs)
            return 0;
        var nearEnd =
            ms >= 0.8 * timeout.TotalMilliseconds ? Steps.Count - 1
            : ms >= 0.5 * timeout.TotalMilliseconds ? 2
            : 0;
        return Math.Max(nearEnd, usualMs is { } usual and > 0 ? Step(ms / usual, Slower) : 0);
    }

    private static int Step(double value, double[] thresholds) => thresholds.Count(t => value >= t);

    private static int IndexOf(double factor) => Math.Max(0, Enumerable.Range(0, Steps.Count).MinBy(i => Math.Abs(Steps[i] - factor)));

    private static string Text(double number) => number.ToString("0", CultureInfo.InvariantCulture);
}
