namespace Notify.Tests.Support;

/// <summary>A RabbitMQ node of the tests' own, started by the script as a user's is.</summary>
public sealed class MessageBroker : IAsyncDisposable
{
    private static readonly string[] Hosts = ["notify", "empty"];
    private readonly string folder;
    private readonly int port;
    private readonly string address;

    private MessageBroker(string folder, int port, string address) => (this.folder, this.port, this.address) = (folder, port, address);

    /// <summary>Makes and starts a node, with the virtual hosts <c>notify</c> and <c>empty</c>.</summary>
    public static async Task<MessageBroker> StartAsync(string folder)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(folder)!);
        var port = HostProcess.FreePorts(3);
        var output = await ScriptAsync(["_mq", "start", folder, $"{port}", .. Hosts]);
        return new MessageBroker(folder, port, output.Trim().Split('\n')[^1].Trim());
    }

    /// <summary>The address of a virtual host.</summary>
    public string Address(string host) => $"{address[..(address.LastIndexOf('/') + 1)]}{host}";

    /// <summary><c>kill -9</c>.</summary>
    public Task KillAsync() => ScriptAsync("_mq", "stop", folder, "KILL");

    /// <summary><c>kill -STOP</c>: it answers nothing until <see cref="ResumeAsync"/>; its connections stay open.</summary>
    public Task PauseAsync() => SignalAsync("STOP");

    /// <summary><c>kill -CONT</c>.</summary>
    public Task ResumeAsync() => SignalAsync("CONT");

    /// <summary>Starts it again after its end.</summary>
    public Task StartAgainAsync() => ScriptAsync(["_mq", "start", folder, $"{port}", .. Hosts]);

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        if (Directory.Exists(folder))
            Directory.Delete(folder, recursive: true);
    }

    private async Task SignalAsync(string signal)
    {
        var pid = await File.ReadAllTextAsync(Path.Combine(folder, "pid"));
        await Repository.RunAsync("kill", $"-{signal}", pid.Trim());
    }

    private static Task<string> ScriptAsync(params string[] arguments) =>
        Repository.RunAsync(Repository.Script ?? Path.Combine(Repository.Root, "notify"), arguments);
}
