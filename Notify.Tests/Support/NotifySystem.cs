namespace Notify.Tests.Support;

using System.Text.Json.Nodes;
using Npgsql;
using Xunit.Sdk;

/// <summary>
/// Notify as it runs for real: a database, the sandbox, Api, Dispatch and Projections as processes of their own, on free
/// ports. Timings are short, so that retries and takeovers happen while a test looks on.
/// </summary>
public sealed class NotifySystem : IAsyncDisposable
{
    /// <summary>After this time a silent host's work is taken over.</summary>
    public static readonly TimeSpan Takeover = TimeSpan.FromSeconds(3);

    private static readonly TimeSpan StartUp = TimeSpan.FromMinutes(3);
    private static readonly Dictionary<string, string> ShortTimings = new()
    {
        ["Notify__Takeover"] = "00:00:03",
        // Only tests of overload and of faults are about answers of 503; elsewhere a busy machine may take its time.
        ["Notify__Accept__Timeout"] = "00:00:30",
        ["Notify__AppOrigins"] = "https://app.example.com, http://localhost:3000",
        ["Notify__PublicLimit__PerSecond"] = "0", // all that tests send comes from one address
        ["Notify__FailedReceiptLimit__PerSecond"] = "0",
        ["Notify__Retry__BaseDelay"] = "00:00:00.2",
        ["Notify__Retry__MaxDelay"] = "00:00:01",
        ["Notify__Retry__MaxAttempts"] = "4",
        ["Notify__Retry__AskAfter"] = "00:00:01",
        ["Notify__Retry__UnknownDeadline"] = "00:00:06",
    };

    /// <summary>The time after which a request that waits for its commit is answered 503, as an installation has it.</summary>
    public static readonly KeyValuePair<string, string> UsualAcceptTimeout = new("Notify__Accept__Timeout", "00:00:05");

    private static int people;
    private readonly string name;
    private readonly PostgresCluster cluster;
    private readonly bool ownsCluster;
    private readonly string database;
    private readonly Dictionary<string, string> settings;
    private readonly Dictionary<string, string> environment = new(TestRun.Secrets);
    private readonly int sandboxPort = HostProcess.FreePort(),
        apnsPort = HostProcess.FreePort(),
        smtpPort = HostProcess.FreePort(),
        receiptsPort = HostProcess.FreePort(),
        apiPort = HostProcess.FreePort();
    private readonly List<HostProcess> dispatchers = [];
    private readonly List<HostProcess> all = [];

    private NotifySystem(
        string name,
        PostgresCluster cluster,
        bool ownsCluster,
        string database,
        Dictionary<string, string> settings,
        PostgresCluster? standby
    )
    {
        (this.name, this.cluster, this.ownsCluster, this.database, this.settings) = (name, cluster, ownsCluster, database, settings);
        Standby = standby;
        ConnectionString = standby is null ? cluster.ConnectionString(database) : cluster.ConnectionString(database, standby);
        Database = NpgsqlDataSource.Create(ConnectionString);
        SandboxUrl = new Uri($"http://127.0.0.1:{sandboxPort}");
        ApiUrl = new Uri($"http://127.0.0.1:{apiPort}");
        Sandbox = new SandboxClient(SandboxUrl);
    }

    /// <summary>The database, to look into.</summary>
    public NpgsqlDataSource Database { get; }

    /// <summary>Its connection string.</summary>
    public string ConnectionString { get; }

    /// <summary>The standby of its cluster, where it has one.</summary>
    public PostgresCluster? Standby { get; }

    /// <summary>The cluster it lies in.</summary>
    public PostgresCluster Cluster => cluster;

    public Uri SandboxUrl { get; }

    public Uri ApiUrl { get; }

    public Uri DispatchUrl { get; private set; } = null!;

    public Uri ProjectionsUrl { get; private set; } = null!;

    /// <summary>The providers.</summary>
    public SandboxClient Sandbox { get; }

    /// <summary>Where test clients' notifications go, in a system that has a sandbox of its own for them.</summary>
    public SandboxClient TestSandbox { get; private set; } = null!;

    /// <summary>The development client: live, with every scope.</summary>
    public NotifyClient Client { get; private set; } = null!;

