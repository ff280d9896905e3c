namespace Notify.Tests.Support;

/// <summary>A system whose providers' knobs are turned: its tests run one after the other.</summary>
[CollectionDefinition(Name)]
[Trait("Category", "Apart")]
public sealed class KnobCollection : ICollectionFixture<KnobSystem>
{
    public const string Name = "Knobs";
}

/// <summary>The system of <see cref="KnobCollection"/>: few SMS at a time, so that backlogs can be made and counted; emails time out
/// soon.</summary>
public sealed class KnobSystem : IAsyncLifetime
{
    /// <summary>SMS under way at once.</summary>
    public const int SmsConcurrency = 5;

    public NotifySystem System { get; private set; } = null!;

    public async ValueTask InitializeAsync() =>
        System = await NotifySystem.StartAsync(
            "knobs",
            new() { ["Providers__Twilio__Concurrency"] = $"{SmsConcurrency}", ["Providers__SendGrid__Timeout"] = "00:00:05" }
        );

    public ValueTask DisposeAsync() => System?.DisposeAsync() ?? ValueTask.CompletedTask;
}

/// <summary>A test that turns knobs; afterwards the providers behave again.</summary>
[Collection(KnobCollection.Name)]
public abstract class KnobTest(KnobSystem knobs) : SystemTest
{
    /// <inheritdoc />
    public override async ValueTask InitializeAsync()
    {
        Installation = knobs.System;
        await Sandbox.BehaveAsync();
    }

    /// <inheritdoc />
    public override async ValueTask DisposeAsync()
    {
        await Sandbox.BehaveAsync();
        await base.DisposeAsync();
        GC.SuppressFinalize(this);
    }
}

/// <summary>A system whose hosts and PostgreSQL are killed: its tests run one after the other.</summary>
[CollectionDefinition(Name)]
[Trait("Category", "Apart")]
public sealed class FaultCollection : ICollectionFixture<FaultSystem>
{
    public const string Name = "Faults";
}

/// <summary>A second one, for the spine's tests on PostgreSQL.</summary>
[CollectionDefinition(Name)]
[Trait("Category", "Apart")]
public sealed class SpineCollection : ICollectionFixture<FaultSystem>
{
    public const string Name = "Spine";
}

/// <summary>The system of a collection of faults: its PostgreSQL is its own.</summary>
public sealed class FaultSystem : IAsyncLifetime
{
    private static int systems;

    public NotifySystem System { get; private set; } = null!;

    public async ValueTask InitializeAsync() =>
        System = await NotifySystem.StartAsync(
            $"faults{Interlocked.Increment(ref systems)}",
            new([NotifySystem.UsualAcceptTimeout]),
            ownCluster: true
        );

    public ValueTask DisposeAsync() => System?.DisposeAsync() ?? ValueTask.CompletedTask;
}

/// <summary>A test that makes something fail.</summary>
[Collection(FaultCollection.Name)]
public abstract class FaultTest(FaultSystem faults) : SystemTest
{
    /// <inheritdoc />
    public override async ValueTask InitializeAsync()
    {
        Installation = faults.System;
        await Sandbox.BehaveAsync();
    }

    /// <inheritdoc />
    public override async ValueTask DisposeAsync()
    {
        await Sandbox.BehaveAsync();
        await base.DisposeAsync();
        GC.SuppressFinalize(this);
    }
}

/// <summary>A system that sends to crowds and whose hosts are killed meanwhile. Its projections delay no other tests.</summary>
[CollectionDefinition(Name)]
[Trait("Category", "Apart")]
public sealed class BroadcastCollection : ICollectionFixture<BroadcastSystem>
{
    public const string Name = "Broadcasts";
}

/// <summary>The system of <see cref="BroadcastCollection"/>: a broadcast waits before long.</summary>
public sealed class BroadcastSystem : IAsyncLifetime
{
    /// <summary>Deliveries in a queue at which a broadcast waits.</summary>
    public const int MostWaiting = 2000;

    public NotifySystem System { get; private set; } = null!;

    public async ValueTask InitializeAsync() =>
        System = await NotifySystem.StartAsync("broadcasts", new() { ["Notify__Broadcasts__MostWaiting"] = $"{MostWaiting}" });

    public ValueTask DisposeAsync() => System?.DisposeAsync() ?? ValueTask.CompletedTask;
}

/// <summary>A test that sends to crowds; afterwards they are gone.</summary>
[Collection(BroadcastCollection.Name)]
public abstract class CrowdTest(BroadcastSystem broadcasts) : SystemTest
{
    /// <inheritdoc />
    public override async ValueTask InitializeAsync()
    {
        Installation = broadcasts.System;
        await Sandbox.BehaveAsync();
    }

