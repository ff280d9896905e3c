[assembly: AssemblyFixture(typeof(Notify.Tests.Support.TestRun))]

namespace Notify.Tests.Support;

using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;

/// <summary>
/// Resources that all tests of a run share, made at their first use: one PostgreSQL cluster, one migrated database that others
/// are copied from, the sandbox's keys, and one running system. They are removed when the run ends.
/// </summary>
public sealed class TestRun : IAsyncDisposable
{
    private static readonly Lazy<Task<PostgresCluster>> SharedCluster = new(() =>
        PostgresCluster.StartAsync(Path.Combine(Repository.Home, "pg"))
    );
    private static readonly Lazy<Task<string>> Template = new(MigrateAsync);
    private static readonly Lazy<Task<JsonElement>> SandboxKeys = new(MakeSandboxKeysAsync);
    private static readonly Lazy<Task<NotifySystem>> Shared = new(() => NotifySystem.StartAsync("shared", testSandbox: true));

    // Beside traffic a migration asks for a lock again and again.
    private static readonly TimeSpan MigrationPatience = TimeSpan.FromMinutes(6);
    private static int databases;

    /// <summary>The installation's master key and pepper, the same for all systems of a run.</summary>
    public static IReadOnlyDictionary<string, string> Secrets { get; } =
        new Dictionary<string, string>
        {
            ["Notify__MasterKeys__1"] = Convert.ToBase64String(RandomNumberGenerator.GetBytes(32)),
            ["Notify__Pepper"] = Convert.ToBase64String(RandomNumberGenerator.GetBytes(32)),
        };

    /// <summary>The folder with the sandbox's keys.</summary>
    public static string SandboxHome { get; } = Path.Combine(Repository.Home, "sandbox");

    /// <summary>The shared cluster.</summary>
    public static Task<PostgresCluster> Cluster => SharedCluster.Value;

    /// <summary>The names of the sandbox's accounts.</summary>
    public static Task<JsonElement> Accounts => SandboxKeys.Value;

    /// <summary>The service account that may send through a sandbox's FCM, as JSON.</summary>
    /// <param name="project">Another project than the account's own.</param>
    public static async Task<string> FcmAccountAsync(Uri sandbox, string? project = null)
    {
        await Accounts;
        var account = JsonNode.Parse(await File.ReadAllTextAsync(Path.Combine(SandboxHome, "fcm-service-account.json")))!;
        account["token_uri"] = new Uri(sandbox, "/token").ToString();
        if (project is not null)
            account["project_id"] = project;
        return account.ToJsonString();
    }

    /// <summary>The sandbox's VAPID key pair: <c>publicKey</c>, <c>privateKey</c>.</summary>
    public static async Task<JsonElement> VapidAsync()
    {
        await Accounts;
        return JsonDocument.Parse(await File.ReadAllBytesAsync(Path.Combine(SandboxHome, "vapid.json"))).RootElement;
    }

    /// <summary>The system that most tests share; each uses users and event IDs of its own, and nobody turns knobs or kills
    /// hosts.</summary>
    public static Task<NotifySystem> SharedSystem => Shared.Value;

    /// <summary>A log file of this run.</summary>
    public static string Log(string name) => Path.Combine(Repository.Home, "logs", $"{name}.log");

    /// <summary>A new migrated database in the shared cluster.</summary>
    public static async Task<(PostgresCluster Cluster, string Name)> NewDatabaseAsync()
    {
        var template = await Template.Value;
        var cluster = await Cluster;
        var name = $"notify_{Interlocked.Increment(ref databases)}";
        await cluster.CreateDatabaseAsync(name, template);
        return (cluster, name);
    }

    /// <summary>Runs the migrations, each once, as an installation does.</summary>
    /// <param name="transport">The settings of the transport, where it is not PostgreSQL.</param>
    /// <param name="root">The folder of another version, whose hosts log in as the owner; <c>null</c>: this one.</param>
    public static async Task MigrateAsync(
        string connectionString,
        IReadOnlyDictionary<string, string>? transport = null,
        string? root = null
    )
    {
        var environment = new Dictionary<string, string>(Secrets) { ["ConnectionStrings__notify"] = connectionString };
        foreach (var (key, value) in transport ?? new Dictionary<string, string>())
            environment[key] = value;
        foreach (var host in new[] { "Projections", "Api", "Dispatch" })
        {
            var (exitCode, output, _) = await HostProcess.RunAsync(
                $"migrate {host}",
                Repository.Program($"Notify.{host}", root),
                ["migrate"],
                root is null ? HostRoles.For(environment, host, isCommand: true) : environment,
                Log($"migrate-{host}-{Guid.NewGuid():N}"),
                MigrationPatience
            );
            if (exitCode != 0)
                throw new InvalidOperationException($"The migration of {host} ended with {exitCode}: {output}");
        }
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        if (Shared is { IsValueCreated: true, Value.IsCompletedSuccessfully: true })
            await (await Shared.Value).DisposeAsync();
        if (SharedCluster is { IsValueCreated: true, Value.IsCompletedSuccessfully: true })
            await (await SharedCluster.Value).DisposeAsync();
        if (
            Repository.Script is null
            && Environment.GetEnvironmentVariable("NOTIFY_TEST_KEEP") is null
            && Directory.Exists(Repository.Home)
        )
            Directory.Delete(Repository.Home, recursive: true);
    }

    private static async Task<string> MigrateAsync()
    {
        const string Name = "notify_template";
        var cluster = await Cluster;
        await cluster.CreateDatabaseAsync(Name);
        await MigrateAsync(cluster.ConnectionString(Name) + ";Pooling=false");
        return Name;
    }

    private static async Task<JsonElement> MakeSandboxKeysAsync()
    {
        var (exitCode, output, _) = await HostProcess.RunAsync(
            "sandbox keys",
            Repository.Program("tools/Notify.Sandbox"),
            ["keys", "--home", SandboxHome],
            new Dictionary<string, string>(),
            Log("sandbox-keys")
        );
        if (exitCode != 0)
            throw new InvalidOperationException($"The sandbox's keys could not be made: {output}");
        return JsonDocument.Parse(await File.ReadAllBytesAsync(Path.Combine(SandboxHome, "sandbox.json"))).RootElement;
    }
}
