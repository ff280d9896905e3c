namespace Notify.Delivery.Messaging;

using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Notify.Domain.Channels;
using RabbitMQ.Client;
using RabbitMQ.Client.Exceptions;

/// <summary>A fault of the broker, and its fix.</summary>
/// <param name="IsAway">Whether the broker only does not answer; this fault ends when it is available again.</param>
public sealed record BrokerFault(bool IsAway, string Message);

/// <summary>
/// A host's way to the RabbitMQ broker for all but receiving: publishes with <c>mandatory</c> and waits for the broker's
/// confirmation, declares the queues (the migration only), and checks the broker. It has one connection, opened at its first
/// use and again after it was lost. Queue messages contain IDs only.
/// </summary>
public sealed class RabbitMqBroker : IAsyncDisposable
{
    /// <summary>How long the broker may take to confirm; after that the message stays in the outbox and is sent again.</summary>
    private static readonly TimeSpan ConfirmWithin = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    /// <summary>
    /// Quorum queues without a limit on redeliveries: RabbitMQ 4 drops a message after 20 by default.
    /// Version 4 calls "no limit" -1, version 3 drops the message at its first return under that; so it is a number
    /// that no message will reach.
    /// </summary>
    private static readonly Dictionary<string, object?> Arguments = new()
    {
        ["x-queue-type"] = "quorum",
        ["x-delivery-limit"] = int.MaxValue,
    };

    private readonly ConnectionFactory factory;
    private readonly TimeProvider clock;
    private readonly ILogger<RabbitMqBroker> log;
    private readonly SemaphoreSlim opening = new(1, 1);
    private IConnection? connection;
    private volatile IChannel? channel;
    private (long At, string Reason)? failure;
    private long lastReturn;

    /// <summary>A way to a broker; nothing is opened yet.</summary>
    /// <param name="host">The name of this connection, as the broker's operators see it.</param>
    public RabbitMqBroker(Uri address, string host, TimeProvider clock, ILogger<RabbitMqBroker> log)
    {
        (this.clock, this.log) = (clock, log);
        factory = Factory(address, host);
        factory.AutomaticRecoveryEnabled = false; // opened anew when needed
    }

    /// <summary>The broker's name for a queue, such as <c>notify.apns_critical</c>.</summary>
    public static string QueueName(DeliveryQueue queue) => $"notify.{queue.Name}";

    /// <summary>Reads an amqp or amqps URI.</summary>
    /// <returns><c>null</c> when it is none.</returns>
    public static Uri? ReadAddress(string text)
    {
        try
        {
            var address = new Uri(text);
            _ = new ConnectionFactory { Uri = address };
            return address.Host.Length > 0 ? address : null;
        }
        catch (Exception e) when (e is UriFormatException or ArgumentException)
        {
            return null;
        }
    }

    /// <summary>How this host connects.</summary>
    public static ConnectionFactory Factory(Uri address, string host) =>
        new()
        {
            Uri = address,
            ClientProvidedName = host,
            NetworkRecoveryInterval = Pause,
            RequestedHeartbeat = TimeSpan.FromSeconds(10),
            RequestedConnectionTimeout = TimeSpan.FromSeconds(5),
            ContinuationTimeout = TimeSpan.FromSeconds(10),
        };

    /// <summary>Publishes, and returns when the broker has the message in its queue.</summary>
    /// <exception cref="Exception">It was not confirmed: the broker is away, or the queue is missing. It may be in the queue all the
    /// same.</exception>
    public async Task PublishAsync(DeliveryQueue queue, BasicProperties properties, ReadOnlyMemory<byte> body)
    {
        using var limit = new CancellationTokenSource(ConfirmWithin, clock);
        var open = await OpenAsync(limit.Token);
        try
        {
            await open.BasicPublishAsync("", QueueName(queue), mandatory: true, properties, body, limit.Token);
        }
        catch (PublishException e) when (e.IsReturn)
        {
            TellReturned(queue);
            throw;
        }
    }

    /// <summary>Checks whether the broker answers and has every queue. Changes nothing.</summary>
    /// <returns>The fault; <c>null</c> when there is none.</returns>
    public async Task<BrokerFault?> CheckAsync(CancellationToken cancellation)
    {
        try
        {
            var missing = (await ConsumersAsync(cancellation)).Where(q => q.Value is null).Select(q => QueueName(q.Key)).ToList();
            return missing.Count == 0
                ? null
                : new BrokerFault(
                    false,
                    $"RabbitMQ has no queue {string.Join(", ", missing.Take(3))}{(missing.Count > 3 ? $" and {missing.Count - 3} more" : "")}; run the migrate command of Projections"
                );
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            return FaultOf(e);
        }
    }

