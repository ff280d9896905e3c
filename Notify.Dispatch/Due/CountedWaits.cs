namespace Notify.Dispatch.Due;

using Notify.Delivery.Broadcasts;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.EventStore;
using Notify.Dispatch.Dispatching;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Npgsql;

/// <summary>
/// Waits that are counted from a moment on, in contrast to those for a time of day. After the clock was set back such a wait
/// would last as much longer; no wait is longer than the longest that there is, so what is due later than that is due now.
/// </summary>
public static class CountedWaits
{
    private const int Page = 5000;
    private static readonly TimeSpan Slack = TimeSpan.FromMinutes(1);

    private static readonly string[] Retries =
    [
        Reasons.Retry,
        Reasons.TimedOut,
        Reasons.ConnectionLost,
        Reasons.UnreadableAnswer,
        Reasons.ChannelHalted,
        Reasons.FailedOver,
        Reasons.HostLost,
        Reasons.CallNotMade,
        Reasons.ResentByPolicy,
        Reasons.NotAtProvider,
    ];

    /// <summary>The longest waits by state and reason; a reason of <c>null</c> stands for all.</summary>
    public static IReadOnlyList<(OpenState State, string? Reason, TimeSpan Longest)> Of(RetrySchedule schedule)
    {
        var retry = Longer(schedule.MaxDelay, OutcomeDecider.HaltedWait * 2) + Slack;
        return
        [
            // Only deliveries that were too heavy for a moment; the others in a queue have no time of their own.
            (OpenState.Queued, null, Slack),
            (OpenState.Asking, null, Slack),
            (OpenState.Unknown, null, Longer(schedule.UnknownDeadline, schedule.AskAfter) + Slack),
            (OpenState.Deferred, Reasons.ProviderAskedToWait, schedule.MaxRetryAfter + schedule.MaxDelay + Slack),
            (OpenState.Deferred, Reasons.StreamUnreadable, LoadedStreams.LongestWait + Slack),
            (OpenState.Deferred, Reasons.StreamLocked, LoadedStreams.LongestWait + Slack),
            (OpenState.Deferred, Reasons.KeyNotHeld, LoadedStreams.LongestWait + Slack),
            .. Retries.Select(reason => (OpenState.Deferred, (string?)reason, retry)),
        ];
    }

    /// <summary>Makes due what would wait longer, broadcasts among it.</summary>
    /// <returns>How many deliveries.</returns>
    public static async Task<int> PullInAsync(
        NpgsqlConnection connection,
        RetrySchedule schedule,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        await BroadcastTable.PullInAsync(connection, now, cancellation);
        var all = 0;
        for (var count = Page; count == Page; all += count)
            count = await OpenDeliveryTable.PullInAsync(connection, now, Of(schedule), Page, cancellation);
        return all;
    }

    private static TimeSpan Longer(TimeSpan a, TimeSpan b) => a > b ? a : b;
}
