using Notify.Dispatch.Dispatching;
using Notify.Domain.Notifications;
using Notify.Projections;
using Notify.Projections.Hosting;
using Notify.Projections.RabbitMq;
using Wolverine;
using Wolverine.ErrorHandling;
using Wolverine.Postgresql;
using Wolverine.RabbitMQ;

namespace Notify.Dispatch;

/// <summary>What Dispatch listens to, and what happens to a message that fails.</summary>
public static class DispatchBus
{
    /// <summary>Configures this host's Wolverine.</summary>
    public static void Configure(WolverineOptions options, IConfiguration configuration, bool mayCreate)
    {
        NotifyBus.Configure(options, "notify-dispatch", configuration, mayCreate);
        options.Discovery.IncludeType(typeof(DispatchDeliveriesHandler));
        options.ApplicationAssembly = typeof(DispatchBus).Assembly;

        if (configuration.Transport() == NotifyTransport.Postgres) ListenToPostgres(options);
        else if (!mayCreate) ListenToRabbitMq(options, configuration.ReadBroker([])!);

        // Deliveries have their own retries; a message fails only when the database is away, or by a bug. The first is
        // waited for. The second ends in Wolverine's dead letters, where the alarm looks; its deliveries are taken over.
        options.Policies.OnException(DatabaseFaults.IsPassing)
            .RetryWithCooldown(TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(5))
            .Then.RequeueIndefinitely();
    }

    // A message mostly waits; how much is in flight, the lane's gate decides.
    private const int ParallelMessages = 16, MessagesAtOnce = 50;

    private static void ListenToPostgres(WolverineOptions options)
    {
        foreach (var queue in DeliveryQueue.All)
        {
            options.ListenToPostgresqlQueue(queue.Name)
                .UseDurableInbox()
                .MaximumMessagesToReceive(MessagesAtOnce)
                .MaximumParallelMessages(ParallelMessages)
                // Queues say when they have something; looking is for when that got lost, and what is critical does not wait long for it.
                .PollingInterval(TimeSpan.FromMilliseconds(queue.Priority == Priority.Critical ? 500 : 1000));
        }
    }

    // Wolverine declares nothing: the migration does. A message is acknowledged when it is in the inbox, so that what is
    // prefetched bounds only how many go into the inbox at once.
    private static void ListenToRabbitMq(WolverineOptions options, Uri broker)
    {
        options.UseRabbitMq(f =>
        {
            var ours = RabbitMqBroker.Factory(broker, "notify-dispatch");
            f.Uri = broker;
            f.ClientProvidedName = ours.ClientProvidedName;
            f.NetworkRecoveryInterval = ours.NetworkRecoveryInterval;
            f.RequestedHeartbeat = ours.RequestedHeartbeat;
            f.RequestedConnectionTimeout = ours.RequestedConnectionTimeout;
            f.ContinuationTimeout = ours.ContinuationTimeout;
        }).DisableDeadLetterQueueing().DisableSystemRequestReplyQueueDeclaration().ConfigureChannelCreation(c =>
        {
            // What Wolverine itself puts back into a queue is confirmed, too.
            c.PublisherConfirmationsEnabled = true;
            c.PublisherConfirmationTrackingEnabled = true;
        });
        foreach (var queue in DeliveryQueue.All)
        {
            options.ListenToRabbitQueue(RabbitMqBroker.QueueName(queue))
                .UseDurableInbox()
                .PreFetchCount(2 * MessagesAtOnce)
                .MaximumMessagesToReceive(MessagesAtOnce)
                .MaximumParallelMessages(ParallelMessages);
        }
    }
}
