namespace Notify.Dispatch;

using Notify.Delivery.Messaging;
using Notify.Domain.Channels;
using Notify.Infrastructure.Hosting;
using Wolverine.Runtime;

/// <summary>
/// Checks that this host listens to every queue of the broker. Wolverine listens again by itself when the broker returns. It does
/// not detect a queue that was deleted and made anew, or one that was not yet there when the broker came back.
/// </summary>
public sealed class ListenerWatch(IWolverineRuntime runtime, RabbitMqBroker broker, TimeProvider clock, ILogger<ListenerWatch> log)
    : BackgroundService
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(3);

    /// <summary>So many looks in a row must find a queue without a listener: Wolverine comes first, and needs a moment.</summary>
    private const int Patience = 3;

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, clock);
        var deserted = new Dictionary<DeliveryQueue, int>();
        while (await timer.NextAsync(stoppingToken))
        {
            try
            {
                var consumers = await broker.ConsumersAsync(stoppingToken);
                deserted = consumers.Where(q => q.Value is 0).ToDictionary(q => q.Key, q => deserted.GetValueOrDefault(q.Key) + 1);
                foreach (var queue in deserted.Where(d => d.Value >= Patience).Select(d => d.Key))
                    await ListenAgainAsync(queue);
            }
#pragma warning disable CA1031 // The broker is away, or goes away again: it has its own log line and health check, and the next look comes.
            catch (Exception)
#pragma warning restore CA1031
            {
                deserted.Clear();
            }
        }
    }

    private async Task ListenAgainAsync(DeliveryQueue queue)
    {
        var name = RabbitMqBroker.QueueName(queue);
        if (runtime.Endpoints.ActiveListeners().FirstOrDefault(l => l.Endpoint.EndpointName == name) is not { } listener)
            return;
        log.LogWarning("Nobody listens to {Queue}; this host tries again to.", name);
        try
        {
            await listener.RestartAsync(force: true);
        }
#pragma warning disable CA1031 // Wolverine has not connected again yet; the next look comes.
        catch (Exception e)
#pragma warning restore CA1031
        {
            log.LogWarning("It could not yet ({Reason}).", e.Message.Split('\n')[0]);
        }
    }
}