    /// <summary>The broker that carries its messages; <c>null</c> when PostgreSQL does.</summary>
    public MessageBroker? Broker { get; private init; }

    /// <summary>The folder of another version, from which hosts are started; <c>null</c>: this version.</summary>
    public string? Root { get; set; }

    public HostProcess Api { get; private set; } = null!;

    public HostProcess Projections { get; private set; } = null!;

    /// <summary>The Dispatch hosts.</summary>
    public IReadOnlyList<HostProcess> Dispatchers => dispatchers;

    /// <summary>Starts a system.</summary>
    /// <param name="settings">Settings that differ from the tests' own; for all hosts.</param>
    /// <param name="ownCluster">Whether its PostgreSQL is its own, so that it may be stopped.</param>
    /// <param name="projections">Whether the read models' host is needed.</param>
    /// <param name="testSandbox">Whether what test clients send goes to a sandbox of its own, for pushes under a topic and a project that
    /// are not the devices'.</param>
    /// <param name="broker">The RabbitMQ broker that carries its messages, in the virtual host <c>notify</c>; PostgreSQL does when none is
    /// given.</param>
    /// <param name="standby">Whether its own PostgreSQL has a standby, which the hosts know, too.</param>
    /// <param name="clusterFolder">Where its own PostgreSQL lies; in the run's folder when none is given.</param>
    /// <param name="root">The folder of another version that migrates its own cluster and whose hosts are started; see
    /// <see cref="Root"/>.</param>
    /// <param name="carriers">The providers of SMS and email, played by the sandbox; Twilio and SendGrid when none are named.</param>
    public static async Task<NotifySystem> StartAsync(
        string name,
        Dictionary<string, string>? settings = null,
        bool ownCluster = false,
        bool projections = true,
        bool testSandbox = false,
        MessageBroker? broker = null,
        string[]? carriers = null,
        bool standby = false,
        string? clusterFolder = null,
        string? root = null
    )
    {
        PostgresCluster cluster;
        string database;
        if (ownCluster)
        {
            cluster = await PostgresCluster.StartAsync(clusterFolder ?? Path.Combine(Repository.Home, $"pg-{name}"));
            database = "fault_test";
            await cluster.CreateDatabaseAsync(database);
            await TestRun.MigrateAsync(cluster.ConnectionString(database), root: root);
        }
        else
        {
            (cluster, database) = await TestRun.NewDatabaseAsync();
        }

        var follower = standby ? await cluster.StartStandbyAsync(Path.Combine(Repository.Home, $"pg-{name}-standby")) : null;
        var system = new NotifySystem(name, cluster, ownCluster, database, settings ?? [], follower) { Broker = broker, Root = root };
        if (broker is not null)
            await system.UseTransportAsync("RabbitMq");
        await system.StartAsync(projections, testSandbox, carriers ?? ["twilio", "sendgrid"]);
        return system;
    }

    /// <summary>Starts Api again after it was killed.</summary>
    public async Task StartApiAsync()
    {
        Api = Start("Api", new() { ["ASPNETCORE_URLS"] = ApiUrl.ToString() });
        await ReadyAsync(Api, ApiUrl);
    }

    /// <summary>Starts one more Api, at an address of its own.</summary>
    /// <param name="at">The address of one that has ended.</param>
    public async Task<(HostProcess Host, Uri Url)> StartAnotherApiAsync(Uri? at = null)
    {
        var url = at ?? new Uri($"http://127.0.0.1:{HostProcess.FreePort()}");
        var host = Start("Api", new() { ["ASPNETCORE_URLS"] = url.ToString() });
        await ReadyAsync(host, url);
        return (host, url);
    }

    /// <summary>Migrates to a transport, which hosts that are started from now on use.</summary>
    public async Task UseTransportAsync(string transport)
    {
        environment["Notify__Transport"] = transport;
        if (Broker is not null)
            environment["ConnectionStrings__rabbitmq"] = Broker.Address("notify");
        var (exitCode, output, _) = await HostProcess.RunAsync(
            "migrate",
            Repository.Program("Notify.Projections"),
            ["migrate"],
            HostRoles.For(
                new Dictionary<string, string>(environment) { [HostRoles.Setting] = $"{cluster.ConnectionString(database)};Pooling=false" },
                "Projections",
                isCommand: true
            ),
            TestRun.Log($"{name}-migrate-{Guid.NewGuid():N}")
        );
        if (exitCode != 0)
            throw new InvalidOperationException($"The migration to {transport} ended with {exitCode}: {output}");
    }

