namespace Notify.Domain.Planning;

/// <summary>The times of retries: exponential back-off with full jitter, never before the pause that the provider asks for.</summary>
public sealed record RetrySchedule
{
    /// <summary>The first back-off's upper bound; it doubles with each attempt.</summary>
    public TimeSpan BaseDelay { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Upper bound of every back-off.</summary>
    public TimeSpan MaxDelay { get; init; } = TimeSpan.FromMinutes(15);

    /// <summary>Attempts after which a delivery becomes a dead letter; at least 1.</summary>
    public int MaxAttempts { get; init; } = 12;

    /// <summary>How long an unknown outcome may stay so before its deadline decides.</summary>
    public TimeSpan UnknownDeadline { get; init; } = TimeSpan.FromMinutes(15);

    /// <summary>How long after an unclear call the provider is first asked what became of it.</summary>
    public TimeSpan AskAfter { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>The longest pause that a provider may ask for.</summary>
    public TimeSpan MaxRetryAfter { get; init; } = TimeSpan.FromHours(6);

    /// <summary>The time of the next attempt; <c>null</c> when the attempts are used up.</summary>
    /// <param name="attempt">Attempts made, from 1.</param>
    /// <param name="retryAfter">The pause that the provider asked for; a lower bound.</param>
    /// <param name="random">Uniform in [0, 1): full jitter.</param>
    public DateTimeOffset? Next(int attempt, TimeSpan? retryAfter, DateTimeOffset now, double random)
    {
        if (attempt >= MaxAttempts)
            return null;
        var ceiling = Math.Min(MaxDelay.TotalMilliseconds, BaseDelay.TotalMilliseconds * Math.Pow(2, Math.Min(attempt - 1, 30)));
        var asked = retryAfter is { } after
            ? after < MaxRetryAfter
                ? after
                : MaxRetryAfter
            : TimeSpan.Zero;
        return now + asked + TimeSpan.FromMilliseconds(ceiling * random);
    }
}
