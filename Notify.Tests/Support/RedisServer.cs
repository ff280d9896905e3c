namespace Notify.Tests.Support;

using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;

/// <summary>A Redis of the tests' own: a real server, in a folder and on a port that nothing else uses.</summary>
public sealed class RedisServer : IAsyncDisposable
{
    private readonly string program;
    private readonly string folder;
    private Process process = null!;

    private RedisServer(string program, string folder) => (this.program, this.folder) = (program, folder);

    /// <summary>Its port.</summary>
    public int Port { get; } = HostProcess.FreePort();

    /// <summary>What <c>ConnectionStrings:redis</c> is set to.</summary>
    public string Address => $"127.0.0.1:{Port}";

    /// <summary>Starts a server with nothing in it; the script finds the program, or installs it.</summary>
    public static async Task<RedisServer> StartAsync(string folder)
    {
        Directory.CreateDirectory(folder);
        var program = (await Repository.RunAsync(Repository.Script ?? Path.Combine(Repository.Root, "notify"), "_redis"))
            .Trim()
            .Split('\n')[^1];
        var server = new RedisServer(program, folder);
        await server.StartAgainAsync();
        return server;
    }

    /// <summary>Starts it again after its end: empty.</summary>
    public async Task StartAgainAsync()
    {
        process = Process.Start(
            new ProcessStartInfo(
                program,
                [
                    "--port",
                    $"{Port}",
                    "--bind",
                    "127.0.0.1",
                    "--dir",
                    folder,
                    "--pidfile",
                    $"{folder}/redis.pid",
                    "--logfile",
                    $"{folder}/redis.log",
                    "--save",
                    "",
                    "--appendonly",
                    "no",
                ]
            )
        )!;
        await Eventually.Holds(async () => await CommandAsync("PING") == "+PONG", "Redis answers");
    }

    /// <summary><c>kill -9</c>.</summary>
    public async Task KillAsync()
    {
        process.Kill();
        await process.WaitForExitAsync();
    }

    /// <summary>Stops answering, and keeps its connections: as when the network between has swallowed everything.</summary>
    public void Freeze() => Signal("STOP");

    /// <summary>Answers again.</summary>
    public void Thaw() => Signal("CONT");

    /// <summary>How many keys it holds.</summary>
    public async Task<int> CountAsync() => int.Parse((await CommandAsync("DBSIZE"))[1..], CultureInfo.InvariantCulture);

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        if (!process.HasExited)
            await KillAsync();
        process.Dispose();
        Directory.Delete(folder, recursive: true);
    }

    // One line there, one line back.
    private async Task<string> CommandAsync(string command)
    {
        try
        {
            using var client = new TcpClient();
            await client.ConnectAsync("127.0.0.1", Port);
            await using var stream = client.GetStream();
            await stream.WriteAsync(System.Text.Encoding.ASCII.GetBytes($"{command}\r\n"));
            using var reader = new StreamReader(stream);
            return await reader.ReadLineAsync() ?? "";
        }
        catch (Exception e) when (e is SocketException or IOException)
        {
            return "";
        }
    }

    private void Signal(string name)
    {
        using var kill = Process.Start("kill", [$"-{name}", process.Id.ToString(CultureInfo.InvariantCulture)]);
        kill.WaitForExit();
    }
}
