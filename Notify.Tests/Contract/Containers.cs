namespace Notify.Tests.Contract;

using System.Diagnostics;
using System.Text.Json;
using System.Text.RegularExpressions;
using Notify.Tests.Support;

/// <summary>While nothing else runs: publishing takes the machine for some seconds.</summary>
[CollectionDefinition(nameof(Containers), DisableParallelization = true)]
public sealed class ContainersCollection;

/// <summary>
/// No container engine is needed here: the commands of the Dockerfiles run on the files that .dockerignore and COPY select, and
/// the published hosts are started by their ENTRYPOINT, in the order of the compose file, and checked by their HEALTHCHECK.
/// </summary>
[Collection(nameof(Containers))]
public sealed partial class Containers
{
    private static readonly string[] Projects = ["Notify.Projections", "Notify.Api", "Notify.Dispatch", "tools/Notify.Sandbox"];

    [Fact]
    [Trait("Category", "Long")]
    public async Task Commands_of_the_Dockerfiles_build_hosts_that_migrate_start_and_pass_health_checks()
    {
        var home = Directory.CreateDirectory(Path.Combine(Repository.Home, $"containers-{Environment.ProcessId}")).FullName;
        var (source, keys) = (Path.Combine(home, "src"), Path.Combine(home, "var"));
        CopyContext(source);
        foreach (var project in Projects)
        {
            foreach (var command in Dockerfile.Of(project).Run)
                await RunAsync(
                    source,
                    command
                        .Replace("/var/lib/notify", keys, StringComparison.Ordinal)
                        .Replace(" /app", $" {home}/{project}", StringComparison.Ordinal)
                );
        }

        var sandbox = Dockerfile.Of("tools/Notify.Sandbox");
        var (sandboxUrl, apnsUrl) = ($"http://127.0.0.1:{HostProcess.FreePort()}", $"https://127.0.0.1:{HostProcess.FreePort()}");
        var written = await StartAsync(
            "settings",
            sandbox,
            home,
            ["settings", "--home", keys, "--into", $"{keys}/settings", "--url", sandboxUrl, "--apns-url", apnsUrl],
            [],
            run: true
        );
        Assert.Equal(0, await written.EndAsync(TimeSpan.FromSeconds(60)));

        var cluster = await TestRun.Cluster;
        await cluster.CreateDatabaseAsync("containers");
        var settings = new Dictionary<string, string>(TestRun.Secrets)
        {
            ["ConnectionStrings__notify"] = $"{cluster.ConnectionString("containers")};Maximum Pool Size=10",
            ["Notify__SettingsPath"] = $"{keys}/settings",
        };
        settings["Notify__LiveToSandbox"] = "true"; // no provider of one's own
        foreach (var project in new[] { "Notify.Projections", "Notify.Api", "Notify.Dispatch" })
        {
            await using var migrate = await StartAsync(
                $"migrate {project}",
                Dockerfile.Of(project),
                home,
                ["migrate"],
                settings,
                run: true
            );
            var code = await migrate.EndAsync(TimeSpan.FromSeconds(60));
            Assert.True(code == 0, migrate.Tail(20));
        }

        var hosts = new List<(Dockerfile Image, HostProcess Process, Dictionary<string, string> Environment)>();
        try
        {
            foreach (var project in Projects.Reverse())
            {
                var image = Dockerfile.Of(project);
                var environment = new Dictionary<string, string>(image == sandbox ? [] : settings);
                foreach (var (name, value) in image.Environment)
                    environment[name] = value.Replace("/var/lib/notify", keys, StringComparison.Ordinal);
                if (image == sandbox)
                    (environment["Sandbox__SmtpUrl"], environment["Sandbox__Url"], environment["Sandbox__ApnsUrl"]) = (
                        $"smtp://0.0.0.0:{HostProcess.FreePort()}",
                        sandboxUrl.Replace("127.0.0.1", "0.0.0.0", StringComparison.Ordinal),
                        apnsUrl.Replace("127.0.0.1", "0.0.0.0", StringComparison.Ordinal)
                    );
                else
                    environment["ASPNETCORE_URLS"] = image
                        .Environment["ASPNETCORE_URLS"]
                        .Replace("8080", $"{HostProcess.FreePort()}", StringComparison.Ordinal);
                Assert.Equal(1, await HealthAsync(image, home, environment)); // nobody is there yet
                hosts.Add((image, await StartAsync(project, image, home, [], environment, run: false), environment));
            }

            foreach (var (image, process, environment) in hosts)
                await Eventually.Holds(
                    async () =>
                        process.HasEnded
                            ? throw new InvalidOperationException(process.Tail(20))
                            : await HealthAsync(image, home, environment) == 0,
                    $"{process.Name} is healthy",
                    TimeSpan.FromSeconds(60)
                );
            foreach (var (_, process, _) in hosts)
            {
                process.Terminate();
                Assert.Equal(0, await process.EndAsync(TimeSpan.FromSeconds(30)));
            }
        }
        finally
        {
            foreach (var (_, process, _) in hosts)
                await process.DisposeAsync();
            await cluster.DropDatabaseAsync("containers");
            Directory.Delete(home, recursive: true);
        }
    }

