namespace Notify.Infrastructure.Hosting;

using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>Does in a host what a failover of the database asks for. Called again until it succeeds.</summary>
public interface IFailoverHandler
{
    /// <summary>Handles a failover.</summary>
    Task HandleAsync(CancellationToken cancellation);
}

/// <summary>
/// Notices that another server has been promoted: the timeline of the write-ahead log has changed. An asynchronous standby may
/// lack the last commits, so the host's memory can be ahead of the database.
/// </summary>
public sealed class FailoverMonitor(
    HeartbeatDatabase database,
    ConnectionLimits limits,
    IEnumerable<IFailoverHandler> handlers,
    TimeProvider clock,
    ILogger<FailoverMonitor> log
) : BackgroundService
{
    /// <summary>An expression for the timeline of the server that a session is on; fails on a standby.</summary>
    public const string Timeline = "substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)";

    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);
    private volatile string? handled;
    private long handledAt;

    /// <summary>
    /// Whether a message that must not be repeated may be sent on what a timeline's database says: this host has handled the
    /// failover to it, and the others have had time to.
    /// </summary>
    public bool IsSettled(string timeline) =>
        handled is null || (handled == timeline && (handledAt == 0 || clock.GetElapsedTime(handledAt) > limits.HostTimeout / 3));

    /// <summary>Looks at the timeline once, and has a failover handled.</summary>
    /// <returns>Whether there was one.</returns>
    public async Task<bool> PollAsync(CancellationToken cancellation)
    {
        await using var command = database.Source.CreateCommand($"select {Timeline}");
        command.CommandTimeout = 5;
        var timeline = (string)(await command.ExecuteScalarAsync(cancellation))!;
        if (handled is null)
            handled = timeline;
        if (handled == timeline)
            return false;
        log.LogError(
            "ALERT PostgreSQL failed over (timeline {Before}, now {Now}). "
                + "Attempts that this host made and the database lacks are written again.",
            handled,
            timeline
        );
        foreach (var handler in handlers)
            await handler.HandleAsync(cancellation);
        handledAt = clock.GetTimestamp();
        handled = timeline;
        return true;
    }

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, clock);
        do
        {
            try
            {
                await PollAsync(stoppingToken);
            }
            catch (Exception e)
            {
                if (stoppingToken.IsCancellationRequested)
                    return;
                if (!DatabaseFaults.IsPassing(e))
                    log.LogError(e, "A failover could not be handled; it is tried again.");
            }
        } while (await timer.NextAsync(stoppingToken));
    }
}
