namespace Notify.Tests.Reliability;

using Notify.Tests.Support;

/// <summary>The systems of the long form of the fault suite: their tests run one after the other, while nothing else runs.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class ReliabilityCollection : ICollectionFixture<ReliabilityOnPostgresSystem>
{
    public const string Name = "Reliability";
}

/// <summary>The same, with messages in RabbitMQ.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class ReliabilityBrokerCollection : ICollectionFixture<ReliabilityOnRabbitMqSystem>
{
    public const string Name = "ReliabilityBroker";
}

/// <summary>With messages in PostgreSQL.</summary>
public sealed class ReliabilityOnPostgresSystem() : ReliabilitySystem("reliability", withBroker: false);

/// <summary>With messages in RabbitMQ.</summary>
public sealed class ReliabilityOnRabbitMqSystem() : ReliabilitySystem("reliability-mq", withBroker: true);

/// <summary>
/// Two Apis, two Dispatch hosts and Projections with a PostgreSQL of their own, and the host time-out of production. The sandbox keeps
/// its ledger on disk.
/// </summary>
public abstract class ReliabilitySystem(string name, bool withBroker, string? cluster = null) : IAsyncLifetime
{
    /// <summary>The host time-out.</summary>
    public static readonly TimeSpan Takeover = TimeSpan.FromSeconds(15);

    private static readonly TimeSpan Answer = TimeSpan.FromSeconds(10);
    private readonly List<(HostProcess Host, Uri Url)> apis = [];

    public NotifySystem System { get; private set; } = null!;

    public MessageBroker? Broker { get; private set; }

    /// <summary>The name of its transport in the report.</summary>
    public string Transport => withBroker ? "RabbitMQ" : "PostgreSQL";

    /// <summary>The Apis, as callers reach them.</summary>
    public IReadOnlyList<NotifyClient> Clients { get; private set; } = [];

    /// <summary>The people that are sent to.</summary>
    public IReadOnlyList<Person> People { get; private set; } = [];

    /// <inheritdoc />
    public async ValueTask InitializeAsync()
    {
        if (withBroker)
            Broker = await MessageBroker.StartAsync(Path.Combine(Repository.Home, $"{name}-broker"));
        System = await NotifySystem.StartAsync(name, Settings(), ownCluster: true, broker: Broker, clusterFolder: cluster);
        await System.StartDispatchAsync();
        apis.AddRange([(System.Api, System.ApiUrl), await System.StartAnotherApiAsync()]);
        Clients = [.. apis.Select(api => System.Client.At(api.Url, Answer))];
        People = await Task.WhenAll(Enumerable.Range(0, 60).Select(_ => System.NewPersonAsync(email: Person.NewEmail())));
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        foreach (var client in Clients)
            client.Dispose();
        if (System is not null)
            await System.DisposeAsync();
        if (Broker is not null)
            await Broker.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    /// <summary>A host of a kind; of two, one in this round and the other in the next.</summary>
    /// <param name="kind"><c>api</c>, <c>dispatch</c> or <c>projections</c>.</param>
    public HostProcess Host(string kind, int round) =>
        kind switch
        {
            "api" => apis[round % apis.Count].Host,
            "dispatch" => System.Dispatchers[round % System.Dispatchers.Count],
            _ => System.Projections,
        };

    /// <summary>Starts a host in the place of one that has ended.</summary>
    public async Task<HostProcess> ReplaceAsync(string kind, HostProcess ended)
    {
        if (kind == "dispatch")
            return await System.ReplaceDispatchAsync(ended);
        if (kind == "api")
        {
            var i = apis.FindIndex(api => api.Host == ended);
            apis[i] = await System.StartAnotherApiAsync(apis[i].Url);
            return apis[i].Host;
        }

        await System.StartProjectionsAsync();
        return System.Projections;
    }

    /// <summary>Starts what a case that failed has left ended.</summary>
    public async Task ReviveAsync()
    {
        foreach (var (host, _) in apis.Where(api => api.Host.HasEnded).ToList())
            await ReplaceAsync("api", host);
        foreach (var host in System.Dispatchers.Where(host => host.HasEnded).ToList())
            await ReplaceAsync("dispatch", host);
        if (System.Projections.HasEnded)
            await System.StartProjectionsAsync();
    }

    /// <summary>Restarts a host as an operator does.</summary>
    public async Task<HostProcess> RestartAsync(string kind, HostProcess host)
    {
        host.Terminate();
        await host.EndAsync(TimeSpan.FromSeconds(60));
        return await ReplaceAsync(kind, host);
    }

    /// <summary>Restarts all hosts, one by one.</summary>
    /// <param name="mark">Runs each restart, and notes its time.</param>
    public async Task RollAsync(Func<Func<Task>, Task> mark)
    {
        foreach (var host in apis.Select(api => api.Host).ToList())
            await mark(() => RestartAsync("api", host));
        foreach (var host in System.Dispatchers.ToList())
            await mark(() => RestartAsync("dispatch", host));
        await mark(() => RestartAsync("projections", System.Projections));
    }

    // As in production, but for the deadline of unknown outcomes, so that a round ends soon.
    private Dictionary<string, string> Settings() =>
        new()
        {
            ["Notify__Takeover"] = Takeover.ToString("c"),
            ["Notify__Retry__BaseDelay"] = "00:00:00.5",
            ["Notify__Retry__MaxDelay"] = "00:00:10",
            ["Notify__Retry__MaxAttempts"] = "100",
            ["Notify__Retry__AskAfter"] = "00:00:05",
            ["Notify__Retry__UnknownDeadline"] = "00:00:40",
            ["Sandbox__LedgerPath"] = Path.Combine(Repository.Home, $"{name}-ledger"),
        };
}
