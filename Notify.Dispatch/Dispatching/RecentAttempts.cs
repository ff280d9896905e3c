namespace Notify.Dispatch.Dispatching;

using System.Collections.Concurrent;
using Notify.Delivery.DeliveryQueue;
using Notify.Dispatch.Providers;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;

/// <summary>An attempt of an SMS or email that may have reached its provider.</summary>
/// <param name="Made">Its outcome; <c>null</c> while its call is under way.</param>
public sealed record RecentAttempt(OpenDelivery Row, int Attempt, string Provider, DateTimeOffset At, AttemptMade? Made);

/// <summary>
/// The SMS and emails that this host has sent, or may have sent, in the last minutes. After a failover to a server that lacks
/// some of these attempts they are written again, so that nobody sends them a second time.
/// </summary>
public sealed class RecentAttempts(TimeProvider clock)
{
    /// <summary>How long an attempt is kept: longer than a standby that is promoted was behind.</summary>
    public static readonly TimeSpan Window = TimeSpan.FromMinutes(5);

    /// <summary>How many attempts are kept at most.</summary>
    public const int MaxCount = 50_000;

    private readonly ConcurrentDictionary<Guid, (long Began, RecentAttempt Attempt)> attempts = new();
    private readonly ConcurrentQueue<(long Began, Guid Delivery)> order = new();

    /// <summary>The attempts that are kept.</summary>
    public IReadOnlyList<RecentAttempt> All => [.. attempts.Values.Select(a => a.Attempt)];

    /// <summary>Keeps an attempt before its call.</summary>
    public void Begin(ClaimedDelivery claimed, DateTimeOffset at)
    {
        if (claimed.Ask is not null || claimed.Provider is null || Lanes.RepeatReplacesItself(claimed.Row.Queue.Lane))
            return;
        Keep(new RecentAttempt(claimed.Row, claimed.Attempt, claimed.Provider.Name, at, null));
    }

    /// <summary>Keeps an outcome. One that says that the provider has not taken the message ends the attempt.</summary>
    public void End(AttemptMade made)
    {
        if (Lanes.RepeatReplacesItself(made.Row.Queue.Lane))
            return;
        if (made.Outcome is AttemptOutcome.Accepted or AttemptOutcome.Unknown)
            Keep(new RecentAttempt(made.Row, made.Attempt, made.Provider, made.At, made));
        else
            attempts.TryRemove(made.Row.Id, out _);
    }

    private void Keep(RecentAttempt attempt)
    {
        var now = clock.GetTimestamp();
        attempts[attempt.Row.Id] = (now, attempt);
        order.Enqueue((now, attempt.Row.Id));
        while (
            order.TryPeek(out var oldest)
            && (order.Count > MaxCount || clock.GetElapsedTime(oldest.Began, now) > Window)
            && order.TryDequeue(out oldest)
        )
        {
            if (attempts.TryGetValue(oldest.Delivery, out var kept) && kept.Began == oldest.Began)
                attempts.TryRemove(oldest.Delivery, out _);
        }
    }
}
