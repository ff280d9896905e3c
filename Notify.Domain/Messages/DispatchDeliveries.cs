namespace Notify.Domain.Messages;

using Notify.Domain.Channels;

/// <summary>
/// Wakes a Dispatch host for deliveries of one queue. It names them and nothing else: who, where and what are
/// read from the event store, so no personal data ever sits in an outbox or a broker.
/// </summary>
/// <remarks>
/// The names are a hint. A host claims as many ready deliveries of the queue as the message names, by priority, client and age.
/// Hosts also poll the delivery queue, so a lost message delays its deliveries by about a second.
/// </remarks>
/// <param name="Deliveries">
/// At most <see cref="MaxDeliveries"/> IDs, or <see cref="MaxEmails"/>; <see cref="Guid.Empty"/> stands for any delivery.
/// </param>
public sealed record DispatchDeliveries(Lane Lane, Priority Priority, Guid[] Deliveries)
{
    /// <summary>So many that envelopes cost little, so few that a message is handled within seconds.</summary>
    public const int MaxDeliveries = 200;

    /// <summary>The most emails with the same text in one message, which share calls.</summary>
    public const int MaxEmails = 1000;

    /// <summary>The most deliveries that one message of a lane names.</summary>
    public static int MaxOf(Lane lane) => lane == Lane.Email ? MaxEmails : MaxDeliveries;

    /// <summary>Cuts the deliveries of one queue into messages.</summary>
    public static IEnumerable<DispatchDeliveries> Cut(DeliveryQueue queue, IEnumerable<Guid> deliveries) =>
        deliveries.Chunk(MaxOf(queue.Lane)).Select(ids => new DispatchDeliveries(queue.Lane, queue.Priority, ids));

    /// <summary>Asks for so many deliveries of a queue, whichever are ready.</summary>
    public static DispatchDeliveries Any(DeliveryQueue queue, int count) => new(queue.Lane, queue.Priority, new Guid[count]);
}
