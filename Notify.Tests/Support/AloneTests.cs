namespace Notify.Tests.Support;

/// <summary>A system whose providers' knobs are turned: its tests run one after the other, while nothing else runs.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class KnobCollection : ICollectionFixture<KnobSystem>
{
    public const string Name = "Knobs";
}

/// <summary>The system of <see cref="KnobCollection"/>: few SMS at a time, so that backlogs can be made and counted; emails time out soon.</summary>
public sealed class KnobSystem : IAsyncLifetime
{
    /// <summary>SMS under way at once.</summary>
    public const int SmsConcurrency = 5;

    public NotifySystem System { get; private set; } = null!;

    public async ValueTask InitializeAsync() => System = await NotifySystem.StartAsync("knobs", new() { ["Providers__Twilio__Concurrency"] = $"{SmsConcurrency}", ["Providers__SendGrid__Timeout"] = "00:00:05" });

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

/// <summary>A system whose hosts and PostgreSQL are killed: its tests run one after the other, while nothing else runs.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class FaultCollection : ICollectionFixture<FaultSystem>
{
    public const string Name = "Faults";
}

/// <summary>The system of <see cref="FaultCollection"/>: its PostgreSQL is its own.</summary>
public sealed class FaultSystem : IAsyncLifetime
{
    public NotifySystem System { get; private set; } = null!;

    public async ValueTask InitializeAsync() => System = await NotifySystem.StartAsync("faults", ownCluster: true);

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

/// <summary>A system that sends to crowds and whose hosts are killed meanwhile; what it leaves to be projected keeps nobody else waiting.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class BroadcastCollection : ICollectionFixture<BroadcastSystem>
{
    public const string Name = "Broadcasts";
}

/// <summary>The system of <see cref="BroadcastCollection"/>.</summary>
public sealed class BroadcastSystem : IAsyncLifetime
{
    public NotifySystem System { get; private set; } = null!;

    public async ValueTask InitializeAsync() => System = await NotifySystem.StartAsync("broadcasts");

    public ValueTask DisposeAsync() => System?.DisposeAsync() ?? ValueTask.CompletedTask;
}

/// <summary>A system whose messages RabbitMQ carries, and whose broker is killed: its tests run one after the other, while nothing else runs.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
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
        System = await NotifySystem.StartAsync("broker", broker: Broker);
    }

    public async ValueTask DisposeAsync()
    {
        if (System is not null) await System.DisposeAsync();
        if (Broker is not null) await Broker.DisposeAsync();
    }
}
