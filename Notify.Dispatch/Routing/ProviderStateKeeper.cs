namespace Notify.Dispatch.Routing;

using Marten;
using Notify.Delivery.Monitoring;
using Notify.Delivery.Telemetry;
using Notify.Dispatch.Providers;
using Notify.Domain.Clients;
using Notify.Domain.Routing;
using Notify.Infrastructure.Hosting;
using Notify.Infrastructure.Postgres;
using Npgsql;
using SessionOptions = Marten.Services.SessionOptions;

/// <summary>
/// Shares the states of providers between hosts: each second, this host's changes are written with their events, unless another
/// host was first, and changes of others are adopted. While the database is unavailable, each
/// host uses its own state. States from test clients' deliveries stay within the host.
/// </summary>
public sealed class ProviderStateKeeper(
    IDocumentStore store,
    NpgsqlDataSource database,
    ProviderRegistry providers,
    TimeProvider clock,
    ILogger<ProviderStateKeeper> log
) : BackgroundService
{
    /// <summary>How often others' knowledge is taken over.</summary>
    public static readonly TimeSpan Pace = TimeSpan.FromSeconds(1);

    // How soon a change of this host's is written.
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(200);
    private bool areThere;
    private bool isAway;

    /// <inheritdoc />
    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        await TrySyncAsync(cancellationToken); // before the first delivery: a provider that is left alone is left alone
        await base.StartAsync(cancellationToken);
    }

    /// <summary>Tells what this host noticed, and takes over what others did.</summary>
    public async Task SyncAsync(CancellationToken cancellation)
    {
        var routes = Live().ToList();
        await using var connection = await database.OpenConnectionAsync(cancellation);
        if (!areThere)
        {
            await ProviderStateTable.AddAsync(
                connection,
                [.. routes.SelectMany(r => r.Members.Select(m => (m.Provider.Name, r.Lane)))],
                clock.GetUtcNow(),
                cancellation
            );
            areThere = true;
        }

        foreach (var route in routes)
        {
            foreach (var change in route.Untold())
            {
                if (!await WriteAsync(connection, change, cancellation))
                    continue;
                route.Told(change);
                foreach (var told in change.Events)
                    log.LogWarning("{What}", Notify.Domain.Descriptions.EventDescriptions.Of(null, told));
            }
        }

        var known = await ProviderStateTable.ReadAsync(connection, cancellation);
        foreach (var route in routes)
        {
            foreach (var state in known.Where(k => k.Lane == route.Lane))
                route.Adopt(state);
            foreach (var mine in route.States())
            {
                if (
                    mine.PausedUntil is { } until
                    && known.Find(k => k.Provider == mine.Provider) is { } theirs
                    && !(theirs.PausedUntil >= until)
                )
                    await ProviderStateTable.PauseAsync(connection, mine.Provider, until, cancellation);
            }
        }
    }

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var last = clock.GetTimestamp();
        using var timer = new PeriodicTimer(Look, clock);
        while (await timer.NextAsync(stoppingToken))
        {
            foreach (var (_, route) in providers.Routes)
                route.Tick();
            if (clock.GetElapsedTime(last) < Pace && !Live().Any(r => r.Untold().Count > 0))
                continue;
            await TrySyncAsync(stoppingToken);
            last = clock.GetTimestamp();
        }
    }

    private IEnumerable<ProviderRoute> Live() => providers.Routes.Where(r => r.Mode == ClientMode.Live).Select(r => r.Route);

    private async Task<bool> WriteAsync(NpgsqlConnection connection, ProviderChange change, CancellationToken cancellation)
    {
        await using var transaction = await connection.BeginTransactionAsync(cancellation);
        if (!await ProviderStateTable.ChangeAsync(connection, change.State, cancellation))
            return false;
        await using var session = store.LightweightSession(SessionOptions.ForTransaction(transaction));
        session.Events.Append(ProviderKey.Of(change.State.Provider), change.Events);
        await session.SaveChangesAsync(cancellation);
        await transaction.CommitAsync(cancellation);
        Telemetry.Commits.Add(1, new KeyValuePair<string, object?>("kind", "provider"));
        return true;
    }

    private async Task TrySyncAsync(CancellationToken cancellation)
    {
        try
        {
            await SyncAsync(cancellation);
            isAway = false;
        }
        catch (Exception e) when (e is OperationCanceledException || DatabaseFaults.IsPassing(e))
        {
            if (!isAway && !cancellation.IsCancellationRequested)
                log.LogWarning(
                    "The hosts' knowledge of the providers could not be put together ({Reason}); it is tried again.",
                    e.Message.Split('\n')[0]
                );
            isAway = true;
        }
#pragma warning disable CA1031 // Providers are sent to by what this host sees, whatever is wrong with the table.
        catch (Exception e)
#pragma warning restore CA1031
        {
            if (!isAway)
                log.LogError(e, "The hosts' knowledge of the providers could not be put together; it is tried again.");
            isAway = true;
        }
    }
}
