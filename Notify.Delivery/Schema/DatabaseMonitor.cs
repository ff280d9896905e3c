namespace Notify.Delivery.Schema;

using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Notify.Infrastructure.Hosting;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>
/// Checks, at the start and each minute, that the database's settings keep the promises: time-outs that are too short or missing,
/// standbys of which none is synchronous. A fault is logged once, and the host is ready but degraded while it lasts.
/// </summary>
public sealed class DatabaseMonitor(NpgsqlDataSource database, ConnectionLimits limits, TimeProvider clock, ILogger<DatabaseMonitor> log)
    : BackgroundService,
        IHealthCheck
{
    private static readonly TimeSpan Interval = TimeSpan.FromMinutes(1),
        Retry = TimeSpan.FromSeconds(5);
    private volatile IReadOnlyList<string> faults = [];

    /// <summary>The settings as they were checked last; <c>null</c> before the first check.</summary>
    public DatabaseSettings? Settings { get; private set; }

    /// <summary>Checks once.</summary>
    /// <returns>The faults.</returns>
    public async Task<IReadOnlyList<string>> CheckAsync(CancellationToken cancellation)
    {
        var settings = await DatabaseSettings.ReadAsync(database, cancellation);
        var found = settings.Faults(limits);
        if (Settings is null && settings.PowerWarning(limits.Host) is { } powers)
            log.LogWarning("{Powers}", powers);
        Settings = settings;
        foreach (var fault in found.Except(faults))
            log.LogError("ALERT The database: {Fault}", fault);
        if (faults.Count > 0 && found.Count == 0)
            log.LogInformation("The database's settings are as they should be.");
        return faults = found;
    }

    /// <inheritdoc />
    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default) =>
        Task.FromResult(faults is { Count: > 0 } bad ? HealthCheckResult.Degraded(string.Join(' ', bad)) : HealthCheckResult.Healthy());

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
        {
            var wait = Interval;
            try
            {
                await CheckAsync(stoppingToken);
            }
            catch (Exception e) when (DatabaseFaults.IsPassing(e))
            {
                wait = Retry; // the database is away
            }

            await Task.Delay(wait, clock, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }
}

/// <summary>Adds what every host watches in its database.</summary>
public static class DatabaseMonitoring
{
    /// <summary>Adds the monitors of the settings, of failed hosts and of failovers.</summary>
    public static IServiceCollection AddDatabaseMonitoring(this IServiceCollection services)
    {
        services.AddSingleton<DatabaseMonitor>().AddHostedService(s => s.GetRequiredService<DatabaseMonitor>());
        services.AddHostedService<FailedHostMonitor>();
        services.AddSingleton<FailoverMonitor>().AddHostedService(s => s.GetRequiredService<FailoverMonitor>());
        services.AddHealthChecks().AddCheck<DatabaseMonitor>("database-settings", tags: ["ready"]);
        return services;
    }
}
