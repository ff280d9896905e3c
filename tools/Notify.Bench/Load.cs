namespace Notify.Bench;

using System.Diagnostics;

/// <summary>Posts many requests over several connections, each as fast as it is answered.</summary>
internal sealed class Load(BenchSettings settings)
{
    /// <summary>The result of posting.</summary>
    /// <param name="Start">When the first request left.</param>
    /// <param name="Elapsed">Until the last answer.</param>
    public sealed record Result(DateTimeOffset Start, TimeSpan Elapsed, int Accepted, int Refused);

    /// <summary>Posts <paramref name="count"/> notifications.</summary>
    /// <param name="batch">How many go into one request.</param>
    public async Task<Result> PostAsync(Requests requests, int count, int connections, int batch = 1)
    {
        var next = 0;
        var accepted = 0;
        var open = await Task.WhenAll(
            Enumerable
                .Range(0, connections)
                .Select(_ =>
                    ApiConnection.OpenAsync(
                        settings.Api,
                        batch == 1 ? "/v1/notifications" : "/v1/notifications/batch",
                        settings.Authorization
                    )
                )
        );
        var (start, watch) = (TimeProvider.System.GetUtcNow(), Stopwatch.StartNew());
        await Task.WhenAll(
            open.Select(async connection =>
            {
                using (connection)
                {
                    while (Interlocked.Add(ref next, batch) - batch is var first && first < count)
                    {
                        var size = Math.Min(batch, count - first);
                        var answer = await connection.PostAsync(batch == 1 ? requests.Body(first) : requests.Batch(first, size));
                        if (answer.Status is 200 or 202)
                            Interlocked.Add(ref accepted, answer.Accepted);
                    }
                }
            })
        );
        return new Result(start, watch.Elapsed, accepted, count - accepted);
    }
}
