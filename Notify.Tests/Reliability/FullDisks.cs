namespace Notify.Tests.Reliability;

/// <summary>The system whose disk is full, with messages in PostgreSQL.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class FullDiskCollection : ICollectionFixture<FullDiskOnPostgresSystem>
{
    public const string Name = "FullDisk";
}

/// <summary>The system whose disk is full, with messages in RabbitMQ.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class FullDiskBrokerCollection : ICollectionFixture<FullDiskOnRabbitMqSystem>
{
    public const string Name = "FullDiskBroker";
}

/// <summary>With messages in PostgreSQL.</summary>
public sealed class FullDiskOnPostgresSystem() : FullDiskSystem("full-disk", withBroker: false);

/// <summary>With messages in RabbitMQ.</summary>
public sealed class FullDiskOnRabbitMqSystem() : FullDiskSystem("full-disk-mq", withBroker: true);

/// <summary>With messages in PostgreSQL.</summary>
[Collection(FullDiskCollection.Name)]
[Trait("Category", "Long")]
public sealed class FullDiskOnPostgres(FullDiskOnPostgresSystem disk) : FullDisk(disk);

/// <summary>With messages in RabbitMQ.</summary>
[Collection(FullDiskBrokerCollection.Name)]
[Trait("Category", "Long")]
public sealed class FullDiskOnRabbitMq(FullDiskOnRabbitMqSystem disk) : FullDisk(disk);
