namespace Notify.Tests.Projections.Analytics;

using JasperFx.Events.Daemon;
using Marten;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Notify.Delivery;
using Notify.Delivery.Privacy;
using Notify.Projections;
using Notify.Projections.Rebuilding;
using Notify.Tests.Support;
using Npgsql;
using ProjectionLag = Notify.Projections.Lag.ProjectionLag;

/// <summary>A migrated database with the event store and, when asked for, the daemon that keeps its read models; no hosts.</summary>
public sealed class AnalyticsDatabase : IAsyncLifetime
{
    private readonly EmptyDatabase database = new();
    private ServiceProvider services = null!;
    private IProjectionDaemon? daemon;

    /// <summary>Its connections.</summary>
    public NpgsqlDataSource Source => database.Source;

    /// <summary>Its connection string.</summary>
    public string ConnectionString => database.ConnectionString;

    /// <summary>The event store.</summary>
    public IDocumentStore Store => services.GetRequiredService<IDocumentStore>();

    /// <summary>The installation's secrets.</summary>
    public MasterKeyRing Ring => services.GetRequiredService<MasterKeyRing>();

    /// <inheritdoc />
    public async ValueTask InitializeAsync()
    {
        await database.InitializeAsync();
        var configuration = new ConfigurationBuilder()
            .AddInMemoryCollection(
                TestRun.Secrets.Select(s => new KeyValuePair<string, string?>(s.Key.Replace("__", ":", StringComparison.Ordinal), s.Value))
            )
            .Build();
        var collection = new ServiceCollection()
            .AddSingleton(MasterKeyRing.Read(configuration, [])!)
            .AddLogging(l => l.SetMinimumLevel(LogLevel.None));
        collection.AddNotifyStore(database.Source.ConnectionString, mayCreate: false, readModels: ReadModels.Configure);
        // Its own passwords are not shown by a data source; the tests' is used in its place.
        collection.AddSingleton(database.Source);
        services = collection.BuildServiceProvider();
    }

    /// <summary>Starts the daemon: from now on what is appended is projected.</summary>
    public async Task StartDaemonAsync()
    {
        daemon ??= await Store.BuildProjectionDaemonAsync();
        await daemon.StartAllAsync();
    }

    /// <summary>Waits until every read model has processed every event.</summary>
    public Task CaughtUpAsync() =>
        Eventually.Becomes(
            async () => (await ProjectionLag.ReadAsync(Store, Source, TestContext.Current.CancellationToken)).Values.Max(),
            lag => lag == 0,
            "no read model lags behind"
        );

    /// <summary>Runs a rebuild to its end.</summary>
    public async Task<(int ExitCode, string Output)> RebuildAsync(string name)
    {
        await using var output = new StringWriter();
        var projection = RebuildableProjections.All(Ring).Single(p => p.Name == name);
        var exitCode = await new Rebuild(Store, Source, projection, output).RunAsync(TestContext.Current.CancellationToken);
        return (exitCode, output.ToString());
    }

    /// <summary>Appends events to a notification's stream; the first of them starts it.</summary>
    public async Task AppendAsync(string key, params object[] events)
    {
        await using var session = Store.LightweightSession();
        session.Events.Append(key, events);
        await session.SaveChangesAsync();
    }

    /// <summary>Runs a statement.</summary>
    public async Task ExecuteAsync(string sql)
    {
        await using var command = Source.CreateCommand(sql);
        await command.ExecuteNonQueryAsync();
    }

    /// <summary>The rows of a query, each as text.</summary>
    public async Task<List<string>> RowsAsync(string sql)
    {
        await using var command = Source.CreateCommand($"select to_jsonb(q)::text from ({sql}) q");
        await using var reader = await command.ExecuteReaderAsync();
        var rows = new List<string>();
        while (await reader.ReadAsync())
            rows.Add(reader.GetString(0));
        return rows;
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        if (daemon is not null)
        {
            await daemon.StopAllAsync();
            daemon.Dispose();
        }

        await services.DisposeAsync();
        await database.DisposeAsync();
    }
}
