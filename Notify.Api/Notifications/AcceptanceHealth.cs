using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace Notify.Api.Notifications;

/// <summary>Reports whether requests are committed in time: by how long the oldest waits.</summary>
public sealed class AcceptanceHealth(Acceptance acceptance, AcceptOptions limits) : IHealthCheck
{
    /// <inheritdoc />
    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default) =>
        Task.FromResult(Of(acceptance.OldestWait, acceptance.Waiting, limits.Timeout));

    /// <summary>Judges a queue.</summary>
    /// <remarks>A single request that waits may be one whose row is locked: no reason to take a host out of service.</remarks>
    /// <param name="oldest">How long the oldest request waits.</param>
    /// <param name="waiting">How many wait.</param>
    /// <param name="limit">When a request is answered that was not committed.</param>
    public static HealthCheckResult Of(TimeSpan oldest, int waiting, TimeSpan limit)
    {
        if (oldest < 0.4 * limit) return HealthCheckResult.Healthy();
        var description = FormattableString.Invariant(
            $"The acceptance of notifications is slow: the oldest of {waiting} requests waits for {oldest.TotalSeconds:0.0} s. ")
            + "See whether PostgreSQL is blocked or overloaded.";
        return oldest < 0.8 * limit || waiting <= 1 ? HealthCheckResult.Degraded(description) : HealthCheckResult.Unhealthy(description);
    }
}
