using JasperFx.Resources;
using Marten;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Npgsql;

namespace Notify.Projections;

/// <summary>Brings the database to what this version needs. Run once per version, before its hosts start; running it again changes nothing.</summary>
public static class Migrations
{
    /// <summary>Applies the event store's and documents' tables, then ours.</summary>
    public static async Task ApplyStoreAsync(IServiceProvider services, CancellationToken cancellation = default)
    {
        await services.GetRequiredService<IDocumentStore>().Storage.ApplyAllConfiguredChangesToDatabaseAsync();
        await using var stream = typeof(Migrations).Assembly.GetManifestResourceStream("Notify.Projections.Store.Schema.sql")!;
        using var reader = new StreamReader(stream);
        await using var command = services.GetRequiredService<NpgsqlDataSource>().CreateCommand(await reader.ReadToEndAsync(cancellation));
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Applies a host's message storage and queues.</summary>
    /// <returns>The exit code.</returns>
    public static async Task<int> ApplyMessagingAsync(IHost host)
    {
        await host.SetupResources();
        return 0;
    }
}
