namespace Notify.Dispatch.Dispatching;

using Notify.Domain.Messages;
using Notify.Infrastructure.Postgres;
using Wolverine.ErrorHandling;
using Wolverine.Runtime.Handlers;

/// <summary>
/// Handles wake-ups from the queues. A wake-up that fails because the database is away is discarded: its deliveries stay in
/// <c>notify.open_deliveries</c>, which every host polls. A wake-up that fails for another reason is kept as a dead letter,
/// since it shows a bug.
/// </summary>
public static class DispatchDeliveriesHandler
{
    /// <summary>Dispatches. Deliveries that were not started in time are left to the next poll.</summary>
    public static Task Handle(DispatchDeliveries message, DeliveryDispatcher dispatcher, CancellationToken cancellation) =>
        dispatcher.DispatchAsync(message, cancellation);

    /// <summary>Decides what becomes of a wake-up that fails.</summary>
    public static void Configure(HandlerChain chain) =>
        chain.OnException(e => e is OperationCanceledException or TimeoutException || DatabaseFaults.IsPassing(e)).Discard();
}
