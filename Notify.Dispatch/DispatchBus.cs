namespace Notify.Dispatch;

using Notify.Delivery.Messaging;
using Notify.Dispatch.Dispatching;
using Notify.Domain.Channels;
using Wolverine;
using Wolverine.Postgresql;
using Wolverine.RabbitMQ;
using Wolverine.Transports;

/// <summary>What Dispatch listens to, and what happens to a message that fails.</summary>
public static class DispatchBus
{
    /// <summary>Configures this host's Wolverine.</summary>
    public static void Configure(WolverineOptions options, IConfiguration configuration, bool mayCreate)
    {
        NotifyBus.Configure(options, "notify-dispatch", configuration, mayCreate);
        options.Discovery.IncludeType(typeof(DispatchDeliveriesHandler));
        options.ApplicationAssembly = typeof(DispatchBus).Assembly;

        if (configuration.Transport() == NotifyTransport.Postgres)
            ListenToPostgres(options);
        else if (!mayCreate)
            ListenToRabbitMq(options, configuration.ReadBroker([])!);
    }

    // A message mostly waits; how much is in flight, the lane's gate decides.
    private const int ParallelMessages = 16,
        MessagesAtOnce = 50;

    // Messages are wake-ups (see ReadyDeliveryProcessor): they are kept in memory, and a durable inbox would cost two writes each.
    private static readonly BufferingLimits Buffered = new(200, 100);

    private static void ListenToPostgres(WolverineOptions options)
    {
        foreach (var queue in DeliveryQueue.All)
        {
            options
                .ListenToPostgresqlQueue(queue.Name)
                .BufferedInMemory(Buffered)
                .MaximumMessagesToReceive(MessagesAtOnce)
                .MaximumParallelMessages(ParallelMessages)
                // Queues say when they have something; looking is for when that got lost, and what is critical does not wait long for it.
                .PollingInterval(TimeSpan.FromMilliseconds(queue.Priority == Priority.Critical ? 500 : 1000));
        }
    }

    // Wolverine declares nothing: the migration does. A message is acknowledged when it is in the buffer, so that the
    // prefetch count bounds only how many messages arrive at once.
    private static void ListenToRabbitMq(WolverineOptions options, Uri broker)
    {
        options
            .UseRabbitMq(f =>
            {
                var ours = RabbitMqBroker.Factory(broker, "notify-dispatch");
                f.Uri = broker;
                f.ClientProvidedName = ours.ClientProvidedName;
                f.NetworkRecoveryInterval = ours.NetworkRecoveryInterval;
                f.RequestedHeartbeat = ours.RequestedHeartbeat;
                f.RequestedConnectionTimeout = ours.RequestedConnectionTimeout;
                f.ContinuationTimeout = ours.ContinuationTimeout;
            })
            .DisableDeadLetterQueueing()
            .DisableSystemRequestReplyQueueDeclaration()
            .ConfigureChannelCreation(c =>
            {
                // What Wolverine itself puts back into a queue is confirmed, too.
                c.PublisherConfirmationsEnabled = true;
                c.PublisherConfirmationTrackingEnabled = true;
            });
        foreach (var queue in DeliveryQueue.All)
        {
            options
                .ListenToRabbitQueue(RabbitMqBroker.QueueName(queue))
                .BufferedInMemory(Buffered)
                .PreFetchCount(2 * MessagesAtOnce)
                .MaximumMessagesToReceive(MessagesAtOnce)
                .MaximumParallelMessages(ParallelMessages);
        }
    }
}
