namespace Notify.Dispatch.Due;

using Marten;
using Microsoft.Extensions.Options;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.EventStore;
using Notify.Dispatch.Dispatching;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Routing;
using Notify.Domain.Planning;
using Notify.Infrastructure.Hosting;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>
/// Writes this host's heartbeat, and recovers the deliveries that failed hosts had in flight: where a repeat replaces itself they are
/// queued again; where it would reach the person twice, the outcome is unknown and will be asked for.
/// </summary>
public sealed class Takeover(
    IDocumentStore store,
    HeartbeatDatabase database,
    DeliveryDispatcher dispatcher,
    HostIdentity host,
    HostLease lease,
    IOptions<RetrySchedule> schedule,
    StreamFaults faults,
    IConfiguration configuration,
    TimeProvider clock,
    ILogger<Takeover> log
) : BackgroundService
{
    private const int Page = 500;
    private readonly SignsOfLife signs = new(configuration.HostTimeout(), Beat(configuration), clock);
    private readonly AbandonedLooks looks = new(Beat(configuration) * 20, clock);
    private SignOfLife[] gone = [];
    private Task<bool>? look;

    /// <inheritdoc />
    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        await BeatAsync(cancellationToken); // before the first message: nobody may take this host for dead
        await base.StartAsync(cancellationToken);
    }

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Beat(configuration), clock);
        do
        {
            try
            {
                await BeatAsync(stoppingToken);
                var given = await SignsAsync(stoppingToken);
                var silent = signs.Gone(given);
                gone = [.. given.Where(s => s.Host != host.Id && silent.Contains(s.Host))];
                // Beside the signs of life: a look takes as long as it takes, and this host lives meanwhile.
                if (look is { IsCompleted: true })
                {
                    if (await look)
                        looks.Looked();
                    look = null;
                }

                if (looks.IsDue(given.Except(gone).Select(s => s.Host), dispatcher.Claims.GivenUp))
                    look ??= LookAsync(gone, stoppingToken);
            }
            catch (Exception e)
            {
                if (stoppingToken.IsCancellationRequested)
                    return;
                log.LogWarning("The sign of life could not be given ({Reason}); it is tried again.", e.Message.Split('\n')[0]);
            }
        } while (await timer.NextAsync(stoppingToken));
        if (look is not null)
            await look;
    }

    // Whether it went through to its end.
    private async Task<bool> LookAsync(SignOfLife[] gone, CancellationToken cancellation)
    {
        try
        {
            var unreadable = new HashSet<Guid>();
            while (await TakeOverAsync(gone, unreadable, cancellation) == Page) { }

            return true;
        }
        catch (Exception e)
        {
            if (!cancellation.IsCancellationRequested)
                log.LogWarning("What hosts left behind could not be looked for ({Reason}); it is tried again.", e.Message.Split('\n')[0]);
            return false;
        }
    }

    // Takes over one page of abandoned deliveries, and returns how many there were. A delivery whose stream cannot be read stays as
    // it is, since its outcome may be unknown; the next look tries it again.
    private async Task<int> TakeOverAsync(SignOfLife[] gone, HashSet<Guid> unreadable, CancellationToken cancellation)
    {
        var now = clock.GetUtcNow();
        await using var session = store.LightweightSession();
        await session.BeginTransactionAsync(cancellation);
        var connection = session.Connection!;
        // In this order: a claim is known to the dispatcher before it is in the table, and until it is settled. A claim in
        // the table that is not known then was given up, its commit's answer lost.
        var inTable = await OpenDeliveryTable.ClaimsOfAsync(connection, host.Id, cancellation);
        var rows = await OpenDeliveryTable.AbandonedAsync(
            connection,
            [.. inTable.Except(dispatcher.Claims.Active)],
            [.. gone.Select(g => (g.Host, g.At))],
            [.. unreadable],
            Page,
            cancellation
        );
        if (rows.Count == 0)
            return 0;

        await NotificationStreams.LockAsync(session, rows.Select(r => r.Notification), cancellation);
        var loaded = await NotificationStreams.LoadAsync(
            session,
            [.. rows.Select(r => r.Notification).Distinct()],
            cancellation,
            withTexts: false
        );
        await faults.NoteAsync(connection, loaded, now, cancellation);
        var ended = new List<Guid>();
        var put = new List<OpenDelivery>();
        foreach (var row in rows)
        {
            if (loaded.Faults.ContainsKey(row.Notification))
            {
                unreadable.Add(row.Id);
                continue;
            }

            var delivery = loaded.States.GetValueOrDefault(row.Notification)?.Deliveries.GetValueOrDefault(row.Id);
            var (@event, next) = TakeoverDecider.Decide(row, delivery, schedule.Value, now);
            if (@event is not null)
                session.Events.Append(row.Notification, @event);
            if (next is null)
                ended.Add(row.Id);
            else
                put.Add(next);
        }

        await OpenDeliveryTable.RemoveAsync(connection, [.. ended], cancellation);
        await OpenDeliveryTable.PutAsync(connection, put, cancellation);
        session.QueueSqlCommand("select 1");
        await session.SaveChangesAsync(cancellation);
        log.LogWarning("{Count} deliveries were taken over from hosts that are gone.", ended.Count + put.Count);
        return rows.Count;
    }

    /// <inheritdoc />
    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken);
        await dispatcher.DrainAsync(cancellationToken); // no other host has the deliveries under way here
        await using var command = database.Source.CreateCommand(
            "delete from notify.dispatchers where id = $1 or (id = any($2) and seen_at < now() - interval '1 day')"
        );
        command.Parameters.Add(new NpgsqlParameter { Value = host.Id });
        command.Parameters.Add(new NpgsqlParameter { Value = gone.Select(g => g.Host).ToArray() });
        try
        {
            await command.ExecuteNonQueryAsync(cancellationToken);
        }
        catch (Exception e) when (e is NpgsqlException or TimeoutException or OperationCanceledException)
        {
            log.LogInformation("The host could not sign off ({Reason}); others will notice.", e.Message.Split('\n')[0]);
        }
    }

    private static TimeSpan Beat(IConfiguration configuration) =>
        TimeSpan.FromMilliseconds(Math.Clamp(configuration.HostTimeout().TotalMilliseconds / 5, 200, 3000));

    private async Task<List<SignOfLife>> SignsAsync(CancellationToken cancellation)
    {
        await using var command = database.Source.CreateCommand("select id, seen_at, now() - seen_at from notify.dispatchers");
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var all = new List<SignOfLife>();
        while (await reader.ReadAsync(cancellation))
            all.Add(new SignOfLife(reader.GetGuid(0), reader.GetFieldValue<DateTimeOffset>(1), reader.GetTimeSpan(2)));
        return all;
    }

    private async Task BeatAsync(CancellationToken cancellation)
    {
        var sentAt = clock.GetTimestamp();
        await using var command = database.Source.CreateCommand(
            "insert into notify.dispatchers (id, seen_at) values ($1, now()) on conflict (id) do update set seen_at = now()"
        );
        command.Parameters.Add(new NpgsqlParameter { Value = host.Id });
        await command.ExecuteNonQueryAsync(cancellation);
        lease.Renew(sentAt);
    }
}
