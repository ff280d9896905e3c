namespace Notify.Tests.Support;

using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net.Sockets;

/// <summary>A program of ours as a real process: started with an environment of its own, its output kept in a file.</summary>
public sealed class HostProcess : IAsyncDisposable
{
    private static readonly ConcurrentDictionary<int, Process> Running = new();
    private static readonly string[] OurSettings =
    [
        "ConnectionStrings__",
        "Notify__",
        "Providers__",
        "TestProviders__",
        "Sandbox__",
        "Routing__",
        "ASPNETCORE_",
        "DOTNET_ENVIRONMENT",
        "OTEL_",
        "Urls",
    ];
    private readonly Process process;
    private readonly StreamWriter log;
    private readonly Task reading;
    private readonly ConcurrentQueue<string> errors = new();

    static HostProcess() =>
        AppDomain.CurrentDomain.ProcessExit += (_, _) =>
        {
            foreach (var left in Running.Values)
            {
                try
                {
                    left.Kill();
                }
                catch (InvalidOperationException)
                {
                    // It has ended already.
                }
            }
        };

    private HostProcess(string name, Process process, string logFile)
    {
        (Name, this.process, LogFile) = (name, process, logFile);
        log = new StreamWriter(new FileStream(logFile, FileMode.Append, FileAccess.Write, FileShare.ReadWrite)) { AutoFlush = true };
        Running[process.Id] = process;
        reading = Task.WhenAll(ReadAsync(process.StandardOutput, false), ReadAsync(process.StandardError, true));
    }

    /// <summary>The name of the host in the tests.</summary>
    public string Name { get; }

    /// <summary>Its process ID.</summary>
    public int Id => process.Id;

    /// <summary>Where its output goes.</summary>
    public string LogFile { get; }

    /// <summary>Whether it has ended.</summary>
    public bool HasEnded => process.HasExited;

    /// <summary>The lines on its error stream.</summary>
    public IReadOnlyList<string> Errors => [.. errors];

    /// <summary>Starts a program.</summary>
    public static HostProcess Start(
        string name,
        string program,
        IEnumerable<string> arguments,
        IReadOnlyDictionary<string, string> environment,
        string logFile
    )
    {
        if (!File.Exists(program))
            throw new InvalidOperationException($"{program} has not been built.");
        var info = new ProcessStartInfo("dotnet")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
            WorkingDirectory = Path.GetTempPath(),
        };
        info.ArgumentList.Add(program);
        foreach (var a in arguments)
            info.ArgumentList.Add(a);
        foreach (
            var inherited in info
                .Environment.Keys.Where(k => OurSettings.Any(s => k.StartsWith(s, StringComparison.OrdinalIgnoreCase)))
                .ToList()
        )
            info.Environment.Remove(inherited);
        info.Environment["DOTNET_CLI_TELEMETRY_OPTOUT"] = "1";
        // Tests run many hosts on one machine, and need each to start quickly.
        info.Environment["DOTNET_TieredPGO"] = "0";
        info.Environment["DOTNET_gcServer"] = "0";
        foreach (var (key, value) in environment)
            info.Environment[key] = value;
        Directory.CreateDirectory(Path.GetDirectoryName(logFile)!);
        return new HostProcess(name, Process.Start(info)!, logFile);
    }

    /// <summary>Runs a program to its end.</summary>
    public static async Task<(int ExitCode, string Output, IReadOnlyList<string> Errors)> RunAsync(
        string name,
        string program,
        IEnumerable<string> arguments,
        IReadOnlyDictionary<string, string> environment,
        string logFile,
        TimeSpan? within = null
    )
    {
        await using var host = Start(name, program, arguments, environment, logFile);
        var exitCode = await host.EndAsync(within ?? TimeSpan.FromSeconds(60));
        return (exitCode, await File.ReadAllTextAsync(logFile), host.Errors);
    }

    /// <summary>Waits until it ends by itself.</summary>
    public async Task<int> EndAsync(TimeSpan within)
    {
        using var deadline = new CancellationTokenSource(within);
        try
        {
            await process.WaitForExitAsync(deadline.Token);
        }
        catch (OperationCanceledException)
        {
            throw new TimeoutException($"{Name} did not end within {within.TotalSeconds} s.\n{Tail(30)}");
        }

        await reading;
        return process.ExitCode;
    }

    /// <summary><c>kill -9</c>.</summary>
    public async Task KillAsync()
    {
        process.Kill();
        await process.WaitForExitAsync();
    }

    /// <summary><c>kill -TERM</c>.</summary>
    public void Terminate() => Signal("TERM");

    /// <summary><c>kill -STOP</c>: the process stops where it is until <see cref="Resume"/>; its connections stay open.</summary>
    public void Pause() => Signal("STOP");

    /// <summary><c>kill -CONT</c>: the process goes on as if no time had passed.</summary>
    public void Resume() => Signal("CONT");

    private void Signal(string signal)
    {
        using var kill = Process.Start("kill", [$"-{signal}", process.Id.ToString(System.Globalization.CultureInfo.InvariantCulture)]);
        kill.WaitForExit();
    }

    /// <summary>The end of its output.</summary>
    public string Tail(int lines)
    {
        using var reader = new StreamReader(new FileStream(LogFile, FileMode.Open, FileAccess.Read, FileShare.ReadWrite));
        return string.Join('\n', reader.ReadToEnd().Split('\n').TakeLast(lines).Select(l => l.Length > 400 ? l[..400] + "…" : l));
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        if (!process.HasExited)
            await KillAsync();
        await reading;
        Running.TryRemove(process.Id, out _);
        process.Dispose();
        await log.DisposeAsync();
    }

    /// <summary>A TCP port that is free now, and that this run has not given out before.</summary>
    public static int FreePort()
    {
        while (true)
        {
            using var listener = new TcpListener(System.Net.IPAddress.Loopback, 0);
            listener.Start();
            var port = ((System.Net.IPEndPoint)listener.LocalEndpoint).Port;
            if (GivenOut.TryAdd(port, 0))
                return port;
        }
    }

    /// <summary>The first of some free ports in a row.</summary>
    public static int FreePorts(int count)
    {
        while (true)
        {
            var first = FreePort();
            if (Enumerable.Range(first + 1, count - 1).All(p => p < 65536 && IsFree(p) && GivenOut.TryAdd(p, 0)))
                return first;
        }
    }

    private static bool IsFree(int port)
    {
        try
        {
            using var listener = new TcpListener(System.Net.IPAddress.Loopback, port);
            listener.Start();
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    private static readonly ConcurrentDictionary<int, byte> GivenOut = new();

    private async Task ReadAsync(StreamReader from, bool isError)
    {
        while (await from.ReadLineAsync() is { } line)
        {
            if (isError)
                errors.Enqueue(line);
            lock (log)
                log.WriteLine(line);
        }
    }
}
