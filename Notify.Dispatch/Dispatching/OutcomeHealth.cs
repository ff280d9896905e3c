namespace Notify.Dispatch.Dispatching;

using Microsoft.Extensions.Diagnostics.HealthChecks;

/// <summary>Reports outcomes that are kept in memory: the host is ready, but must not be killed.</summary>
public sealed class OutcomeHealth(Settlement settlement) : IHealthCheck
{
    /// <inheritdoc />
    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default) =>
        Task.FromResult(
            settlement.Kept is > 0 and var count
                ? HealthCheckResult.Degraded(
                    $"{count} outcomes of provider calls cannot be written now. They are kept in memory; do not kill this host."
                )
                : HealthCheckResult.Healthy()
        );
}
