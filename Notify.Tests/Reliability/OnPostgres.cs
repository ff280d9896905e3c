namespace Notify.Tests.Reliability;

/// <summary>With messages in PostgreSQL.</summary>
[Collection(ReliabilityCollection.Name)]
[Trait("Category", "Long")]
public sealed class ReliabilityOnPostgres(ReliabilityOnPostgresSystem system) : Reliability(system);
