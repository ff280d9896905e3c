namespace Notify.Delivery.Messaging;

using Microsoft.Extensions.DependencyInjection;
using Notify.Domain.Channels;
using RabbitMQ.Client;
using Wolverine;
using Wolverine.Configuration;
using Wolverine.RabbitMQ.Internal;
using Wolverine.Runtime;
using Wolverine.Transports;
using Wolverine.Transports.Sending;
using Endpoint = Wolverine.Configuration.Endpoint;

/// <summary>
/// Sending to RabbitMQ, for Wolverine's outbox: a message leaves the outbox only when the broker has confirmed that it is in
/// its queue. Wolverine's own RabbitMQ sender publishes without <c>mandatory</c>, so that a message to a missing queue is
/// confirmed and lost; receiving is Wolverine's own.
/// </summary>
internal sealed class MandatoryTransport() : TransportBase<MandatoryQueue>(Scheme, "RabbitMQ, mandatory and confirmed", [Scheme])
{
    /// <summary>The scheme of the addresses that messages are sent to.</summary>
    public const string Scheme = "rabbitmq-mandatory";

    private readonly Dictionary<string, MandatoryQueue> queues = DeliveryQueue.All.ToDictionary(q => q.Name, q => new MandatoryQueue(q));

    /// <inheritdoc />
    protected override IEnumerable<MandatoryQueue> endpoints() => queues.Values;

    /// <inheritdoc />
    protected override MandatoryQueue findEndpointByUri(Uri uri) => queues[uri.Host];
}

/// <summary>One queue to send to.</summary>
internal sealed class MandatoryQueue : Endpoint
{
    private readonly DeliveryQueue queue;

    /// <summary>Always with the durable outbox.</summary>
    public MandatoryQueue(DeliveryQueue queue)
        : base(new Uri($"{MandatoryTransport.Scheme}://{queue.Name}"), EndpointRole.Application)
    {
        this.queue = queue;
        EndpointName = queue.Name;
        Mode = EndpointMode.Durable;
    }

    /// <inheritdoc />
    public override ValueTask<IListener> BuildListenerAsync(IWolverineRuntime runtime, IReceiver receiver) =>
        throw new NotSupportedException("Receiving is Wolverine's own.");

    /// <inheritdoc />
    protected override ISender CreateSender(IWolverineRuntime runtime) =>
        new Sender(Uri, queue, new RabbitMqEnvelopeMapper(this, runtime), runtime.Services.GetRequiredService<RabbitMqBroker>());

    /// <inheritdoc />
    protected override bool supportsMode(EndpointMode mode) => mode == EndpointMode.Durable;

    private sealed class Sender(Uri destination, DeliveryQueue queue, RabbitMqEnvelopeMapper mapper, RabbitMqBroker broker) : ISender
    {
        public bool SupportsNativeScheduledSend => false;

        public Uri Destination => destination;

        // Asked once a second while sending is halted: sending begins again when all is in order.
        public async Task<bool> PingAsync() => await broker.CheckAsync(CancellationToken.None) is null;

        public async ValueTask SendAsync(Envelope envelope)
        {
            var properties = new BasicProperties { Persistent = true, Headers = new Dictionary<string, object?>() };
            mapper.MapEnvelopeToOutgoing(envelope, properties);
            await broker.PublishAsync(queue, properties, envelope.Data);
        }
    }
}
