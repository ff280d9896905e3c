namespace Notify.Api.Notifications;

using Notify.Infrastructure.Hosting;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>Writes every few seconds that this Api host lives, and counts those that do: <c>notify.acceptors</c>.</summary>
public sealed class ApiHosts(HeartbeatDatabase database, ConnectionLimits limits, TimeProvider clock, ILogger<ApiHosts> log)
    : BackgroundService
{
    private readonly Guid id = limits.HostId;
    private volatile int living = 1;

    /// <summary>Hosts that live, this one included; the last count while the database is away.</summary>
    public int Living => living;

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Beat, clock);
        do
        {
            try
            {
                living = await BeatAsync(stoppingToken);
            }
            catch (Exception e)
            {
                if (stoppingToken.IsCancellationRequested)
                    return;
                log.LogWarning("The Api hosts could not be counted ({Reason}); it is tried again.", e.Message.Split('\n')[0]);
            }
        } while (await timer.NextAsync(stoppingToken));
    }

    /// <inheritdoc />
    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken);
        await using var command = database.Source.CreateCommand(
            "delete from notify.acceptors where id = $1 or seen_at < now() - interval '1 day'"
        );
        command.Parameters.Add(new NpgsqlParameter { Value = id });
        try
        {
            await command.ExecuteNonQueryAsync(cancellationToken);
        }
        catch (Exception e) when (e is NpgsqlException or TimeoutException or OperationCanceledException)
        {
            log.LogInformation("The host could not sign off ({Reason}); others will notice.", e.Message.Split('\n')[0]);
        }
    }

    private TimeSpan Beat { get; } = TimeSpan.FromMilliseconds(Math.Clamp(limits.HostTimeout.TotalMilliseconds / 5, 200, 3000));

    private async Task<int> BeatAsync(CancellationToken cancellation)
    {
        await using var command = database.Source.CreateCommand(
            """
            with beat as (insert into notify.acceptors (id, seen_at) values ($1, now()) on conflict (id) do update set seen_at = now())
            select count(*) from notify.acceptors where id <> $1 and seen_at > now() - $2
            """
        );
        command.Parameters.Add(new NpgsqlParameter { Value = id });
        command.Parameters.Add(new NpgsqlParameter { Value = Beat * 4 });
        return 1 + (int)(long)(await command.ExecuteScalarAsync(cancellation))!;
    }
}
