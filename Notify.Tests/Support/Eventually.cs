namespace Notify.Tests.Support;

using System.Diagnostics;
using Xunit.Sdk;

/// <summary>Waits for a condition, and says what there was instead when the deadline passes.</summary>
public static class Eventually
{
    /// <summary>How long a condition may take unless a test says otherwise; generous, since the machine may be busy.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(40);

    /// <summary>Asks again and again until the answer is as wanted.</summary>
    public static async Task<T> Becomes<T>(Func<Task<T>> ask, Func<T, bool> wanted, string what, TimeSpan? within = null)
    {
        var watch = Stopwatch.StartNew();
        var limit = within ?? Patience;
        while (true)
        {
            var answer = await ask();
            if (wanted(answer))
                return answer;
            if (watch.Elapsed > limit)
                throw new XunitException($"Not within {limit.TotalSeconds:0.#} s: {what}. The last answer was: {answer}");
            await Task.Delay(Interval);
        }
    }

    /// <summary>Waits until something holds.</summary>
    public static Task Holds(Func<Task<bool>> condition, string what, TimeSpan? within = null) =>
        Becomes(condition, holds => holds, what, within);

    /// <summary>Repeats assertions until they pass; the last failure is the test's.</summary>
    public static async Task Passes(Func<Task> assertions, TimeSpan? within = null)
    {
        var watch = Stopwatch.StartNew();
        while (true)
        {
            try
            {
                await assertions();
                return;
            }
            catch (Exception e) when (e is XunitException or HttpRequestException && watch.Elapsed < (within ?? Patience))
            {
                await Task.Delay(Interval);
            }
        }
    }

    /// <summary>Waits until something has stayed as it is for a while, and returns it.</summary>
    public static async Task<T> Settles<T>(Func<Task<T>> ask, TimeSpan during)
    {
        var (watch, since, last) = (Stopwatch.StartNew(), TimeSpan.Zero, await ask());
        while (watch.Elapsed - since < during)
        {
            await Task.Delay(Interval * 2);
            var next = await ask();
            if (!Equals(next, last))
                (since, last) = (watch.Elapsed, next);
            if (watch.Elapsed > Patience * 3)
                throw new XunitException($"It does not settle. The last answer was: {last}");
        }

        return last;
    }

    /// <summary>Watches for a while that something stays as it is: for what must not happen.</summary>
    public static async Task Stays<T>(Func<Task<T>> ask, T expected, TimeSpan during)
    {
        var watch = Stopwatch.StartNew();
        do
        {
            Assert.Equal(expected, await ask());
            await Task.Delay(Interval * 2);
        } while (watch.Elapsed < during);
    }
}
