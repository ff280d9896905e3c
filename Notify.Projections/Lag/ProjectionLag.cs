namespace Notify.Projections.Lag;

using System.Diagnostics.Metrics;
using JasperFx.Events.Projections;
using Marten;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Notify.Delivery.EventStore;
using Notify.Delivery.Telemetry;
using Notify.Infrastructure.Hosting;
using Npgsql;

/// <summary>Publishes the number of events that each projection has not yet processed, counted every five seconds.</summary>
public sealed class ProjectionLag(IDocumentStore store, NpgsqlDataSource database, TimeProvider clock, ILogger<ProjectionLag> log)
    : BackgroundService
{
    private volatile IReadOnlyList<Measurement<long>> last = [];

    /// <summary>The lag of every projection that the daemon runs, by name; at most so many events, since numbers may be missing among
    /// them.</summary>
    public static async Task<IReadOnlyDictionary<string, long>> ReadAsync(
        IDocumentStore store,
        NpgsqlDataSource database,
        CancellationToken cancellation
    )
    {
        var shards = Shards(store);
        await using var command = database.CreateCommand(
            $"""
            select s.name, coalesce((select max(seq_id) from {EventSchema.Name}.mt_events), 0) - coalesce(p.last_seq_id, 0)
            from unnest($1) as s(name) left join {EventSchema.Name}.mt_event_progression p using (name)
            """
        );
        command.Parameters.Add(new NpgsqlParameter { Value = shards });
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var lags = new Dictionary<string, long>();
        while (await reader.ReadAsync(cancellation))
            lags[reader.GetString(0).Split(':')[0]] = Math.Max(0, reader.GetInt64(1));
        return lags;
    }

    /// <summary>The names of all that the daemon runs, such as <c>analytics:All</c>.</summary>
    public static string[] Shards(IDocumentStore store) =>
        [
            .. store
                .Options.Events.Projections()
                .Where(p => p.Lifecycle == ProjectionLifecycle.Async)
                .SelectMany(p => p.ShardNames())
                .Select(n => n.Identity)
                .Distinct(),
        ];

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        Telemetry.ObserveLag(() => last);
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(5), clock);
        do
        {
            try
            {
                last =
                [
                    .. (await ReadAsync(store, database, stoppingToken)).Select(l => new Measurement<long>(
                        l.Value,
                        new KeyValuePair<string, object?>("projection", l.Key)
                    )),
                ];
            }
            catch (Exception e) when (e is NpgsqlException or TimeoutException or OperationCanceledException)
            {
                if (stoppingToken.IsCancellationRequested)
                    return;
                log.LogWarning("The projections' lag could not be counted ({Reason}); it is tried again.", e.Message);
            }
        } while (await timer.NextAsync(stoppingToken));
    }
}
