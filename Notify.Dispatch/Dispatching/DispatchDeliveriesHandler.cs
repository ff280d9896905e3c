using Notify.Domain.Messages;
using Notify.Domain.Notifications;
using Wolverine;

namespace Notify.Dispatch.Dispatching;

/// <summary>Takes messages from the queues. One delivery's trouble never fails the message: a message that fails is a bug.</summary>
public static class DispatchDeliveriesHandler
{
    /// <summary>Dispatches, and sends what was not started in time back to its queue.</summary>
    public static async Task Handle(DispatchDeliveries message, DeliveryDispatcher dispatcher, IMessageContext bus, CancellationToken cancellation)
    {
        if (await dispatcher.DispatchAsync(message, cancellation) is { } rest)
            await bus.EndpointFor(new DeliveryQueue(rest.Lane, rest.Priority).Name).SendAsync(rest);
    }
}
