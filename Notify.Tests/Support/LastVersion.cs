namespace Notify.Tests.Support;

using System.Diagnostics;

/// <summary>The hosts of the last landed version, built from the repository's own history.</summary>
/// <remarks>The file <c>tools/last-version</c> names its commit. Change it when a version lands.</remarks>
internal static class LastVersion
{
    private static readonly string[] Hosts = ["Notify.Api", "Notify.Dispatch", "Notify.Projections"];

    /// <summary>Builds the hosts, unless this run has done so; the test is skipped where the clone has no history of that
    /// version.</summary>
    /// <returns>The folder with the version's sources and programs.</returns>
    public static async Task<string> BuildAsync()
    {
        var commit = (await File.ReadAllTextAsync(Path.Combine(Repository.Root, "tools", "last-version"))).Trim();
        var folder = Path.Combine(Repository.Home, $"version-{commit[..10]}");
        if (File.Exists(Path.Combine(folder, "built")))
            return folder;
        if ((await RunAsync(Repository.Root, "git", "cat-file", "-e", $"{commit}^{{commit}}")).ExitCode != 0)
        {
            Assert.Skip(
                $"This clone has no commit {commit}, the last landed version by tools/last-version, and so its hosts cannot be built. "
                    + "Get the history with: git fetch --unshallow"
            );
        }

        Directory.CreateDirectory(folder);
        var archive = Path.Combine(folder, "sources.tar");
        await MustAsync(Repository.Root, "git", "archive", "--output", archive, commit);
        await MustAsync(folder, "tar", "-xf", archive);
        foreach (var host in Hosts)
        {
            await MustAsync(
                folder,
                "dotnet",
                "build",
                host,
                "-c",
                "Release",
                "-v",
                "quiet",
                "-nologo",
                "-nodeReuse:false",
                "-p:RunAnalyzers=false",
                "-p:EnforceCodeStyleInBuild=false"
            );
        }

        await File.WriteAllTextAsync(Path.Combine(folder, "built"), commit);
        return folder;
    }

    private static async Task MustAsync(string folder, string program, params string[] arguments)
    {
        var (exitCode, output) = await RunAsync(folder, program, arguments);
        if (exitCode != 0)
            throw new InvalidOperationException($"{program} {string.Join(' ', arguments)} ended with {exitCode}: {output}");
    }

    private static async Task<(int ExitCode, string Output)> RunAsync(string folder, string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            WorkingDirectory = folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
        };
        using var process = Process.Start(start)!;
        var output = await Task.WhenAll(process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        await process.WaitForExitAsync();
        return (process.ExitCode, string.Concat(output));
    }
}
