namespace Notify.Projections.Lag;

using JasperFx;
using Marten;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Notify.Infrastructure.Hosting;
using Notify.Infrastructure.Postgres;
using Npgsql;
using Wolverine.Runtime;
using IProjectionCoordinator = Marten.Events.Daemon.Coordination.IProjectionCoordinator;

/// <summary>
/// Starts a read model again that has stopped on the host that it is assigned to. A host that wakes after a pause finds that another has
/// gone on with its read models; Wolverine then gives up the read model permanently, although the assignment still names this host.
/// </summary>
public sealed class ReadModelMonitor(
    IDocumentStore store,
    IProjectionCoordinator coordinator,
    NpgsqlDataSource database,
    IWolverineRuntime runtime,
    TimeProvider clock,
    ILogger<ReadModelMonitor> log
) : BackgroundService
{
    /// <summary>The interval of checking the read models; one that is stopped at two checks is started again.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(4);

    private HashSet<string> suspects = new(StringComparer.OrdinalIgnoreCase);

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
#pragma warning disable CA1031 // The database is away, or the daemon cannot start it now: the next poll comes.
            catch (Exception e)
#pragma warning restore CA1031
            {
                if (stoppingToken.IsCancellationRequested)
                    return;
                log.LogDebug("The read models could not be looked at ({Reason}).", e.Message.Split('\n')[0]);
            }
        }
    }

    private async Task PollAsync(CancellationToken cancellation)
    {
        var assigned = await AssignedAsync(cancellation);
        var shards = ProjectionLag
            .Shards(store)
            .Where(s => assigned.Any(a => a.EndsWith($"/{s.Replace(':', '/')}", StringComparison.OrdinalIgnoreCase)))
            .ToList();
        var stopped = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        foreach (var daemon in await coordinator.AllDaemonsAsync())
        {
            var running = daemon
                .CurrentAgents()
                .Where(a => a.Status == AgentStatus.Running)
                .Select(a => a.Name.Identity)
                .ToHashSet(StringComparer.OrdinalIgnoreCase);
            foreach (var shard in shards.Where(s => !running.Contains(s)))
            {
                stopped.Add(shard);
                if (!suspects.Contains(shard))
                    continue;
                log.LogWarning("The read model {Shard} had stopped and is started again.", shard);
                await daemon.StartAgentAsync(shard, cancellation);
            }
        }

        suspects = stopped;
    }

    // The agents that the leader has assigned to this host.
    private async Task<List<string>> AssignedAsync(CancellationToken cancellation)
    {
        await using var connection = await database.OpenConnectionAsync(cancellation);
        await using var command = SqlCommands.Create(
            connection,
            "select id from projections_messages.wolverine_node_assignments where node_id = $1 and id like 'event-subscriptions:%'",
            runtime.Options.UniqueNodeId
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var agents = new List<string>();
        while (await reader.ReadAsync(cancellation))
            agents.Add(reader.GetString(0));
        return agents;
    }
}
