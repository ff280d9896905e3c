namespace Notify.Api.Notifications;

using System.Collections.Concurrent;
using System.Globalization;
using System.Threading.RateLimiting;
using Notify.Api.Contract;
using Notify.Domain.Clients;

/// <summary>
/// How fast a client may ask: a token bucket per client, counted in notifications, repeats included. A batch is let in whole
/// or not at all, and what is refused uses up no event ID. The limit is the installation's: each living Api host grants its
/// equal part, so a client reaches it when its requests are spread over the hosts.
/// </summary>
/// <remarks>Fields: draft-ietf-httpapi-ratelimit-headers (<c>RateLimit</c>, <c>RateLimit-Policy</c>), and the three of its early versions
/// for older callers.</remarks>
public sealed class AcceptLimit(AcceptLimitOptions options, ApiHosts hosts) : IDisposable
{
    private readonly ConcurrentDictionary<string, Bucket> buckets = new(StringComparer.Ordinal);

    /// <summary>Takes permits for a number of notifications, and reports the rest in the response's fields.</summary>
    /// <returns>The problem, or <c>null</c>: go on.</returns>
    public IResult? Take(HttpResponse response, Client client, int count)
    {
        var (perSecond, burst) = Of(client);
        if (perSecond == 0)
            return null;
        var living = hosts.Living;
        var bucket = buckets.GetOrAdd(client.ClientId, _ => new Bucket(perSecond, burst, living, null));
        if (!bucket.Is(perSecond, burst, living))
        {
            var changed = new Bucket(perSecond, burst, living, bucket);
            bucket = buckets.TryUpdate(client.ClientId, changed, bucket) ? changed : buckets[client.ClientId];
        }

        return bucket.Take(response.Headers, count);
    }

    /// <inheritdoc />
    public void Dispose()
    {
        foreach (var bucket in buckets.Values)
            bucket.Dispose();
    }

    private (int PerSecond, int Burst) Of(Client client) =>
        client.AcceptPerSecond is { } own
            ? (own, client.AcceptBurst ?? (int)Math.Min(2L * own, AcceptLimitOptions.Highest))
            : (options.PerSecond, options.Burst);

    // One client's places at this host.
    private sealed class Bucket : IDisposable
    {
        private readonly (int PerSecond, int Burst, int Hosts) made;
        private readonly TokenBucketRateLimiter limiter;
        private readonly double perSecond;
        private readonly int burst;
        private readonly string policy;

        public Bucket(int perSecond, int burst, int hosts, Bucket? before)
        {
            made = (perSecond, burst, hosts);
            this.perSecond = (double)perSecond / hosts;
            // A batch that the whole limit allows must pass at one host.
            this.burst = Math.Max(burst / hosts, Math.Min(burst, RequestNotificationsEndpoint.MaxBatch));
            limiter = new TokenBucketRateLimiter(
                new TokenBucketRateLimiterOptions
                {
                    TokenLimit = this.burst,
                    TokensPerPeriod = perSecond,
                    ReplenishmentPeriod = TimeSpan.FromSeconds(hosts),
                    AutoReplenishment = false, // permits since the last request are added at the next, to the fraction
                    QueueLimit = 0,
                }
            );
            policy = string.Create(
                CultureInfo.InvariantCulture,
                $"\"accept\";q={this.burst};w={Math.Max(1, Math.Ceiling(this.burst / this.perSecond))}"
            );
            if (before is not null)
                limiter.AttemptAcquire(this.burst - Math.Min(this.burst, before.Left())).Dispose();
        }

        public bool Is(int perSecond, int burst, int hosts) => made == (perSecond, burst, hosts);

        public IResult? Take(IHeaderDictionary headers, int count)
        {
            limiter.TryReplenish();
            var taken = false;
            if (count <= burst)
            {
                using var lease = limiter.AttemptAcquire(count);
                taken = lease.IsAcquired;
            }

            var left = Left();
            var reset = Seconds(burst - left);
            headers["RateLimit-Policy"] = policy;
            headers["RateLimit"] = string.Create(CultureInfo.InvariantCulture, $"\"accept\";r={left};t={reset}");
            headers["RateLimit-Limit"] = burst.ToString(CultureInfo.InvariantCulture);
            headers["RateLimit-Remaining"] = left.ToString(CultureInfo.InvariantCulture);
            headers["RateLimit-Reset"] = reset.ToString(CultureInfo.InvariantCulture);
            if (taken)
                return null;

            var detail =
                count > burst
                    ? $"The batch has {count} notifications, and this client may bring {burst} at once. Cut it into smaller "
                        + "ones; nothing of it was accepted."
                    : $"This client may bring {perSecond:0.#} notifications a second, {burst} at once, and has {left} left. "
                        + "Nothing was accepted and no event ID used up: send the same again after Retry-After.";
            return Problem.Of(
                StatusCodes.Status429TooManyRequests,
                "rate_limited",
                detail,
                retryAfterSeconds: (int)Math.Max(1, Seconds(Math.Min(count, burst) - left))
            );
        }

        public void Dispose() => limiter.Dispose();

        private int Left() => (int)(limiter.GetStatistics()?.CurrentAvailablePermits ?? 0);

        private long Seconds(int places) => (long)Math.Ceiling(Math.Max(0, places) / perSecond);
    }
}
