namespace Notify.Infrastructure.Hosting;

using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>
/// Ends the database sessions of hosts whose heartbeat is stale and that are in a transaction for as long, so that no lock of
/// theirs outlives their lease: a host that was stopped in a commit holds its locks for as long as its session lives. Runs in
/// every host.
/// </summary>
/// <remarks>
/// Silence is counted by this host's own counter and only while this host polls: a database that was away, or whose clock was
/// set, makes no host stale. A host that is only slow keeps its other sessions, and so the one of its heartbeat.
/// </remarks>
public sealed class FailedHostMonitor(
    HeartbeatDatabase database,
    ConnectionLimits limits,
    TimeProvider clock,
    ILogger<FailedHostMonitor> log
) : BackgroundService
{
    private Dictionary<string, (DateTimeOffset At, TimeSpan Silence)> known = [];
    private long polledAt = clock.GetTimestamp();
    private bool isRefused;

    /// <summary>How often heartbeats are compared.</summary>
    public TimeSpan Interval { get; } = TimeSpan.FromMilliseconds(Math.Clamp(limits.HostTimeout.TotalMilliseconds / 5, 200, 3000));

    /// <summary>Polls once, and ends the sessions of stale hosts.</summary>
    /// <returns>How many sessions were ended.</returns>
    public async Task<int> PollAsync(CancellationToken cancellation)
    {
        var now = clock.GetTimestamp();
        var passed = clock.GetElapsedTime(polledAt, now) is var elapsed && elapsed < Interval * 2 ? elapsed : Interval * 2;
        polledAt = now;
        var heartbeats = await HeartbeatsAsync(cancellation);
        known = heartbeats.ToDictionary(
            h => h.Name,
            h => (h.At, known.TryGetValue(h.Name, out var k) && k.At == h.At ? k.Silence + passed : TimeSpan.Zero),
            StringComparer.Ordinal
        );
        var stale = known.Where(k => k.Value.Silence > limits.HostTimeout && k.Key != limits.ApplicationName).Select(k => k.Key).ToArray();
        return stale.Length == 0 ? 0 : await EndSessionsAsync(stale, cancellation);
    }

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, clock);
        while (await timer.NextAsync(stoppingToken))
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
                    log.LogError(e, "Heartbeats could not be compared; it is tried again.");
            }
        }
    }

    private async Task<List<(string Name, DateTimeOffset At)>> HeartbeatsAsync(CancellationToken cancellation)
    {
        await using var command = database.Source.CreateCommand(
            """
            select 'notify-dispatch', id, seen_at from notify.dispatchers
            union all select 'notify-api', id, seen_at from notify.acceptors
            """
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var all = new List<(string, DateTimeOffset)>();
        while (await reader.ReadAsync(cancellation))
            all.Add((ConnectionLimits.NameOf(reader.GetString(0), reader.GetGuid(1)), reader.GetFieldValue<DateTimeOffset>(2)));
        return all;
    }

    private async Task<int> EndSessionsAsync(string[] stale, CancellationToken cancellation)
    {
        await using var command = database.Source.CreateCommand(
            """
            select count(*) filter (where pg_terminate_backend(pid)) from pg_stat_activity
            where application_name = any($1) and datname = current_database() and xact_start < clock_timestamp() - $2
            """
        );
        command.Parameters.Add(new NpgsqlParameter { Value = stale });
        command.Parameters.Add(new NpgsqlParameter { Value = limits.HostTimeout });
        try
        {
            var ended = (int)(long)(await command.ExecuteScalarAsync(cancellation))!;
            if (ended > 0)
            {
                log.LogWarning(
                    "{Count} database sessions of hosts that are silent for {Seconds} s were ended ({Hosts}).",
                    ended,
                    limits.HostTimeout.TotalSeconds,
                    string.Join(", ", stale)
                );
            }

            return ended;
        }
        catch (PostgresException e) when (e.SqlState == PostgresErrorCodes.InsufficientPrivilege)
        {
            if (!isRefused)
            {
                log.LogError(
                    "The database sessions of silent hosts may not be ended, and their locks stay: "
                        + "let all hosts use one role, or grant this one pg_signal_backend."
                );
            }

            isRefused = true;
            return 0;
        }
    }
}
