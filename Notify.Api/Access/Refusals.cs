namespace Notify.Api.Access;

using System.Threading.RateLimiting;
using Notify.Api.Contract;
using Notify.Delivery.Telemetry;

/// <summary>
/// Counts rejected calls, logs them once a key and minute, and slows down guessing. A right secret always passes, so that guesses
/// by others cannot shut a service out.
/// </summary>
public sealed class Refusals(ILogger<Refusals> log, TimeProvider clock) : IDisposable
{
    /// <summary>Wrong secrets for one key from one address within a minute, after which the next are slowed down.</summary>
    public const int MostGuesses = 10;

    /// <summary>How long a slowed answer is held back, and the least time before the next try.</summary>
    public static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    /// <summary>Answers that are held back at once; more are given at once, so that a flood holds no memory.</summary>
    private const int MostHeld = 200;

    private static readonly TimeSpan Window = TimeSpan.FromMinutes(1);
    private readonly PartitionedRateLimiter<string> guesses = PerMinute(MostGuesses),
        lines = PerMinute(1);
    private readonly ConcurrencyLimiter held = new(new ConcurrencyLimiterOptions { PermitLimit = MostHeld, QueueLimit = 0 });

    /// <summary>Notes a login that failed.</summary>
    /// <param name="key">The appKey as it was given.</param>
    /// <param name="isKnown">Whether there is such a client: keys that are made up share a line of the log.</param>
    /// <param name="answer">The answer as it is while there are few of them.</param>
    /// <returns>The answer; for one guess too many 429, after a pause.</returns>
    public async ValueTask<IResult> LoginAsync(HttpContext http, string key, bool isKnown, IResult answer)
    {
        var (name, address) = (Shown(key), AccessLog.AddressOf(http));
        Telemetry.Refused.Add(1, new KeyValuePair<string, object?>("reason", "login"));
        if (IsNews($"login {(isKnown ? name : "")}"))
            log.LogWarning(
                "A login with the key {Key} from {Address} failed; more within this minute are only counted " + "(notify_refused).",
                name,
                address
            );
        using (var guess = guesses.AttemptAcquire($"{name} {address}"))
        {
            if (guess.IsAcquired)
                return answer;
        }

        using var hold = held.AttemptAcquire();
        if (hold.IsAcquired)
            await Task.Delay(Pause, clock, http.RequestAborted);
        return Problem.Of(StatusCodes.Status429TooManyRequests, "too_many_attempts", TooMany, retryAfterSeconds: (int)Window.TotalSeconds);
    }

    /// <summary>
    /// Notes a client token that does not count. Apps learn of its end so, many behind one address: they are not slowed down.
    /// </summary>
    /// <returns>The answer as it was given.</returns>
    public IResult Token(HttpContext http, IResult answer)
    {
        Telemetry.Refused.Add(1, new KeyValuePair<string, object?>("reason", "token"));
        if (IsNews("token"))
            log.LogInformation(
                "A client token from {Address} does not count; more within this minute are only counted " + "(notify_refused).",
                AccessLog.AddressOf(http)
            );
        return answer;
    }

    /// <summary>Notes that a known caller lacked a power.</summary>
    /// <param name="code">The problem's code.</param>
    public void Power(HttpContext http, string caller, string code)
    {
        var operation = http.GetEndpoint()?.Metadata.GetMetadata<IEndpointNameMetadata>()?.EndpointName ?? "";
        Telemetry.Refused.Add(1, new KeyValuePair<string, object?>("reason", code));
        if (IsNews($"power {caller} {operation} {code}"))
            log.LogWarning(
                "{Caller} was refused {Operation} ({Code}), from {Address}; more within this minute are only counted "
                    + "(notify_refused).",
                caller,
                operation,
                code,
                AccessLog.AddressOf(http)
            );
    }

    /// <summary>The detail of a 429.</summary>
    public const string TooMany =
        "Too many wrong secrets came for this key from this address. Check the key and secret; the right " + "ones pass at any time.";

    /// <inheritdoc />
    public void Dispose()
    {
        guesses.Dispose();
        lines.Dispose();
        held.Dispose();
    }

    private bool IsNews(string key)
    {
        using var line = lines.AttemptAcquire(key);
        return line.IsAcquired;
    }

    // Made-up keys come from anybody: they must not break lines of the log.
    private static string Shown(string key) =>
        string.Concat(key.Take(40).Select(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '-' or '.' ? c : '?'));

    private static PartitionedRateLimiter<string> PerMinute(int count) =>
        PartitionedRateLimiter.Create<string, string>(key =>
            RateLimitPartition.GetFixedWindowLimiter(
                key,
                _ => new FixedWindowRateLimiterOptions
                {
                    PermitLimit = count,
                    Window = Window,
                    QueueLimit = 0,
                }
            )
        );
}
