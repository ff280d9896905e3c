namespace Notify.Bench;

/// <summary>Scheduled beforehand, so many due a second: how late each push reaches its provider.</summary>
internal sealed class Due(BenchSettings settings, Load load, Ledger ledger, UsageMeter usage)
{
    /// <summary>The measurements of a run. Lateness is the time from <c>sendAt</c> until the provider receives the message.</summary>
    /// <param name="Early">Received before their time.</param>
    public sealed record Result(
        string Name,
        int Count,
        int Lost,
        int Twice,
        int Refused,
        int Early,
        Latency.Percentiles Late,
        UsageMeter.Used Usage
    );

    /// <summary>Schedules, waits until all has been sent, and counts.</summary>
    /// <param name="onTheSecond">Whether all of a second are due at its very beginning, instead of evenly through it.</param>
    public async Task<Result> MeasureAsync(bool onTheSecond)
    {
        var (rate, count) = (settings.DueRate, settings.DueRate * settings.DueSeconds);
        await ledger.ClearAsync();
        // Whole seconds from now on; slower than this nothing is scheduled that could be sent at this rate.
        var now = TimeProvider.System.GetUtcNow();
        var first = new DateTimeOffset(now.Ticks - (now.Ticks % TimeSpan.TicksPerSecond), TimeSpan.Zero).AddSeconds(6 + (count / 800));
        DateTimeOffset SendAt(int n) => first.AddSeconds(n / rate).AddMilliseconds(onTheSecond ? 0 : n % rate * 1000.0 / rate);
        var requests = Requests.Scheduled(Requests.NewMarker(), settings.Users, SendAt);
        var posted = await load.PostAsync(requests, count, Math.Min(settings.Connections, 4), settings.Batch);
        await usage.ViewsCompleteAsync();
        if (TimeProvider.System.GetUtcNow() >= first.AddSeconds(-1.5))
            throw new BenchException(
                $"{count:N0} notifications could not be scheduled before the first was due; this machine is too busy to tell "
                    + "how late they are"
            );

        var before = await usage.ReadAsync();
        await ledger.DrainAsync(posted.Accepted);
        await usage.ViewsCompleteAsync();
        var used = UsageMeter.Between(before, await usage.ReadAsync(), count);
        var receipts = await ledger.ReadAsync(requests.Marker, count);
        var late = Enumerable
            .Range(0, count)
            .Where(n => receipts.Times[n] > 0)
            .Select(n => (receipts.At[n] - SendAt(n)).TotalMilliseconds)
            .ToList();
        return new Result(
            $"{rate:N0} a second, {(onTheSecond ? "on the second" : "evenly")}",
            count,
            Math.Max(0, receipts.Missing - posted.Refused),
            receipts.Twice,
            posted.Refused,
            late.Count(l => l < 0),
            new Latency.Percentiles(late),
            used
        );
    }
}