    /// <summary>Changes a setting of all hosts that are started from now on.</summary>
    public void Set(string key, string value) => environment[key] = value;

    /// <summary>A host's environment, to start one that differs in a setting.</summary>
    public Dictionary<string, string> Environment(Uri url) => new(environment) { ["ASPNETCORE_URLS"] = url.ToString() };

    /// <summary>Starts one more Dispatch host.</summary>
    /// <param name="own">Settings that only it has; an empty one is left away.</param>
    public async Task<HostProcess> StartDispatchAsync(Dictionary<string, string>? own = null)
    {
        // Where the sandbox posts receipts, one always listens.
        var url = new Uri($"http://127.0.0.1:{(dispatchers.Count == 0 ? receiptsPort : HostProcess.FreePort())}");
        var host = Start(
            "Dispatch",
            new(own ?? []) { ["ASPNETCORE_URLS"] = url.ToString(), ["Notify__ReceiptsUrl"] = $"http://127.0.0.1:{receiptsPort}" }
        );
        dispatchers.Add(host);
        DispatchUrl = url;
        await ReadyAsync(host, url);
        return host;
    }

    /// <summary><c>kill -9</c> of the first Dispatch host.</summary>
    public async Task KillDispatchAsync()
    {
        var host = dispatchers[0];
        dispatchers.RemoveAt(0);
        await host.KillAsync();
    }

    /// <summary>Stops all Dispatch hosts, as an operator does.</summary>
    public async Task StopDispatchAsync()
    {
        foreach (var host in dispatchers)
        {
            host.Terminate();
            await host.EndAsync(TimeSpan.FromSeconds(30));
        }

        dispatchers.Clear();
    }

    /// <summary>Starts a Dispatch host in the place of one that has ended.</summary>
    public Task<HostProcess> ReplaceDispatchAsync(HostProcess ended)
    {
        dispatchers.Remove(ended);
        return StartDispatchAsync();
    }

    /// <summary>A client with these scopes.</summary>
    public async Task<NotifyClient> NewClientAsync(string[] scopes, string mode = "live")
    {
        var made = (
            await Client.PostAsync(
                "/v1/clients",
                new
                {
                    name = "a test's",
                    mode,
                    scopes,
                }
            )
        ).Is(201);
        return new NotifyClient(ApiUrl, made["appKey"], made["appSecret"]);
    }

    /// <summary>A user with a phone number and iOS devices of their own; with an email address, where one is given.</summary>
    public async Task<Person> NewPersonAsync(
        int devices = 1,
        bool phone = true,
        Func<int, string>? token = null,
        string? number = null,
        string? email = null
    )
    {
        var person = new Person(
            $"u-{Interlocked.Increment(ref people)}-{Guid.NewGuid():N}",
            phone ? number ?? Person.NewPhone() : null,
            [],
            []
        )
        {
            Email = email,
        };
        (await Client.PutAsync($"/v1/users/{person.Id}", new { person.Phone, person.Email })).Is(200);
        for (var i = 0; i < devices; i++)
            await AddDeviceAsync(person, token?.Invoke(i) ?? Person.NewToken());
        return person;
    }

    /// <summary>Registers a device.</summary>
    public async Task<string> AddDeviceAsync(Person person, string token, string platform = "ios")
    {
        var deviceId = (await Client.PostAsync($"/v1/users/{person.Id}/devices", new { platform, token })).Is(201)["deviceId"]!;
        person.Tokens.Add(token);
        person.DeviceIds.Add(deviceId);
        return deviceId;
    }

