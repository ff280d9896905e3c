namespace Notify.Api.Notifications;

using Microsoft.Extensions.Diagnostics.HealthChecks;
using Notify.Api.Contract;

/// <summary>Reports whether requests are committed in time: by how long the oldest waits.</summary>
public sealed class AcceptanceHealth(Acceptance acceptance, AcceptOptions limits) : IHealthCheck
{
    /// <inheritdoc />
    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default) =>
        Task.FromResult(Of(acceptance.OldestWait, acceptance.Waiting, acceptance.WaitingApart, limits.Timeout));

    /// <summary>Judges a queue.</summary>
    /// <remarks>Requests whose event ID is locked elsewhere are their client's: no reason to take a host out of service.</remarks>
    /// <param name="oldest">How long the oldest request waits that is not among <paramref name="apart"/>.</param>
    /// <param name="waiting">How many wait.</param>
    /// <param name="apart">How many of them wait apart, since their event ID is locked.</param>
    /// <param name="limit">When a request is answered that was not committed.</param>
    public static HealthCheckResult Of(TimeSpan oldest, int waiting, int apart, TimeSpan limit)
    {
        if (oldest < 0.4 * limit)
        {
            return HealthCheckResult.Healthy(
                apart == 0
                    ? null
                    : FormattableString.Invariant(
                        $"{apart} requests wait for event IDs that other transactions have locked; the others do not wait for them."
                    )
            );
        }

        var description =
            FormattableString.Invariant(
                $"The acceptance of notifications is slow: the oldest of {waiting} requests waits for {oldest.TotalSeconds:0.0} s. "
            ) + "See whether PostgreSQL is blocked or overloaded.";
        return oldest < 0.8 * limit || waiting <= 1 ? HealthCheckResult.Degraded(description) : HealthCheckResult.Unhealthy(description);
    }
}
