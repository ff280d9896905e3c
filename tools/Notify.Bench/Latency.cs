namespace Notify.Bench;

using System.Diagnostics;
using System.Threading.Channels;

/// <summary>Open loop: requests leave by the clock, whether or not earlier ones were answered.</summary>
internal sealed class Latency(BenchSettings settings, Ledger ledger)
{
    /// <summary>The measurements of a run. Both latencies begin at the time when a request is due to be sent.</summary>
    public sealed record Result(int Rate, int Count, int Lost, int Twice, int Refused, Percentiles Accept, Percentiles AcceptToProvider);

    /// <summary>Runs for the set number of seconds.</summary>
    public async Task<Result> MeasureAsync()
    {
        var count = settings.Rate * settings.Seconds;
        var requests = Requests.Push(Requests.NewMarker(), settings.Users);
        var sent = new DateTimeOffset[count];
        var answered = new DateTimeOffset?[count];
        var due = Channel.CreateUnbounded<int>(new UnboundedChannelOptions { SingleWriter = true });
        var connections = await Task.WhenAll(
            Enumerable
                .Range(0, settings.Connections)
                .Select(_ => ApiConnection.OpenAsync(settings.Api, "/v1/notifications", settings.Authorization))
        );

        var workers = connections
            .Select(async connection =>
            {
                using (connection)
                {
                    await foreach (var n in due.Reader.ReadAllAsync())
                    {
                        var (status, _) = await connection.PostAsync(requests.Body(n));
                        if (status == 202)
                            answered[n] = TimeProvider.System.GetUtcNow();
                    }
                }
            })
            .ToArray();
        var watch = Stopwatch.StartNew();
        for (var n = 0; n < count; n++)
        {
            var wait = TimeSpan.FromSeconds((double)n / settings.Rate) - watch.Elapsed;
            if (wait > TimeSpan.Zero)
                await Task.Delay(wait);
            sent[n] = TimeProvider.System.GetUtcNow();
            due.Writer.TryWrite(n);
        }

        due.Writer.Complete();
        await Task.WhenAll(workers);
        var refused = answered.Count(a => a is null);
        await ledger.DrainAsync(count - refused, requests.Marker);
        var receipts = await ledger.ReadAsync(requests.Marker, count);
        return new Result(
            settings.Rate,
            count,
            Math.Max(0, receipts.Missing - refused),
            receipts.Twice,
            refused,
            new Percentiles(
                Enumerable.Range(0, count).Where(n => answered[n] is not null).Select(n => (answered[n]!.Value - sent[n]).TotalMilliseconds)
            ),
            new Percentiles(
                Enumerable.Range(0, count).Where(n => receipts.Times[n] > 0).Select(n => (receipts.At[n] - sent[n]).TotalMilliseconds)
            )
        );
    }

    /// <summary>Measured durations, in milliseconds.</summary>
    public sealed class Percentiles(IEnumerable<double> durations)
    {
        private readonly double[] sorted = [.. durations.Order()];

        /// <summary>The duration that the fraction stays within.</summary>
        public double At(double fraction) =>
            sorted.Length == 0 ? double.NaN : sorted[Math.Clamp((int)Math.Ceiling(fraction * sorted.Length) - 1, 0, sorted.Length - 1)];
    }
}
