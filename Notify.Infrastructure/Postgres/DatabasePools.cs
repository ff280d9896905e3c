namespace Notify.Infrastructure.Postgres;

using Marten;
using Npgsql;
using SessionOptions = Marten.Services.SessionOptions;

/// <summary>The sizes of a host's connection pools, which together are what the connection string allows.</summary>
/// <param name="Main">Commits: acceptance, claims, outcomes, changes, messages.</param>
/// <param name="Reads">Requests that only read; 0 where a host has none.</param>
/// <param name="Heartbeats">Heartbeats, the clock and health.</param>
public sealed record PoolSizes(int Main, int Reads, int Heartbeats)
{
    /// <summary>Divides the connections that a host may have.</summary>
    /// <param name="total"><c>Maximum Pool Size</c> of the connection string.</param>
    public static PoolSizes Of(int total, bool reads)
    {
        var heartbeats = total < 12 ? 1 : 3;
        var reading = reads ? Math.Max(1, total / 3) : 0;
        return new PoolSizes(Math.Max(2, total - heartbeats - reading), reading, heartbeats);
    }
}

/// <summary>The connections for heartbeats, the clock and health, which no other work can use up.</summary>
public sealed class HeartbeatDatabase(NpgsqlDataSource source) : IAsyncDisposable
{
    /// <summary>Its connections.</summary>
    public NpgsqlDataSource Source => source;

    /// <inheritdoc />
    public ValueTask DisposeAsync() => source.DisposeAsync();
}

/// <summary>The connections for requests that only read. A request takes one, and waits a few seconds for it at most.</summary>
public sealed class ReadDatabase(NpgsqlDataSource source, IDocumentStore store) : IAsyncDisposable
{
    /// <summary>How long a request waits for a connection before it is answered with 503.</summary>
    public static readonly TimeSpan MaxWait = TimeSpan.FromSeconds(5);

    /// <summary>Its connections, for readers that take one each time.</summary>
    public NpgsqlDataSource Source => source;

    /// <summary>Opens the one connection of a request. Dispose it before the answer is sent.</summary>
    /// <remarks>An idle connection that the server has ended is found here, and a new one takes its place.</remarks>
    public async Task<ReadConnection> OpenAsync(CancellationToken cancellation)
    {
        for (var isFirst = true; ; isFirst = false)
        {
            var connection = await source.OpenConnectionAsync(cancellation);
            try
            {
                await using var probe = new NpgsqlCommand("select 1", connection);
                await probe.ExecuteScalarAsync(cancellation);
                return new ReadConnection(connection, store);
            }
            catch (Exception e)
            {
                await connection.DisposeAsync();
                if (!isFirst || !DatabaseFaults.IsBrokenConnection(e))
                    throw;
                source.Clear();
            }
        }
    }

    /// <inheritdoc />
    public ValueTask DisposeAsync() => source.DisposeAsync();
}

/// <summary>The one connection of a request that reads, and a session of the event store on it.</summary>
public sealed class ReadConnection(NpgsqlConnection connection, IDocumentStore store) : IAsyncDisposable
{
    private IQuerySession? session;

    /// <summary>The connection.</summary>
    public NpgsqlConnection Connection => connection;

    /// <summary>The session, on the same connection.</summary>
    public IQuerySession Session => session ??= store.QuerySession(SessionOptions.ForConnection(connection));

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        if (session is not null)
            await session.DisposeAsync();
        await connection.DisposeAsync();
    }
}
