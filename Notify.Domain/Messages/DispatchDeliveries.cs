using Notify.Domain.Notifications;

namespace Notify.Domain.Messages;

/// <summary>
/// Carries many deliveries of one queue to a Dispatch host. It names them and nothing else: who, where and what are
/// read from the event store, so no personal data ever sits in an inbox, an outbox or a broker.
/// </summary>
/// <param name="Deliveries">At most <see cref="MaxDeliveries"/> IDs, or <see cref="MaxEmails"/>.</param>
public sealed record DispatchDeliveries(Lane Lane, Priority Priority, Guid[] Deliveries)
{
    /// <summary>So many that envelopes cost little, so few that a message is handled within seconds.</summary>
    public const int MaxDeliveries = 200;

    /// <summary>Emails of the same words share calls of up to so many.</summary>
    public const int MaxEmails = 1000;

    /// <summary>Cuts the deliveries of one queue into messages.</summary>
    public static IEnumerable<DispatchDeliveries> Cut(DeliveryQueue queue, IEnumerable<Guid> deliveries) =>
        deliveries.Chunk(queue.Lane == Lane.Email ? MaxEmails : MaxDeliveries).Select(ids => new DispatchDeliveries(queue.Lane, queue.Priority, ids));
}
