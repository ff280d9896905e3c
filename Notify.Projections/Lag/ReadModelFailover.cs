namespace Notify.Projections.Lag;

using JasperFx.Events.Daemon;
using Microsoft.Extensions.Logging;
using Notify.Infrastructure.Hosting;
using IProjectionCoordinator = Marten.Events.Daemon.Coordination.IProjectionCoordinator;

/// <summary>
/// Starts this host's read models anew after a failover, from the positions that the promoted server has: a running one would
/// wait for the old server's positions to come again, and pass over the events up to there.
/// </summary>
public sealed class ReadModelFailover(IProjectionCoordinator coordinator, ILogger<ReadModelFailover> log) : IFailoverHandler
{
    /// <inheritdoc />
    public async Task HandleAsync(CancellationToken cancellation)
    {
        foreach (var daemon in await coordinator.AllDaemonsAsync())
        {
            var shards = daemon.CurrentAgents().Select(a => a.Name.Identity).ToList();
            if (shards.Count == 0)
                continue;
            await daemon.StopAllAsync();
            foreach (var shard in shards)
                await daemon.StartAgentAsync(shard, cancellation);
            log.LogWarning("The read models {Shards} were started anew after a failover.", string.Join(", ", shards));
        }
    }
}
