namespace Notify.Tests.Support;

using Npgsql;

/// <summary>A PostgreSQL cluster of the tests' own. Started by the script, as a user's is; without the script, here.</summary>
public sealed class PostgresCluster : IAsyncDisposable
{
    private readonly string folder;
    private string? owner; // of a standby, which the script knows nothing of
    private readonly NpgsqlConnectionStringBuilder address;

    private PostgresCluster(string folder, string connectionString) =>
        (this.folder, address) = (folder, new NpgsqlConnectionStringBuilder(connectionString));

    /// <summary>Makes and starts a cluster.</summary>
    public static async Task<PostgresCluster> StartAsync(string folder)
    {
        var port = HostProcess.FreePort();
        Directory.CreateDirectory(Path.GetDirectoryName(folder)!);
        if (Repository.Script is not null)
        {
            var output = await ScriptAsync("_pg", "start", folder, $"{port}");
            return new PostgresCluster(folder, output.Trim().Split('\n')[^1].Trim());
        }

        var cluster = new PostgresCluster(folder, $"Host=127.0.0.1;Port={port};Username=notify;Database=postgres");
        await Repository.RunAsync("install", "-d", "-o", "postgres", folder);
        await AsOwnerAsync($"{Bin}/initdb", "-D", folder, "-U", "notify", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync");
        await File.AppendAllTextAsync(
            Path.Combine(folder, "postgresql.conf"),
            $"""

            port = {port}
            listen_addresses = '127.0.0.1'
            unix_socket_directories = ''
            max_connections = 400
            shared_buffers = 256MB
            fsync = off

            """
        );
        await cluster.ControlAsync("start");
        return cluster;
    }

    /// <summary>The address of one of its databases.</summary>
    public string ConnectionString(string database) =>
        new NpgsqlConnectionStringBuilder(address.ConnectionString) { Database = database }.ConnectionString;

    /// <summary>The address of a database here or, after a failover, at a standby.</summary>
    public string ConnectionString(string database, PostgresCluster standby) =>
        new NpgsqlConnectionStringBuilder(ConnectionString(database))
        {
            Host = $"{address.Host}:{address.Port},{standby.address.Host}:{standby.address.Port}",
            TargetSessionAttributes = "primary",
            HostRecheckSeconds = 1,
        }.ConnectionString;

    /// <summary>Makes a database, as a copy of another where one is named.</summary>
    public async Task CreateDatabaseAsync(string name, string? template = null)
    {
        NpgsqlConnection.ClearAllPools(); // a database that is copied from may have no other visitors
        await using var source = NpgsqlDataSource.Create(ConnectionString("postgres"));
        await using var command = source.CreateCommand($"create database {name}{(template is null ? "" : $" template {template}")}");
        await command.ExecuteNonQueryAsync();
    }

    /// <summary>Drops a database, also with open connections.</summary>
    public async Task DropDatabaseAsync(string name)
    {
        await using var source = NpgsqlDataSource.Create(ConnectionString("postgres"));
        await using var command = source.CreateCommand($"drop database if exists {name} with (force)");
        await command.ExecuteNonQueryAsync();
    }

    /// <summary>Stops and starts it; <c>immediate</c> is as if its machine had failed.</summary>
    public Task RestartAsync(string mode) =>
        Repository.Script is null ? RestartHereAsync(mode) : ScriptAsync("_pg", "restart", folder, mode);

    /// <summary>Stops it.</summary>
    public Task StopAsync(string mode = "fast") =>
        Repository.Script is null ? ControlAsync("stop", "-m", mode) : ScriptAsync("_pg", "stop", folder, mode);

    /// <summary>Starts it again after a stop; nothing happens where it runs.</summary>
    public async Task StartAgainAsync()
    {
        if (Repository.Script is not null)
            await ScriptAsync("_pg", "start", folder, $"{address.Port}");
        else if (!await RunsHereAsync())
            await ControlAsync("start");
    }

    /// <summary>Stops all of its processes where they are: connections stay open, and nothing is answered.</summary>
    public Task PauseAsync() => SignalAsync("STOP");

    /// <summary>Has all of its processes go on.</summary>
    public Task ResumeAsync() => SignalAsync("CONT");

    /// <summary>Starts a standby that follows it asynchronously.</summary>
    public async Task<PostgresCluster> StartStandbyAsync(string to)
    {
        var owner = (await Repository.RunAsync("stat", "-c", "%U", Data)).Trim();
        var from = new NpgsqlConnectionStringBuilder(address.ConnectionString);
        var copy = new NpgsqlConnectionStringBuilder(address.ConnectionString) { Port = HostProcess.FreePort() };
        var standby = new PostgresCluster(to, copy.ConnectionString) { owner = owner };
        await Repository.RunAsync("install", "-d", "-m", "700", "-o", owner, to);
        var primary = $"host={from.Host} port={from.Port} user={from.Username} password={from.Password}";
        await standby.AsUserAsync($"{Bin}/pg_basebackup", "-d", primary, "-D", to, "-R", "-X", "stream", "-c", "fast");
        await standby.ServeAsync("start");
        return standby;
    }

    /// <summary>Makes a standby the primary.</summary>
    public Task PromoteAsync() => AsUserAsync($"{Bin}/pg_ctl", "-D", folder, "-w", "promote");

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        try
        {
            await (owner is null ? StopAsync("immediate") : ServeAsync("stop", "-m", "immediate"));
        }
        catch (InvalidOperationException)
        {
            // It does not run any more.
        }

        if (Directory.Exists(folder))
            Directory.Delete(folder, recursive: true);
    }

    private const string Bin = "/usr/lib/postgresql/15/bin";

    private async Task RestartHereAsync(string mode)
    {
        await ControlAsync("stop", "-m", mode);
        await ControlAsync("start");
    }

    private async Task<bool> RunsHereAsync()
    {
        try
        {
            await AsOwnerAsync($"{Bin}/pg_ctl", "-D", folder, "status");
            return true;
        }
        catch (InvalidOperationException)
        {
            return false;
        }
    }

    private string Data => Directory.Exists(Path.Combine(folder, "data")) ? Path.Combine(folder, "data") : folder;

    private async Task SignalAsync(string signal)
    {
        var main = (await File.ReadAllLinesAsync(Path.Combine(Data, "postmaster.pid")))[0].Trim();
        var others = await Repository.RunAsync("ps", "--ppid", main, "-o", "pid=");
        await Repository.RunAsync("kill", [$"-{signal}", main, .. others.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)]);
    }

    private Task ServeAsync(string action, params string[] more) =>
        AsUserAsync([$"{Bin}/pg_ctl", "-D", folder, "-o", $"-p {address.Port}", "-l", $"{folder}/server.log", "-w", action, .. more]);

    private Task<string> AsUserAsync(params string[] command) => Repository.RunAsync("runuser", ["-u", owner!, "--", .. command]);

    private Task ControlAsync(string action, params string[] more) =>
        AsOwnerAsync([$"{Bin}/pg_ctl", "-D", folder, "-l", $"{folder}/server.log", "-w", action, .. more]);

    private static Task<string> AsOwnerAsync(params string[] command) =>
        Repository.RunAsync("runuser", ["-u", "postgres", "--", .. command]);

    private static Task<string> ScriptAsync(params string[] arguments) => Repository.RunAsync(Repository.Script!, arguments);
}
