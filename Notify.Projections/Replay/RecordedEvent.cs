namespace Notify.Projections.Replay;

using Notify.Delivery.EventStore;
using Notify.Domain.Descriptions;
using Notify.Domain.Notifications;

/// <summary>An event of a notification's stream as auditors see it.</summary>
/// <param name="Sequence">Its place among all events of the installation.</param>
/// <param name="Version">Its place in the stream, from 1.</param>
/// <param name="Type">The event's type; <c>docs/events.md</c> lists them.</param>
/// <param name="Timestamp">When it was stored.</param>
/// <param name="Text">A description of the event, in one sentence.</param>
/// <param name="Data">The event itself; personal data encrypted.</param>
public sealed record RecordedEvent(long Sequence, long Version, string Type, DateTimeOffset Timestamp, string Text, object Data)
{
    /// <summary>Describes a stream's events, each with the state at its time.</summary>
    public static IReadOnlyList<RecordedEvent> Of(string key, IReadOnlyList<StoredEvent> events)
    {
        var recorded = new List<RecordedEvent>(events.Count);
        Notification? state = null;
        foreach (var e in events)
        {
            recorded.Add(new RecordedEvent(e.Sequence, e.Version, e.Type, e.Timestamp, TextOf(state, e), e.Data ?? new object()));
            if (e.Data is not null)
                state = Notification.Evolve(state, key, e.Data);
        }

        return recorded;
    }

    private static string TextOf(Notification? state, StoredEvent e) =>
        e switch
        {
            { Data: { } data } => EventDescriptions.Of(state, data),
            { Fault: { } fault } => $"This event cannot be read: {fault}.",
            _ => "A newer version of Notify wrote this event; this one does not know its type.",
        };
}
