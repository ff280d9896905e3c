namespace Notify.Api.Access;

using System.Threading.RateLimiting;
using Notify.Api.Contract;

/// <summary>How often a client may ask for anything but acceptance, which has its own limit: <c>Notify:RequestLimit</c>.</summary>
public sealed record RequestLimitOptions
{
    /// <summary>Requests a second of one client at one host, on average; 0: any number.</summary>
    public int PerSecond { get; init; } = 1000;

    /// <summary>Requests that a client may make at once after a pause.</summary>
    public int Burst { get; init; } = 2000;

    /// <summary>Requests a second of one user's apps at one host, on average; 0: any number.</summary>
    public int PerUserPerSecond { get; init; } = 20;

    /// <summary>Requests that one user's apps may make at once after a pause.</summary>
    public int PerUserBurst { get; init; } = 100;

    /// <summary>Checks the settings; every fault is added to <paramref name="faults"/>.</summary>
    public void Check(string section, ICollection<string> faults)
    {
        Check(nameof(PerSecond), PerSecond, 0);
        Check(nameof(Burst), Burst, 1);
        Check(nameof(PerUserPerSecond), PerUserPerSecond, 0);
        Check(nameof(PerUserBurst), PerUserBurst, 1);

        void Check(string name, int value, int least)
        {
            if (value < least || value > Notify.Api.Contract.AcceptLimitOptions.Highest)
                faults.Add($"{section}:{name} is {value}; give {least} to {Notify.Api.Contract.AcceptLimitOptions.Highest}");
        }
    }
}

/// <summary>
/// A token bucket for each client and for each user whose app calls, so that one caller's flood leaves room for the others.
/// </summary>
public sealed class RequestLimit(RequestLimitOptions options) : IDisposable
{
    private readonly PartitionedRateLimiter<string> clients = Limiter(options.PerSecond, options.Burst);
    private readonly PartitionedRateLimiter<string> users = Limiter(options.PerUserPerSecond, options.PerUserBurst);

    /// <summary>Takes a place for a request whose caller is known.</summary>
    /// <returns>The problem, or <c>null</c>: go on.</returns>
    public IResult? Take(HttpContext http)
    {
        var user = Callers.TokenOf(http)?.UserRef;
        // A limit of its own counts for the client as a whole: one user's app must not use it up.
        if (user is null && http.GetEndpoint()?.Metadata.GetMetadata<LimitedNote>() is not null)
            return null;
        return Take(Callers.Of(http).ClientId, user);
    }

    /// <summary>Takes a place for a client, or for the apps of one of its users.</summary>
    /// <param name="userRef">The user whose app calls; <c>null</c>: the client itself does.</param>
    /// <returns>The problem, or <c>null</c>: go on.</returns>
    public IResult? Take(string client, string? userRef)
    {
        using var lease = userRef is null ? clients.AttemptAcquire(client) : users.AttemptAcquire($"{client}/{userRef}");
        if (lease.IsAcquired)
            return null;
        var wait = lease.TryGetMetadata(MetadataName.RetryAfter, out var after) ? (int)Math.Ceiling(after.TotalSeconds) : 1;
        return Problem.Of(StatusCodes.Status429TooManyRequests, "rate_limited", Detail, retryAfterSeconds: Math.Max(1, wait));
    }

    /// <summary>The problem's detail.</summary>
    public const string Detail = "This caller asks more often than its limit allows. Ask again after Retry-After, and less often.";

    /// <inheritdoc />
    public void Dispose()
    {
        clients.Dispose();
        users.Dispose();
    }

    private static PartitionedRateLimiter<string> Limiter(int perSecond, int burst) =>
        PartitionedRateLimiter.Create<string, string>(caller =>
            perSecond == 0
                ? RateLimitPartition.GetNoLimiter(caller)
                : RateLimitPartition.GetTokenBucketLimiter(
                    caller,
                    _ => new TokenBucketRateLimiterOptions
                    {
                        TokenLimit = burst,
                        TokensPerPeriod = perSecond,
                        ReplenishmentPeriod = TimeSpan.FromSeconds(1),
                        QueueLimit = 0,
                    }
                )
        );
}
