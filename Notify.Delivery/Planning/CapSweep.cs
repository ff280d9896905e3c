namespace Notify.Delivery.Planning;

using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Notify.Infrastructure.Hosting;
using Npgsql;

/// <summary>Removes the counts of windows that are over, now and then; several hosts may do so at once.</summary>
public sealed class CapSweep(NpgsqlDataSource database, TimeProvider clock, ILogger<CapSweep> log) : BackgroundService
{
    private const int Page = 5000;

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromMinutes(10), clock);
        while (await timer.NextAsync(stoppingToken))
        {
            try
            {
                while (await CapTable.SweepAsync(database, clock.GetUtcNow(), Page, stoppingToken) == Page) { }
            }
            catch (Exception e) when (e is NpgsqlException or TimeoutException or OperationCanceledException)
            {
                if (stoppingToken.IsCancellationRequested)
                    return;
                log.LogWarning("Old counts of caps could not be removed ({Reason}); it is tried again.", e.Message);
            }
        }
    }
}
