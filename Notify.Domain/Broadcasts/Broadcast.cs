namespace Notify.Domain.Broadcasts;

using Notify.Domain.Channels;

/// <summary>The state of a broadcast. The numbers are stored: permanently stable.</summary>
public enum BroadcastState
{
    /// <summary>It has not started yet.</summary>
    Scheduled = 0,

    /// <summary>Its notifications are being made.</summary>
    Expanding = 1,

    /// <summary>It waits to be resumed.</summary>
    Paused = 2,

    /// <summary>Everybody had their turn.</summary>
    Completed = 3,

    /// <summary>It was withdrawn.</summary>
    Cancelled = 4,

    /// <summary>Its time passed.</summary>
    Expired = 5,
}

/// <summary>A broadcast as it is worked on: a row of <c>notify.broadcasts</c>, written with the events of its stream.</summary>
/// <param name="Key">The stream key.</param>
/// <param name="DueAt">When the next chunk may be made; <c>null</c>: not by itself.</param>
/// <param name="AfterUser">The checkpoint: everybody up to this user reference had their turn; empty before the first.</param>
/// <param name="Expanded">Notifications made.</param>
/// <param name="Total">Users in its audience when it started; <c>null</c> before.</param>
public sealed record Broadcast(
    string Key,
    BroadcastState State,
    DateTimeOffset? SendAt,
    DateTimeOffset? ExpiresAt,
    DateTimeOffset? DueAt,
    string AfterUser,
    long Expanded,
    long? Total,
    DateTimeOffset? StartedAt,
    DateTimeOffset? EndedAt
)
{
    /// <summary>The stream key of a client's broadcast.</summary>
    public static string KeyOf(string clientId, string broadcastId) => $"b/{clientId}:{broadcastId}";

    /// <summary>
    /// The event ID of a user's notification: <c>{broadcastId}@{userRef}</c>. It follows from both, and no event ID that a
    /// client may choose has an @.
    /// </summary>
    public static string EventIdOf(string broadcastId, string userRef) => $"{broadcastId}@{userRef}";

    /// <summary>The broadcast that made a notification, from its event ID; <c>null</c>: none did.</summary>
    public static string? IdOf(string eventId) => eventId.IndexOf('@', StringComparison.Ordinal) is > 0 and var at ? eventId[..at] : null;

    /// <summary>The prefix of the stream keys of all its notifications.</summary>
    public string NotificationPrefix => $"n/{Key[2..]}@";

    /// <summary>The client that requested it.</summary>
    public string ClientId => Key[2..Key.IndexOf(':', StringComparison.Ordinal)];

    /// <summary>Whether no further notifications are made.</summary>
    public bool HasEnded => State is BroadcastState.Completed or BroadcastState.Cancelled or BroadcastState.Expired;

    /// <summary>Pauses it.</summary>
    /// <returns>The broadcast and the event; no event when it is paused already, nothing when it has ended.</returns>
    public (Broadcast Next, object? Event)? Pause(string by, DateTimeOffset now) =>
        HasEnded ? null
        : State == BroadcastState.Paused ? (this, null)
        : (this with { State = BroadcastState.Paused, DueAt = null }, new BroadcastPaused(Expanded, by, now));

    /// <summary>Resumes it: where it was, or at its <c>sendAt</c> if it never started and that is still to come.</summary>
    /// <returns>The broadcast and the event; no event when it is not paused, nothing when it has ended.</returns>
    public (Broadcast Next, object? Event)? Resume(string by, DateTimeOffset now) =>
        HasEnded ? null
        : State != BroadcastState.Paused ? (this, null)
        : (
            this with
            {
                State = StartedAt is null ? BroadcastState.Scheduled : BroadcastState.Expanding,
                DueAt = StartedAt is null && SendAt > now ? SendAt : now,
            },
            new BroadcastResumed(by, now)
        );

    /// <summary>Withdraws it, and what of its notifications waits: that is taken back from <see cref="DueAt"/> on.</summary>
    /// <param name="isWaiting">Whether anything of it waits; that alone can still be withdrawn when it is complete.</param>
    /// <returns>The broadcast and the event; no event when it is withdrawn already, nothing when there is nothing to withdraw.</returns>
    public (Broadcast Next, object? Event)? Cancel(bool isWaiting, string by, DateTimeOffset now) =>
        State == BroadcastState.Cancelled ? (this, null)
        : HasEnded && !isWaiting ? null
        : (this with { State = BroadcastState.Cancelled, DueAt = now, EndedAt = now }, new BroadcastCancelled(Expanded, by, now));

    /// <summary>Starts it.</summary>
    public (Broadcast Next, object Event) Start(long total, DateTimeOffset now) =>
        (this with { State = BroadcastState.Expanding, StartedAt = now, Total = total }, new BroadcastStarted(total, now));

    /// <summary>Ends it, because its time has passed.</summary>
    public (Broadcast Next, object Event) Expire(DateTimeOffset now) =>
        (this with { State = BroadcastState.Expired, DueAt = null, EndedAt = now }, new BroadcastExpired(Expanded, now));

    /// <summary>Notes that a chunk was made.</summary>
    /// <param name="afterUser">The last user who had their turn.</param>
    /// <param name="made">Notifications made.</param>
    /// <param name="isLast">Whether nobody is left behind the checkpoint.</param>
    /// <param name="retryAt">When the next of those that were set aside is tried again; <c>null</c>: nobody is.</param>
    /// <returns>The broadcast, and the event if it is complete.</returns>
    public (Broadcast Next, object? Event) Expand(
        string afterUser,
        int made,
        bool isLast,
        DateTimeOffset now,
        DateTimeOffset? retryAt = null
    )
    {
        var next = this with { AfterUser = afterUser, Expanded = Expanded + made, DueAt = isLast ? retryAt : now };
        return isLast && retryAt is null
            ? (next with { State = BroadcastState.Completed, DueAt = null, EndedAt = now }, new BroadcastCompleted(next.Expanded, now))
            : (next, null);
    }

    /// <summary>Returns the queues of its deliveries: of the requested channels, those that its template has texts for.</summary>
    public static IEnumerable<DeliveryQueue> QueuesOf(BroadcastRequested request) =>
        DeliveryQueue.All.Where(q =>
            q.Priority == request.Priority
            && request.Channels?.Contains(Lanes.ChannelOf(q.Lane)) != false
            && request.Template?.Channels.Contains(Lanes.ChannelOf(q.Lane)) != false
        );
}