    [Fact]
    public async Task The_compose_file_is_valid_without_any_setting()
    {
        var tool = Environment.GetEnvironmentVariable("NOTIFY_COMPOSE");
        if (string.IsNullOrEmpty(tool))
            tool = (await TryAsync(Repository.Root, "docker compose version")).ExitCode == 0 ? "docker compose" : "docker-compose";
        var config = await RunAsync(Repository.Root, $"{tool} -f docker-compose.yml config");
        foreach (var service in new[] { "postgres", "rabbitmq", "migrate", "api", "dispatch", "projections", "sandbox" })
            Assert.Matches($@"(?m)^  {service}:", config);
        Assert.Matches(
            @"(?m)^  redis:\n(    .*\n)*?    profiles:\s*\n\s*- redis$",
            await RunAsync(Repository.Root, $"{tool} -f docker-compose.yml --profile redis config")
        ); // only where it is wanted
        Assert.DoesNotContain("container_name", config, StringComparison.Ordinal); // or it could not be scaled
        Assert.Equal(2, ScalablePorts().Count(config));
    }

    [Theory]
    [InlineData("Notify.Projections")]
    [InlineData("Notify.Api")]
    [InlineData("Notify.Dispatch")]
    [InlineData("tools/Notify.Sandbox")]
    public void An_image_is_built_in_stages_and_runs_as_nobody_special(string project)
    {
        var image = Dockerfile.Of(project);
        Assert.Equal(["${SDK_IMAGE} AS build", "${RUNTIME_IMAGE}"], image.All("FROM"));
        Assert.All(image.All("ARG"), a => Assert.Matches(ExactImage(), a.Split('=')[1]));
        Assert.All(
            image.Run.Where(r => r.StartsWith("dotnet publish", StringComparison.Ordinal)),
            r => Assert.EndsWith(" -p:RestoreLockedMode=true", r, StringComparison.Ordinal)
        );
        Assert.Equal("$APP_UID", Assert.Single(image.All("USER")));
        Assert.Equal($"{Path.GetFileName(project)}.dll", image.Entrypoint[1]);
        Assert.Equal([.. image.Entrypoint, "health"], image.Health);
    }

    [Fact]
    public void Images_of_the_compose_file_have_exact_versions()
    {
        var images = File.ReadAllLines(Path.Combine(Repository.Root, "docker-compose.yml"))
            .Select(l => ComposeImage().Match(l))
            .Where(m => m.Success)
            .Select(m => m.Groups[1].Value)
            .ToList();
        Assert.Equal(3, images.Count);
        Assert.All(images, i => Assert.Matches(ExactImage(), i));
    }

    // NuGet: «Enabling repeatable package restores using a lock file».
    [Fact]
    public void Every_project_has_a_lock_file_with_the_hash_of_every_package()
    {
        var projects = Directory.EnumerateFiles(Repository.Root, "*.csproj", SearchOption.AllDirectories).ToList();
        Assert.True(projects.Count >= 7);
        foreach (var project in projects)
        {
            using var locks = JsonDocument.Parse(File.ReadAllText(Path.Combine(Path.GetDirectoryName(project)!, "packages.lock.json")));
            var packages = locks.RootElement.GetProperty("dependencies").GetProperty("net10.0").EnumerateObject().ToList();
            var asked = PackageReference().Matches(File.ReadAllText(project)).Select(m => m.Groups[1].Value);
            Assert.All(asked, a => Assert.Contains(packages, p => p.Name == a));
            Assert.All(
                packages.Where(p => p.Value.GetProperty("type").GetString() != "Project"),
                p => Assert.Equal(64, Convert.FromBase64String(p.Value.GetProperty("contentHash").GetString()!).Length)
            );
        }
    }