    /// <inheritdoc />
    public override async ValueTask DisposeAsync()
    {
        await Installation.ScalarAsync<long>(
            """
            with gone as (delete from events.mt_doc_recipient r using notify.topic_subscribers s
                where s.topic like 'crowd-%' and r.id = 'u/' || s.user_id returning 1) select count(*) from gone
            """
        );
        await base.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    /// <summary>A topic and those who follow it.</summary>
    /// <param name="muted">Whether they have no device: all is suppressed, and no provider is called.</param>
    protected async Task<string> CrowdAsync(int count, bool muted = false)
    {
        var topic = NewId("crowd");
        (await Client.PutAsync($"/v1/topics/{topic}", new { name = "A crowd" })).Is(200);
        var lines = Enumerable
            .Range(1, count)
            .Select(n =>
                System.Text.Json.JsonSerializer.Serialize(
                    new
                    {
                        userId = $"{topic}-{n}",
                        devices = Enumerable.Range(0, muted ? 0 : 1).Select(_ => new { platform = "ios", token = Person.NewToken() }),
                    }
                )
            );
        var import = new StringContent(string.Join('\n', lines), System.Text.Encoding.UTF8, "application/x-ndjson");
        Assert.Equal($"{count}", (await Client.CallAsync(HttpMethod.Post, "/v1/users/import", import)).Is(200)["imported"]);
        Assert.Equal(
            count,
            await Installation.ScalarAsync<long>(
                """
                with joined as (insert into notify.topic_subscribers select $1, r, now() from unnest($2) r returning 1)
                select count(*) from joined
                """,
                topic,
                FollowersOf(topic, count)
            )
        );
        return topic;
    }

    /// <summary>The references of those who follow a topic, in the order of a broadcast.</summary>
    protected static string[] FollowersOf(string topic, int count) =>
        [.. Enumerable.Range(1, count).Select(n => UserRefs.Of($"{topic}-{n}")).Order(StringComparer.Ordinal)];

    /// <summary>Requests a broadcast to a topic, by push.</summary>
    protected async Task<string> BroadcastAsync(string topic, string what)
    {
        var id = NewId(what);
        (
            await Client.PostAsync(
                "/v1/broadcasts",
                new
                {
                    broadcastId = id,
                    topic,
                    channels = new[] { "push" },
                    content = new { title = id, body = "x" },
                }
            )
        ).Is(202);
        return id;
    }

    /// <summary>Waits until so many of its notifications are made.</summary>
    protected Task ReachesAsync(string id, long count) =>
        Eventually.Becomes(() => ExpandedAsync(id), e => e >= count, $"{count} are made", TimeSpan.FromMinutes(3));

    /// <summary>Waits until it has ended.</summary>
    protected Task<Reply> EndsAsync(string id) =>
        Eventually.Becomes(
            async () => (await Client.GetAsync($"/v1/broadcasts/{id}")).Is(200),
            r => r["endedAt"] is not null,
            $"{id} ends",
            TimeSpan.FromMinutes(3)
        );

    /// <summary>How many of its notifications are made.</summary>
    protected Task<long> ExpandedAsync(string id) =>
        Installation.ScalarAsync<long>("select expanded from notify.broadcasts where key = $1", $"b/{Client.AppKey}:{id}");

    /// <summary>How many streams its notifications have.</summary>
    protected Task<long> StreamsAsync(string id) =>
        Installation.ScalarAsync<long>("select count(*) from events.mt_streams where id like 'n/%:' || $1 || '@%'", id);

    /// <summary>Asserts that everybody has one notification, and each was reached; a push that was in flight at a kill is repeated, under
    /// the collapse ID by which it replaces itself.</summary>
    protected async Task ReachedOnceAsync(string id, int count)
    {
        Assert.Equal(count, await StreamsAsync(id));
        var sent = (await Sandbox.LedgerAsync(id)).Where(e => e.IsAccepted).ToList();
        Assert.Equal(count, sent.Select(e => e.Header("apns-collapse-id")).Distinct().Count());
        Assert.InRange(sent.Count - count, 0, 1_000);
        Assert.Equal(
            "BroadcastRequested BroadcastStarted BroadcastCompleted",
            await Installation.ScalarAsync<string>(
                "select string_agg(type, ' ' order by version) from events.mt_events where stream_id = $1",
                $"b/{Client.AppKey}:{id}"
            )
        );
    }
}

/// <summary>A system whose messages RabbitMQ carries, and whose broker is killed: its tests run one after the other.</summary>
[CollectionDefinition(Name)]
[Trait("Category", "Apart")]
public sealed class BrokerCollection : ICollectionFixture<BrokerSystem>
{
    public const string Name = "Broker";
}

/// <summary>The system of <see cref="BrokerCollection"/>.</summary>
public sealed class BrokerSystem : IAsyncLifetime
{
    public NotifySystem System { get; private set; } = null!;

    public MessageBroker Broker { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Broker = await MessageBroker.StartAsync(Path.Combine(Repository.Home, "mq"));
        System = await NotifySystem.StartAsync("broker", new([NotifySystem.UsualAcceptTimeout]), broker: Broker);
    }

    public async ValueTask DisposeAsync()
    {
        if (System is not null)
            await System.DisposeAsync();
        if (Broker is not null)
            await Broker.DisposeAsync();
    }
}

/// <summary>A system with Redis as its cache's second level, and two hosts of each kind: its tests run one after the other.</summary>
[CollectionDefinition(Name)]
[Trait("Category", "Apart")]
public sealed class CacheCollection : ICollectionFixture<CacheSystem>
{
    public const string Name = "Cache";
}

/// <summary>The system of <see cref="CacheCollection"/>.</summary>
public sealed class CacheSystem : IAsyncLifetime
{
    public NotifySystem System { get; private set; } = null!;

    public RedisServer Redis { get; private set; } = null!;

    /// <summary>Its client, at one Api and at the other.</summary>
    public NotifyClient[] Clients { get; private set; } = [];

    public async ValueTask InitializeAsync()
    {
        Redis = await RedisServer.StartAsync(Path.Combine(Repository.Home, "redis"));
        System = await NotifySystem.StartAsync(
            "cache",
            new() { ["ConnectionStrings__redis"] = Redis.Address, ["Notify__Retry__MaxAttempts"] = "100" }
        );
        await System.StartDispatchAsync();
        Clients = [System.Client, System.Client.At((await System.StartAnotherApiAsync()).Url)];
    }

    public async ValueTask DisposeAsync()
    {
        if (Clients.Length > 1)
            Clients[1].Dispose();
        if (System is not null)
            await System.DisposeAsync();
        if (Redis is not null)
            await Redis.DisposeAsync();
    }
}
