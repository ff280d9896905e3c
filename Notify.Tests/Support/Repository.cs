namespace Notify.Tests.Support;

using System.Diagnostics;

/// <summary>Where the repository and what was built in it lie, seen from the tests' own folder.</summary>
public static class Repository
{
    /// <summary>The folder that holds the solution.</summary>
    public static string Root { get; } = Find();

    /// <summary>Where this run keeps its databases, keys and logs: <c>NOTIFY_TEST_HOME</c>, else a folder under /tmp that goes when the run
    /// ends.</summary>
    public static string Home { get; } =
        Environment.GetEnvironmentVariable("NOTIFY_TEST_HOME") is { Length: > 0 } home
            ? home
            : $"/tmp/notify-tests-work/run-{Environment.ProcessId}";

    /// <summary>The script that sets up and runs; <c>null</c> outside of <c>./notify test</c>.</summary>
    public static string? Script { get; } = Environment.GetEnvironmentVariable("NOTIFY_SCRIPT") is { Length: > 0 } script ? script : null;

    /// <summary>A host's program.</summary>
    /// <param name="root">The folder of another version; <c>null</c>: this one.</param>
    public static string Program(string project, string? root = null) =>
        Path.Combine(root ?? Root, project, "bin", root is null ? Configuration : "Release", "net10.0", $"{Path.GetFileName(project)}.dll");

    /// <summary>Runs a program to its end; processes that it starts may stay.</summary>
    /// <returns>Its output.</returns>
    public static async Task<string> RunAsync(string program, params string[] arguments)
    {
        // The server inherits the output of what starts it: through a file, so that nobody waits for the server's end.
        var output = Path.GetTempFileName();
        try
        {
            using var process = Process.Start(
                new ProcessStartInfo(
                    "sh",
                    ["-c", "out=$1; shift; exec \"$@\" >\"$out\" 2>\"$out.err\" </dev/null", "sh", output, program, .. arguments]
                )
            )!;
            await process.WaitForExitAsync();
            return process.ExitCode == 0
                ? await File.ReadAllTextAsync(output)
                : throw new InvalidOperationException(
                    $"{program} {string.Join(' ', arguments)} ended with {process.ExitCode}: {await File.ReadAllTextAsync(output)} {await File.ReadAllTextAsync(output + ".err")}"
                );
        }
        finally
        {
            File.Delete(output);
            File.Delete(output + ".err");
        }
    }

    private static string Configuration { get; } =
        AppContext.BaseDirectory.Contains("/Debug/", StringComparison.Ordinal) ? "Debug" : "Release";

    private static string Find()
    {
        for (var at = new DirectoryInfo(AppContext.BaseDirectory); at is not null; at = at.Parent)
        {
            if (File.Exists(Path.Combine(at.FullName, "NotifyCqrs.sln")))
                return at.FullName;
        }

        throw new InvalidOperationException($"No NotifyCqrs.sln above {AppContext.BaseDirectory}.");
    }
}