    private static async Task<int> HealthAsync(Dockerfile image, string home, Dictionary<string, string> environment)
    {
        await using var health = HostProcess.Start(
            "health",
            Path.Combine(home, image.Project, image.Health[1]),
            image.Health[2..],
            environment,
            TestRun.Log($"containers-health-{Path.GetFileName(image.Project)}")
        );
        return await health.EndAsync(TimeSpan.FromSeconds(30));
    }

    private static Task<HostProcess> StartAsync(
        string name,
        Dockerfile image,
        string home,
        string[] arguments,
        Dictionary<string, string> environment,
        bool run
    )
    {
        Assert.Equal("dotnet", image.Entrypoint[0]);
        return Task.FromResult(
            HostProcess.Start(
                name,
                Path.Combine(home, image.Project, image.Entrypoint[1]),
                [.. image.Entrypoint[2..], .. arguments],
                environment,
                TestRun.Log($"containers-{name.Replace('/', '-')}{(run ? "-run" : "")}")
            )
        );
    }

    // Copies all files that .dockerignore does not exclude, new ones too.
    private static void CopyContext(string to)
    {
        var ignored = File.ReadAllLines(Path.Combine(Repository.Root, ".dockerignore"))
            .Where(l => l.Length > 0 && l[0] is not ('#' or '!'))
            .ToList();
        foreach (
            var file in Directory.EnumerateFiles(
                Repository.Root,
                "*",
                new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = 0 }
            )
        )
        {
            var relative = Path.GetRelativePath(Repository.Root, file);
            var parts = relative.Split('/');
            var kept = relative is ".dockerignore" or ".editorconfig";
            if (
                !kept
                && ignored.Any(rule =>
                    rule.StartsWith("**/", StringComparison.Ordinal)
                        ? parts.Any(p => rule == "**/.*" ? p[0] == '.' : p == rule[3..])
                        : relative == rule || relative.StartsWith(rule + "/", StringComparison.Ordinal)
                )
            )
                continue;
            var target = Path.Combine(to, relative);
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            File.Copy(file, target, overwrite: true);
        }
    }

    private static async Task<string> RunAsync(string folder, string command)
    {
        var (exitCode, output) = await TryAsync(folder, command);
        Assert.True(exitCode == 0, $"{command}\nended with {exitCode}: {output}");
        return output;
    }

    private static async Task<(int ExitCode, string Output)> TryAsync(string folder, string command)
    {
        var info = new ProcessStartInfo("sh", ["-c", command])
        {
            WorkingDirectory = folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        info.Environment["MSBUILDDISABLENODEREUSE"] = "1";
        info.Environment["UseSharedCompilation"] = "false";
        using var process = Process.Start(info)!;
        var (output, errors) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        await process.WaitForExitAsync();
        return (process.ExitCode, await output + await errors);
    }

    [GeneratedRegex(@"5080-5089|5180-5199")]
    private static partial Regex ScalablePorts();

    [GeneratedRegex(@"^[a-z./-]+:(\d+\.\d+(\.\d+)?|[\w.-]+@sha256:[0-9a-f]{64})$")]
    private static partial Regex ExactImage();

    [GeneratedRegex("<PackageReference Include=\"([^\"]+)\"")]
    private static partial Regex PackageReference();

    [GeneratedRegex(@"image: ""?\$\{\w+_IMAGE:-([^}]+)\}")]
    private static partial Regex ComposeImage();

    /// <summary>A Dockerfile's instructions.</summary>
    private sealed record Dockerfile(string Project, IReadOnlyList<(string Name, string Words)> Instructions)
    {
        private static readonly Dictionary<string, Dockerfile> Read = [];

        public static Dockerfile Of(string project) =>
            Read.TryGetValue(project, out var known)
                ? known
                : Read[project] = new Dockerfile(
                    project,
                    [
                        .. File.ReadAllLines(Path.Combine(Repository.Root, project, "Dockerfile"))
                            .Where(l => l.Length > 0 && l[0] != '#')
                            .Select(l => l.Split(' ', 2))
                            .Select(p => (p[0], p[1])),
                    ]
                );

        public IReadOnlyList<string> Run => All("RUN");

        public string[] Entrypoint => JsonSerializer.Deserialize<string[]>(All("ENTRYPOINT").Single())!;

        public string[] Health => JsonSerializer.Deserialize<string[]>(All("HEALTHCHECK").Single().Split("CMD ")[1])!;

        public Dictionary<string, string> Environment =>
            All("ENV").SelectMany(e => e.Split(' ')).Select(e => e.Split('=', 2)).ToDictionary(e => e[0], e => e[1]);

        public IReadOnlyList<string> All(string instruction) => [.. Instructions.Where(i => i.Name == instruction).Select(i => i.Words)];
    }
}
