namespace Notify.Tests.Projections;

using Notify.Tests.Support;
using Npgsql;

/// <summary>A migrated database of a test class's own; nothing runs in it.</summary>
public sealed class EmptyDatabase : IAsyncLifetime
{
    private (PostgresCluster Cluster, string Name) place;

    /// <summary>Its connections.</summary>
    public NpgsqlDataSource Source { get; private set; } = null!;

    /// <summary>Its connection string, with the password that a data source does not show.</summary>
    public string ConnectionString => place.Cluster.ConnectionString(place.Name);

    /// <inheritdoc />
    public async ValueTask InitializeAsync()
    {
        place = await TestRun.NewDatabaseAsync();
        Source = NpgsqlDataSource.Create(ConnectionString + ";Maximum Pool Size=20");
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        await Source.DisposeAsync();
        await place.Cluster.DropDatabaseAsync(place.Name);
    }
}
