namespace Notify.Tests.Reliability;

/// <summary>With messages in RabbitMQ, which fails, too.</summary>
[Collection(ReliabilityBrokerCollection.Name)]
[Trait("Category", "Long")]
public sealed class ReliabilityOnRabbitMq(ReliabilityOnRabbitMqSystem system) : Reliability(system)
{
    [Fact]
    public Task Broker_killed_under_load() =>
        RunAsync(
            "broker killed",
            FaultPlan.StoreRounds,
            0,
            async _ =>
            {
                await Hosts.Broker!.KillAsync();
                await Hosts.Broker!.StartAgainAsync();
            }
        );

    [Fact]
    public Task Broker_frozen_under_load() =>
        RunAsync(
            "broker frozen",
            FaultPlan.StoreRounds,
            FaultPlan.Freeze.TotalSeconds,
            async _ =>
            {
                await Hosts.Broker!.PauseAsync();
                try
                {
                    await Task.Delay(FaultPlan.Freeze, Stop);
                }
                finally
                {
                    await Hosts.Broker!.ResumeAsync();
                }
            }
        );
}
