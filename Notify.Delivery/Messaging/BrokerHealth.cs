namespace Notify.Delivery.Messaging;

using Microsoft.Extensions.Diagnostics.HealthChecks;

/// <summary>
/// Whether the broker answers and has its queues. A host whose broker is away stays ready, and says so: Api accepts as
/// before, since what it accepts waits in the outbox, and Dispatch still takes receipts.
/// </summary>
public sealed class BrokerHealth(RabbitMqBroker broker) : IHealthCheck
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(3);

    /// <inheritdoc />
    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(Limit);
        return await broker.CheckAsync(limit.Token) is { } fault ? HealthCheckResult.Degraded(fault.Message) : HealthCheckResult.Healthy();
    }
}
