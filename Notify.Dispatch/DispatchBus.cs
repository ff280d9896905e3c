using Notify.Dispatch.Dispatching;
using Notify.Domain.Notifications;
using Notify.Projections;
using Notify.Projections.Hosting;
using Wolverine;
using Wolverine.ErrorHandling;
using Wolverine.Postgresql;

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

        foreach (var queue in DeliveryQueue.All)
        {
            options.ListenToPostgresqlQueue(queue.Name)
                .UseDurableInbox()
                .MaximumMessagesToReceive(50)
                .MaximumParallelMessages(16) // a message mostly waits; how much is in flight, the lane's gate decides
                .PollingInterval(TimeSpan.FromSeconds(1));
        }

        // Deliveries have their own retries; a message fails only when the database is away, or by a bug. The first is
        // waited for. The second ends in Wolverine's dead letters, where the alarm looks; its deliveries are taken over.
        options.Policies.OnException(DatabaseFaults.IsPassing)
            .RetryWithCooldown(TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(5))
            .Then.RequeueIndefinitely();
    }
}
