namespace Notify.Delivery.EventStore;

using Notify.Domain.Notifications;

/// <summary>The reason why a stream cannot be folded by this host.</summary>
/// <param name="Key">The stream.</param>
/// <param name="Version">The event that cannot be read or folded.</param>
/// <param name="EventType">The name of its type.</param>
/// <param name="Cause">The reason, without the event's data.</param>
public sealed record StreamFault(string Key, long Version, string EventType, string Cause)
{
    /// <inheritdoc />
    public override string ToString() => $"stream {Key}, event {Version} ({EventType}): {Cause}";
}

/// <summary>
/// The notifications of a group of streams: for each key a state or a fault. A key without a stream has neither. One stream
/// that cannot be read is its own fault: the caller goes on with the others and sets that one aside.
/// </summary>
/// <param name="States">By stream key.</param>
/// <param name="Faults">By stream key.</param>
public sealed record LoadedStreams(Dictionary<string, Notification> States, Dictionary<string, StreamFault> Faults)
{
    /// <summary>No streams.</summary>
    public static LoadedStreams None => new(new(StringComparer.Ordinal), new(StringComparer.Ordinal));

    /// <summary>The longest time for which work on a stream is set aside.</summary>
    public static readonly TimeSpan LongestWait = TimeSpan.FromMinutes(10);

    /// <summary>How long work on a stream that this host cannot read is set aside: half of the time that it has waited.</summary>
    /// <param name="since">When the notification was accepted.</param>
    public static TimeSpan WaitOf(DateTimeOffset since, DateTimeOffset now) =>
        TimeSpan.FromSeconds(Math.Clamp((now - since).TotalSeconds / 2, 5, LongestWait.TotalSeconds));

    /// <summary>
    /// How long work on a stream or row that somebody else has locked is set aside: half of the time that it has waited, 0.5 to 15 s.
    /// </summary>
    /// <param name="since">When the notification was accepted.</param>
    public static TimeSpan LockWaitOf(DateTimeOffset since, DateTimeOffset now) =>
        TimeSpan.FromSeconds(Math.Clamp((now - since).TotalSeconds / 2, 0.5, 15));
}

/// <summary>The only stream that was asked for cannot be read by this host.</summary>
public sealed class UnreadableStreamException(StreamFault fault) : Exception($"A stream cannot be read: {fault}.")
{
    /// <summary>The stream and the event.</summary>
    public StreamFault Fault { get; } = fault;
}
