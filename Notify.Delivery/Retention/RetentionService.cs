namespace Notify.Delivery.Retention;

using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Notify.Delivery.Privacy;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>
/// Makes the partitions of the weeks to come, and drops those whose retention is over, once an hour in one host at a time.
/// A partition that something open refers to is kept until nothing does.
/// </summary>
public sealed class RetentionService(
    NpgsqlDataSource database,
    RetentionSettings settings,
    TimeProvider clock,
    ILogger<RetentionService> log
) : BackgroundService
{
    /// <summary>The advisory lock under which partitions are made and dropped. A rebuild holds it to its end.</summary>
    public const long Lock = 0x6e6f74_726574; // any number that nothing else locks by

    private static readonly TimeSpan Interval = TimeSpan.FromHours(1),
        AfterFault = TimeSpan.FromMinutes(1),
        HostSilence = TimeSpan.FromMinutes(10); // longer than any host that goes on

    /// <summary>Makes and drops partitions.</summary>
    /// <returns>The partitions that were dropped.</returns>
    public async Task<IReadOnlyList<string>> RunAsync(CancellationToken cancellation)
    {
        var dropped = new List<string>();
        foreach (var (table, retention) in settings.Tables)
        {
            if (table.IsReadModel && !await IsPartitionedAsync(table, retention is not null, cancellation))
                continue;
            await AloneAsync(async connection => await table.AddAheadAsync(connection, clock.GetUtcNow(), cancellation) >= 0, cancellation);
            if (retention is not { } kept)
                continue;
            List<WeekPartition> ended;
            await using (var connection = await database.OpenConnectionAsync(cancellation))
                ended = await table.EndedAsync(connection, clock.GetUtcNow() - kept, cancellation);
            foreach (var week in ended)
            {
                if (!await AloneAsync(connection => table.DropAsync(connection, week, cancellation), cancellation))
                {
                    if (table.IsReadModel)
                        break; // the writer's limit is one time: an older week that is kept keeps the later ones
                    continue;
                }

                dropped.Add(week.Name);
                log.LogInformation(
                    "The partition {Partition} was dropped: its retention of {Days} days is over.",
                    week.Name,
                    kept.TotalDays
                );
            }
        }

        return dropped;
    }

    // Partitions a read model that has a retention now, as soon as no host lives that could not write it then.
    private async Task<bool> IsPartitionedAsync(PartitionedTable table, bool isWanted, CancellationToken cancellation)
    {
        var state = "plain";
        do
        {
            var before = state;
            await AloneAsync(
                async connection =>
                {
                    var mayBegin = isWanted && await HostKeyTable.AllWriteWeeksAsync(connection, HostSilence, cancellation);
                    state = await table.PartitionAsync(connection, clock.GetUtcNow(), mayBegin, cancellation);
                    return true;
                },
                cancellation
            );
            if (state == before)
                break;
        } while (state is "begun" or "checked");

        if (isWanted && state is not ("partitioned" or "plain" or "begun" or "checked"))
            log.LogWarning(
                "{Table} has a retention and cannot be partitioned: {Views} would read a part of it. Drop these views and make them again.",
                table.Name,
                state
            );
        return state == "partitioned";
    }

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
        {
            var wait = Interval;
            try
            {
                await RunAsync(stoppingToken);
            }
            catch (Exception e)
            {
                if (stoppingToken.IsCancellationRequested)
                    return;
                wait = AfterFault;
                if (DatabaseFaults.IsPassing(e))
                    log.LogWarning("Partitions could not be made or dropped ({Reason}); it is tried again.", e.Message.Split('\n')[0]);
                else
                    log.LogError(e, "Partitions could not be made or dropped; it is tried again.");
            }

            await Task.Delay(wait, clock, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    // In a transaction of its own; another host that is at it makes this one pass.
    private async Task<bool> AloneAsync(Func<NpgsqlConnection, Task<bool>> work, CancellationToken cancellation)
    {
        await using var connection = await database.OpenConnectionAsync(cancellation);
        await using var transaction = await connection.BeginTransactionAsync(cancellation);
        await using (var take = SqlCommands.Create(connection, "select pg_try_advisory_xact_lock($1)", Lock))
        {
            if (await take.ExecuteScalarAsync(cancellation) is not true)
                return false;
        }

        var done = await work(connection);
        await transaction.CommitAsync(cancellation);
        return done;
    }
}
