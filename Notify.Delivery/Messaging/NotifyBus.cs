namespace Notify.Delivery.Messaging;

using JasperFx;
using JasperFx.CodeGeneration;
using Marten;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.Telemetry;
using Notify.Domain.Channels;
using Notify.Domain.Messages;
using Notify.Infrastructure.Hosting;
using Notify.Infrastructure.Json;
using Notify.Infrastructure.Messaging;
using Npgsql;
using Wolverine;
using Wolverine.Marten;
using Wolverine.Postgresql;
using Wolverine.Postgresql.Transport;
using Wolverine.Runtime;

/// <summary>Common configuration of every host's Wolverine: how messages travel between hosts.</summary>
public static class NotifyBus
{
    /// <summary>The schema of the queues; the same in every host, or messages would be stranded.</summary>
    public const string QueueSchema = "queues";

    /// <summary>Sets up durability, transport and code generation.</summary>
    /// <param name="service">The host's name; with its own message storage schema it is a cluster of its own.</param>
    public static void Configure(WolverineOptions options, string service, IConfiguration configuration, bool mayCreate)
    {
        options.ServiceName = service;
        options.Discovery.DisableConventionalDiscovery();
        options.AutoBuildMessageStorageOnStartup = mayCreate ? AutoCreate.CreateOrUpdate : AutoCreate.None;
        options.UseSystemTextJsonForSerialization(o => NotifyJson.Configure(o));
        options.CodeGeneration.TypeLoadMode = configuration.GetValue("Notify:GenerateCode", false)
            ? TypeLoadMode.Auto
            : TypeLoadMode.Static;

        // A failed host is detected within seconds and its messages are recovered; see docs/operations.md.
        options.Durability.Mode = DurabilityMode.Balanced;
        options.Durability.FirstHealthCheckExecution = TimeSpan.FromMilliseconds(500);
        options.Durability.HealthCheckPollingTime = TimeSpan.FromSeconds(2);
        options.Durability.StaleNodeTimeout = configuration.HostTimeout();
        options.Durability.NodeReassignmentPollingTime = TimeSpan.FromSeconds(2);
        // A read model whose first move from a dead host failed stands still so long.
        options.Durability.CheckAssignmentPeriod = TimeSpan.FromSeconds(5);
        options.Durability.OrphanedMessageSweepPollingTime = TimeSpan.FromSeconds(2);
        options.Durability.ScheduledJobPollingTime = TimeSpan.FromSeconds(2);
        options.Durability.KeepAfterMessageHandling = TimeSpan.FromMinutes(1);
        options.Durability.DrainTimeout = TimeSpan.FromSeconds(20);
        options.Durability.DurabilityMetricsEnabled = false;
        options.Durability.NodeAssignmentHealthCheckTracingEnabled = false;
        options.DefaultExecutionTimeout = TimeSpan.FromSeconds(60);

        if (configuration.Transport() == NotifyTransport.RabbitMq)
        {
            options.Transports.Add(new MandatoryTransport());
            return;
        }

        options.Transports.GetOrCreate<PostgresqlTransport>().EnableQueueNotifications = true;
        foreach (var queue in DeliveryQueue.All)
            options.PublishMessage<DispatchDeliveries>().ToPostgresqlQueue(queue.Name);
    }

    /// <summary>Frees what a host's outbox has lost sight of; see <see cref="OutboxSweep"/>.</summary>
    /// <param name="schema">The host's message storage.</param>
    public static IServiceCollection AddOutboxSweep(this IServiceCollection services, string schema) =>
        services.AddHostedService(s => new OutboxSweep(
            s.GetRequiredService<NpgsqlDataSource>(),
            schema,
            s.GetRequiredService<TimeProvider>(),
            s.GetRequiredService<ILogger<OutboxSweep>>()
        ));

    /// <summary>Replaces a leader that has stopped; see <see cref="StaleLeaderMonitor"/>.</summary>
    /// <param name="schema">The host's message storage.</param>
    public static IServiceCollection AddStaleLeaderMonitor(this IServiceCollection services, string schema, IConfiguration configuration) =>
        services.AddHostedService(s => new StaleLeaderMonitor(
            s.GetRequiredService<NpgsqlDataSource>(),
            schema,
            configuration.HostTimeout(),
            s.GetRequiredService<IWolverineRuntime>(),
            s.GetRequiredService<TimeProvider>(),
            s.GetRequiredService<ILogger<StaleLeaderMonitor>>()
        ));

    /// <summary>
    /// Puts deliveries on their way: few messages, each naming many, in the outbox's transaction. They are sent after the commit,
    /// and the caller does not wait for it.
    /// </summary>
    public static async Task CarryAsync(this IMartenOutbox outbox, IDocumentSession session, IEnumerable<OpenDelivery> deliveries)
    {
        BackgroundFlush.Enroll(outbox, session);
        foreach (var queue in deliveries.GroupBy(d => d.Queue))
        {
            foreach (var message in DispatchDeliveries.Cut(queue.Key, queue.Select(d => d.Id)))
            {
                await outbox.EndpointFor(queue.Key.Name).SendAsync(message);
                Telemetry.Envelopes.Add(1);
            }
        }
    }
}
