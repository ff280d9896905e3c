namespace Notify.Infrastructure.Hosting;

using JasperFx.Core;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Npgsql;
using Wolverine.Runtime;

/// <summary>
/// Ends the database session of a Wolverine leader that has stopped. A paused process keeps its session, and with it the
/// leadership's advisory lock, so that no other host could take the lead and hand out its read models.
/// </summary>
/// <remarks>
/// A living leader uses that session in each health check (Wolverine 6.62, <c>AdvisoryLock.HasLock</c>). It counts as stopped when the
/// session has not been used for the host time-out, and was not used between two polls either: a clock that was set forward makes
/// every session look unused, and the living use theirs again. A leader that wakes up finds its session ended and steps down.
/// </remarks>
/// <param name="schema">The hosts' message storage; its name gives the lock's number (<c>PostgresqlNodePersistence</c>).</param>
/// <param name="timeout">How long a host may be silent.</param>
public sealed class StaleLeaderMonitor(
    NpgsqlDataSource database,
    string schema,
    TimeSpan timeout,
    IWolverineRuntime runtime,
    TimeProvider clock,
    ILogger<StaleLeaderMonitor> log
) : BackgroundService
{
    /// <summary>How often the leader is looked up; longer than the time between two health checks.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(2.5);

    private (int Process, DateTime UsedAt)? suspect;

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, clock);
        while (await timer.NextAsync(stoppingToken))
        {
            try
            {
                if (!await PollAsync(stoppingToken))
                    continue;
                log.LogWarning("The leader of {Schema} has stopped; its session was ended, and another host takes the lead.", schema);
                await runtime.Agents.KickstartHealthDetectionAsync();
            }
#pragma warning disable CA1031 // The database is away, or Wolverine cannot lead now: the next poll comes.
            catch (Exception e)
#pragma warning restore CA1031
            {
                if (stoppingToken.IsCancellationRequested)
                    return;
                log.LogDebug("The leader of {Schema} could not be looked up ({Reason}).", schema, e.Message.Split('\n')[0]);
            }
        }
    }

    /// <summary>Looks up the session that holds the leadership, and ends it when it is stale for the second time.</summary>
    /// <returns>Whether a session was ended.</returns>
    public async Task<bool> PollAsync(CancellationToken cancellation)
    {
        var found = await StaleAsync(cancellation);
        var isStale = found is not null && found == suspect;
        suspect = found;
        if (!isStale)
            return false;

        suspect = null;
        await using var end = database.CreateCommand(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid = $1 and state_change = $2"
        );
        end.Parameters.Add(new NpgsqlParameter { Value = found!.Value.Process });
        end.Parameters.Add(new NpgsqlParameter { Value = found.Value.UsedAt });
        return await end.ExecuteScalarAsync(cancellation) is true;
    }

    private async Task<(int Process, DateTime UsedAt)?> StaleAsync(CancellationToken cancellation)
    {
        long number = schema.GetDeterministicHashCode();
        await using var command = database.CreateCommand(
            """
            select a.pid, a.state_change from pg_locks l join pg_stat_activity a using (pid)
            where l.locktype = 'advisory' and l.granted and l.objsubid = 1 and l.classid::bigint = $1 and l.objid::bigint = $2
              and l.database = (select oid from pg_database where datname = current_database()) and a.state_change < now() - $3
            """
        );
        command.Parameters.Add(new NpgsqlParameter { Value = (long)(uint)(number >> 32) });
        command.Parameters.Add(new NpgsqlParameter { Value = (long)(uint)number });
        command.Parameters.Add(new NpgsqlParameter { Value = timeout });
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        return await reader.ReadAsync(cancellation) ? (reader.GetInt32(0), reader.GetDateTime(1)) : null;
    }
}
