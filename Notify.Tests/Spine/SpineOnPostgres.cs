namespace Notify.Tests.Spine;

using Notify.Tests.Faults;
using Notify.Tests.Support;

/// <summary>The spine, with messages in PostgreSQL.</summary>
[Collection(SpineCollection.Name)]
[Trait("Category", "Faults")]
public sealed class SpineOnPostgres(FaultSystem faults) : Spine(faults.System)
{
    /// <inheritdoc />
    protected override Task CrashCarrierAsync() => Installation.Cluster.RestartAsync("immediate");

    /// <inheritdoc />
    protected override Task CarrierWasMissedAsync(Load load)
    {
        Assert.True(load.Answers.GetValueOrDefault(503) > 0, "no caller was told to come again: the restarts missed");
        return Task.CompletedTask;
    }
}