    /// <summary>How many consumers each queue has; <c>null</c> for a queue that is missing.</summary>
    public async Task<IReadOnlyDictionary<DeliveryQueue, uint?>> ConsumersAsync(CancellationToken cancellation)
    {
        await OpenAsync(cancellation);
        var found = new Dictionary<DeliveryQueue, uint?>();
        IChannel? asking = null;
        try
        {
            foreach (var queue in DeliveryQueue.All)
            {
                asking ??= await connection!.CreateChannelAsync(cancellationToken: cancellation);
                try
                {
                    found[queue] = (await asking.QueueDeclarePassiveAsync(QueueName(queue), cancellation)).ConsumerCount;
                }
                catch (OperationInterruptedException e) when (e.ShutdownReason?.ReplyCode == Constants.NotFound)
                {
                    found[queue] = null;
                    asking.Dispose(); // the broker has closed it
                    asking = null;
                }
            }
        }
        finally
        {
            asking?.Dispose();
        }

        return found;
    }

    /// <summary>Declares every queue. Existing ones are unchanged.</summary>
    /// <returns>The fault; <c>null</c> when there is none.</returns>
    public async Task<BrokerFault?> DeclareAsync(CancellationToken cancellation = default)
    {
        try
        {
            await OpenAsync(cancellation);
            await using var declaring = await connection!.CreateChannelAsync(cancellationToken: cancellation);
            foreach (var queue in DeliveryQueue.All)
                await declaring.QueueDeclareAsync(
                    QueueName(queue),
                    durable: true,
                    exclusive: false,
                    autoDelete: false,
                    Arguments,
                    cancellationToken: cancellation
                );
            return null;
        }
        catch (OperationInterruptedException e) when (e.ShutdownReason?.ReplyCode == Constants.PreconditionFailed)
        {
            return new BrokerFault(
                false,
                $"a queue is there already with other settings ({e.ShutdownReason.ReplyText}); delete it, or name another "
                    + "virtual host in ConnectionStrings:rabbitmq"
            );
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            return FaultOf(e);
        }
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        await CloseAsync();
        opening.Dispose();
    }

    // While the broker is unavailable, one attempt a second is made, and other callers fail at once.
    private async ValueTask<IChannel> OpenAsync(CancellationToken cancellation)
    {
        if (channel is { IsOpen: true } open)
            return open;
        await opening.WaitAsync(cancellation);
        try
        {
            if (channel is { IsOpen: true } opened)
                return opened;
            if (failure is { } last && clock.GetElapsedTime(last.At) < Pause)
                throw new BrokerUnreachableException(new IOException(last.Reason));
            if (connection is not { IsOpen: true })
            {
                await CloseAsync();
                connection = await factory.CreateConnectionAsync(cancellation);
            }

            channel = await connection.CreateChannelAsync(
                new CreateChannelOptions(publisherConfirmationsEnabled: true, publisherConfirmationTrackingEnabled: true),
                cancellation
            );
            if (failure is not null)
                log.LogInformation("RabbitMQ is back.");
            failure = null;
            return channel;
        }
        catch (Exception e) when (e is not BrokerUnreachableException { InnerException: IOException })
        {
            if (failure is null)
                log.LogWarning(
                    "RabbitMQ does not answer as it should ({Reason}); what is accepted waits in the outbox, and is sent when it is back.",
                    Root(e).Message
                );
            failure = (clock.GetTimestamp(), Root(e).Message);
            throw;
        }
        finally
        {
            opening.Release();
        }
    }

    private async ValueTask CloseAsync()
    {
        var (oldChannel, oldConnection) = (channel, connection);
        (channel, connection) = (null, null);
        try
        {
            oldChannel?.Dispose();
            if (oldConnection is { IsOpen: true })
                await oldConnection.CloseAsync(TimeSpan.FromSeconds(2));
            oldConnection?.Dispose();
        }
        catch (Exception e) when (e is RabbitMQClientException or IOException or ObjectDisposedException or OperationCanceledException)
        {
            // It was broken: that is why it is closed.
        }
    }

    private void TellReturned(DeliveryQueue queue)
    {
        var now = clock.GetTimestamp();
        var last = Interlocked.Read(ref lastReturn);
        if (last != 0 && clock.GetElapsedTime(last, now) < TimeSpan.FromMinutes(1))
            return;
        if (Interlocked.CompareExchange(ref lastReturn, now, last) == last)
            log.LogError(
                "RabbitMQ has no queue {Queue}: what is sent there waits in the outbox, and nothing is lost. Run the migrate "
                    + "command of Projections.",
                QueueName(queue)
            );
    }

    private static BrokerFault FaultOf(Exception e)
    {
        var why = Root(e).Message.Split('\n')[0].TrimEnd('.');
        return new BrokerFault(
            IsAway(e),
            $"RabbitMQ does not answer as it should ({why}); see that it runs and that ConnectionStrings:rabbitmq is right"
        );
    }

    private static bool IsAway(Exception? e) =>
        e switch
        {
            null => false,
            AuthenticationFailureException or PossibleAuthenticationFailureException => false,
            SocketException or IOException or TimeoutException or OperationCanceledException or ConnectFailureException => true,
            AggregateException a => a.InnerExceptions.Any(IsAway),
            _ => IsAway(e.InnerException),
        };

    private static Exception Root(Exception e) =>
        e is AggregateException a ? Root(a.InnerExceptions[0])
        : e.InnerException is { } inner ? Root(inner)
        : e;
}
