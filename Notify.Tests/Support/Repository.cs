namespace Notify.Tests.Support;

/// <summary>Where the repository and what was built in it lie, seen from the tests' own folder.</summary>
public static class Repository
{
    /// <summary>The folder that holds the solution.</summary>
    public static string Root { get; } = Find();

    /// <summary>Where this run keeps its databases, keys and logs: <c>NOTIFY_TEST_HOME</c>, else a folder under /tmp that goes when the run ends.</summary>
    public static string Home { get; } = Environment.GetEnvironmentVariable("NOTIFY_TEST_HOME") is { Length: > 0 } home
        ? home : $"/tmp/notify-tests-work/run-{Environment.ProcessId}";

    /// <summary>The script that sets up and runs; <c>null</c> outside of <c>./notify test</c>.</summary>
    public static string? Script { get; } = Environment.GetEnvironmentVariable("NOTIFY_SCRIPT") is { Length: > 0 } script ? script : null;

    /// <summary>A host's program.</summary>
    public static string Program(string project) =>
        Path.Combine(Root, project, "bin", Configuration, "net10.0", $"{Path.GetFileName(project)}.dll");

    private static string Configuration { get; } = AppContext.BaseDirectory.Contains("/Debug/", StringComparison.Ordinal) ? "Debug" : "Release";

    private static string Find()
    {
        for (var at = new DirectoryInfo(AppContext.BaseDirectory); at is not null; at = at.Parent)
        {
            if (File.Exists(Path.Combine(at.FullName, "NotifyCqrs.sln"))) return at.FullName;
        }

        throw new InvalidOperationException($"No NotifyCqrs.sln above {AppContext.BaseDirectory}.");
    }
}
