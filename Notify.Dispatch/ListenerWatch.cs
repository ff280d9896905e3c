using Notify.Domain.Notifications;
using Notify.Projections.Hosting;
using Notify.Projections.RabbitMq;
using RabbitMQ.Client.Exceptions;
using Wolverine.Runtime;

namespace Notify.Dispatch;

/// <summary>
/// Sees that every queue of the broker is listened to. Wolverine listens again by itself when the broker returns; what it does
/// not notice is a queue that was deleted and made anew, or one that was not yet there when the broker came back.
/// </summary>
public sealed class ListenerWatch(IWolverineRuntime runtime, RabbitMqBroker broker, TimeProvider clock, ILogger<ListenerWatch> log) : BackgroundService
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(3);

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, clock);
        var before = new HashSet<DeliveryQueue>();
        while (await timer.NextAsync(stoppingToken))
        {
            try
            {
                // Twice in a row: for a moment a queue may be without, while Wolverine connects.
                var deserted = (await broker.ConsumersAsync(stoppingToken)).Where(q => q.Value is 0).Select(q => q.Key).ToHashSet();
                foreach (var queue in deserted.Intersect(before)) await ListenAgainAsync(queue);
                before = deserted;
            }
            catch (Exception e) when (e is RabbitMQClientException or IOException or OperationCanceledException or TimeoutException or ObjectDisposedException)
            {
                before.Clear(); // the broker is away, which the broker's own log line and the health check tell
            }
        }
    }

    private async Task ListenAgainAsync(DeliveryQueue queue)
    {
        var name = RabbitMqBroker.QueueName(queue);
        if (runtime.Endpoints.ActiveListeners().FirstOrDefault(l => l.Endpoint.EndpointName == name) is not { } listener) return;
        log.LogWarning("Nobody listened to {Queue}; this host does again.", name);
        await listener.RestartAsync(force: true);
    }
}