    /// <summary>Registers a browser with a subscription that the sandbox made.</summary>
    /// <param name="fate">The simulated outcome of messages to it; see the sandbox.</param>
    public async Task<WebSubscription> AddBrowserAsync(Person person, string? fate = null)
    {
        var subscription = await Sandbox.SubscribeAsync(fate, (await TestRun.VapidAsync()).GetProperty("publicKey").GetString());
        person.DeviceIds.Add(
            (await Client.PostAsync($"/v1/users/{person.Id}/devices", new { platform = "web", subscription })).Is(201)["deviceId"]!
        );
        return subscription;
    }

    /// <summary>Waits until nothing is on its way any more; dead letters and what is scheduled may stay.</summary>
    /// <param name="mark">The prefix of their event IDs; empty: all notifications.</param>
    public async Task QuietAsync(TimeSpan? within = null, string mark = "")
    {
        try
        {
            await Eventually.Becomes(
                () =>
                    ScalarAsync<string>(
                        """
                        select coalesce(string_agg(state || ': ' || n, ', '), '') from (
                            select state, count(*) n from notify.open_deliveries where state not in (4, 5) and notification like '%:' || $1 || '%' group by state order by state) t
                        """,
                        mark
                    ),
                open => open.Length == 0,
                "nothing is open",
                within
            );
        }
        catch (XunitException e)
        {
            throw new XunitException($"{e.Message}\nWhere the messages are: {await WhereaboutsAsync()}");
        }
    }

    /// <summary>Which tables of the message stores have rows, for tests that fail because something got stuck.</summary>
    public async Task<string> WhereaboutsAsync()
    {
        var found = new List<string>();
        foreach (var (table, text) in await DatabaseDump.ReadAsync(this))
        {
            if (
                text.Length > 0
                && (
                    table.Contains("envelope", StringComparison.Ordinal)
                    || table.Contains("dead_letter", StringComparison.Ordinal)
                    || table.StartsWith("queues.", StringComparison.Ordinal)
                    || table.EndsWith("nodes", StringComparison.Ordinal)
                )
            )
                found.Add(
                    $"{table}:\n{string.Join('\n', text.Split('\n').Take(5).Select(l => l.Length > 500 ? l[..500] + "…" : l))} ({text.Count(c => c == '\n')} rows)"
                );
        }

        return string.Join('\n', found);
    }

    /// <summary>One value from the database; asked again where a restart of PostgreSQL came in between.</summary>
    public async Task<T> ScalarAsync<T>(string sql, params object[] parameters)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await using var command = Database.CreateCommand(sql);
                foreach (var p in parameters)
                    command.Parameters.Add(new NpgsqlParameter { Value = p });
                return (T)(await command.ExecuteScalarAsync())!;
            }
            catch (NpgsqlException e)
                when (attempt < 20 && (e.IsTransient || e is PostgresException { SqlState: "57P01" or "57P02" or "57P03" }))
            {
                NpgsqlConnection.ClearAllPools();
                await Task.Delay(100);
            }
        }
    }

    /// <summary>Runs <c>verify</c>, and fails with its output if it finds a fault.</summary>
    /// <param name="since">Checks streams with events after this sequence; <c>null</c>: all.</param>
    public async Task<string> VerifyAsync(long? since = null)
    {
        var (exitCode, output, _) = await HostProcess.RunAsync(
            "verify",
            Repository.Program("Notify.Projections"),
            since is null ? ["verify"] : ["verify", "--since", $"{since}"],
            HostRoles.For(environment, "Projections"),
            TestRun.Log($"{name}-verify-{Guid.NewGuid():N}")
        );
        Assert.True(exitCode == 0, $"verify ended with {exitCode}:\n{output}");
        Assert.Contains("verified: accepted = terminal + in flight + unknown", output, StringComparison.Ordinal);
        return output;
    }

    /// <summary>Runs a command of Projections to its end.</summary>
    public Task<(int ExitCode, string Output, IReadOnlyList<string> Errors)> RunProjectionsAsync(params string[] arguments) =>
        HostProcess.RunAsync(
            arguments[0],
            Repository.Program("Notify.Projections"),
            arguments,
            HostRoles.For(environment, "Projections", isCommand: true),
            TestRun.Log($"{name}-{arguments[0]}-{Guid.NewGuid():N}")
        );

    /// <summary>All that its hosts have logged.</summary>
    public async Task<string> LogsAsync()
    {
        var logs = new List<string>();
        foreach (var file in all.Select(h => h.LogFile).Distinct())
        {
            using var reader = new StreamReader(new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite));
            logs.Add(await reader.ReadToEndAsync());
        }

        return string.Concat(logs);
    }

    /// <summary>The ends of its hosts' logs, for a test that failed.</summary>
    public string Tails(int lines = 20) =>
        string.Join(
            '\n',
            all.GroupBy(h => h.LogFile)
                .Select(h => $"--- {name} {h.Last().Name}{(h.Last().HasEnded ? " (ended)" : "")}\n{h.Last().Tail(lines)}")
        );

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        foreach (var host in all)
            await host.DisposeAsync();
        Client?.Dispose();
        Sandbox.Dispose();
        TestSandbox?.Dispose();
        await Database.DisposeAsync();
        if (Standby is not null)
            await Standby.DisposeAsync();
        if (ownsCluster)
            await cluster.DisposeAsync();
        else
            await cluster.DropDatabaseAsync(database);
    }

    private async Task StartAsync(bool projections, bool testSandbox, string[] carriers)
    {
        var accounts = await TestRun.Accounts;
        var vapid = await TestRun.VapidAsync();
        foreach (var section in new[] { "Providers", "TestProviders" })
        {
            environment[$"{section}__Apns__TeamId"] = accounts.GetProperty("apnsTeamId").GetString()!;
            environment[$"{section}__Apns__KeyId"] = accounts.GetProperty("apnsKeyId").GetString()!;
            environment[$"{section}__Apns__Topic"] = accounts.GetProperty("apnsTopic").GetString()!;
            environment[$"{section}__Apns__PrivateKeyPath"] = $"{TestRun.SandboxHome}/apns-auth-key.p8";
            environment[$"{section}__Apns__TrustedCaPath"] = $"{TestRun.SandboxHome}/apns-ca.pem";
            environment[$"{section}__Apns__BaseUrl"] = $"https://127.0.0.1:{apnsPort}";
            environment[$"{section}__Fcm__ServiceAccountJson"] = await TestRun.FcmAccountAsync(SandboxUrl);
            environment[$"{section}__Fcm__BaseUrl"] = SandboxUrl.ToString();
            environment[$"{section}__WebPush__Subject"] = "mailto:push@example.com";
            environment[$"{section}__WebPush__PublicKey"] = vapid.GetProperty("publicKey").GetString()!;
            environment[$"{section}__WebPush__PrivateKey"] = vapid.GetProperty("privateKey").GetString()!;
            environment[$"{section}__WebPush__AllowPrivateNetworks"] = "true";
            foreach (var carrier in carriers)
            foreach (var (key, value) in CarrierSettings.Of(section, carrier, accounts, SandboxUrl, smtpPort))
                environment[key] = value;
        }

        // Live clients' devices may then lead to the sandbox and to servers of the tests.
        environment["Notify__LiveToSandbox"] = "true";
        environment["ConnectionStrings__notify"] = $"{ConnectionString};Maximum Pool Size=30";
        foreach (var (key, value) in ShortTimings)
            environment[key] = value;
        foreach (var (key, value) in settings)
            environment[key] = value;

        var ready = new List<Task>();
        if (testSandbox)
        {
            var (url, apns) = (new Uri($"http://127.0.0.1:{HostProcess.FreePort()}"), $"https://127.0.0.1:{HostProcess.FreePort()}");
            environment["TestProviders__Apns__BaseUrl"] = apns;
            environment["TestProviders__Apns__Topic"] = "some.other.app";
            environment["TestProviders__Fcm__ServiceAccountJson"] = await TestRun.FcmAccountAsync(url, "some-other-project");
            environment["TestProviders__Fcm__BaseUrl"] = url.ToString();
            environment["TestProviders__Twilio__BaseUrl"] = url.ToString();
            environment["TestProviders__SendGrid__BaseUrl"] = url.ToString();
            TestSandbox = new SandboxClient(url);
            ready.Add(StartSandboxAsync("TestSandbox", url, apns));
        }

        ready.AddRange([
            StartSandboxAsync("Sandbox", SandboxUrl, $"https://127.0.0.1:{apnsPort}"),
            StartApiAsync(),
            StartDispatchAsync(),
            CreateClientAsync(),
        ]);
        if (projections)
            ready.Add(StartProjectionsAsync());
        await Task.WhenAll(ready);
    }

    private Task StartSandboxAsync(string host, Uri url, string apns) =>
        ReadyAsync(
            Start(
                host,
                new()
                {
                    ["Sandbox__Home"] = TestRun.SandboxHome,
                    ["Sandbox__Url"] = url.ToString().TrimEnd('/'),
                    ["Sandbox__ApnsUrl"] = apns,
                    ["Sandbox__SmtpUrl"] = $"smtp://127.0.0.1:{(url == SandboxUrl ? smtpPort : HostProcess.FreePort())}",
                    ["Sandbox__WebhookUrl"] = $"http://127.0.0.1:{receiptsPort}",
                },
                "tools/Notify.Sandbox"
            ),
            url
        );

    /// <summary><c>kill -9</c> of the sandbox, which is started again; without <c>Sandbox__LedgerPath</c> its ledger is lost.</summary>
    public async Task CrashSandboxAsync()
    {
        await all.Last(host => host.Name == "Sandbox").KillAsync();
        await StartSandboxAsync("Sandbox", SandboxUrl, $"https://127.0.0.1:{apnsPort}");
    }

    /// <summary>The settings by which a host finds a provider of SMS or email that the sandbox plays.</summary>
    /// <param name="section"><c>Providers</c> or <c>TestProviders</c>.</param>
    public async Task<Dictionary<string, string>> CarrierAsync(string section, string carrier) =>
        CarrierSettings.Of(section, carrier, await TestRun.Accounts, SandboxUrl, smtpPort);

    /// <summary>Starts Projections, again after it was killed.</summary>
    public async Task StartProjectionsAsync()
    {
        ProjectionsUrl = new Uri($"http://127.0.0.1:{HostProcess.FreePort()}");
        Projections = Start("Projections", new() { ["ASPNETCORE_URLS"] = ProjectionsUrl.ToString() });
        await ReadyAsync(Projections, ProjectionsUrl);
    }

    private async Task CreateClientAsync()
    {
        var (exitCode, output, _) = await HostProcess.RunAsync(
            "create-client",
            Repository.Program("Notify.Api", Root),
            ["create-client"],
            Root is null ? HostRoles.For(environment, "Api") : environment,
            TestRun.Log($"{name}-create-client")
        );
        if (exitCode != 0)
            throw new InvalidOperationException($"create-client ended with {exitCode}: {output}");
        var made = JsonNode.Parse(output.Trim().Split('\n')[^1])!;
        Client = new NotifyClient(ApiUrl, made["appKey"]!.GetValue<string>(), made["appSecret"]!.GetValue<string>());
    }

    private HostProcess Start(string host, Dictionary<string, string> own, string? project = null)
    {
        foreach (var (key, value) in environment)
            own.TryAdd(key, value);
        foreach (var key in own.Keys.Where(key => own[key].Length == 0).ToList())
            own.Remove(key);
        var root = project is null ? Root : null;
        if (root is null)
            own = HostRoles.For(own, host);
        var process = HostProcess.Start(
            host,
            Repository.Program(project ?? $"Notify.{host}", root),
            [],
            own,
            TestRun.Log($"{name}-{host}")
        );
        lock (all)
            all.Add(process);
        return process;
    }

    private static async Task ReadyAsync(HostProcess host, Uri url)
    {
        using var http = new HttpClient { BaseAddress = url, Timeout = TimeSpan.FromSeconds(5) };
        await Eventually.Holds(
            async () =>
            {
                if (host.HasEnded)
                    throw new InvalidOperationException($"{host.Name} ended before it was ready:\n{host.Tail(20)}");
                try
                {
                    using var response = await http.GetAsync("/health/ready");
                    return response.IsSuccessStatusCode;
                }
                catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
                {
                    return false;
                }
            },
            $"{host.Name} is ready",
            StartUp
        );
    }
}
