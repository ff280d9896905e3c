namespace Notify.Delivery.Messaging;

using Microsoft.Extensions.Configuration;

/// <summary>The transport of messages to Dispatch. Setting <c>Notify:Transport</c>; the same for all hosts.</summary>
public enum NotifyTransport
{
    /// <summary>Queues in PostgreSQL: nothing else to install.</summary>
    Postgres,

    /// <summary>Quorum queues of a RabbitMQ broker.</summary>
    RabbitMq,
}

/// <summary>Reads what <c>Notify:Transport</c> and <c>ConnectionStrings:rabbitmq</c> say.</summary>
public static class NotifyTransports
{
    /// <summary>The transport; <see cref="NotifyTransport.Postgres"/> unless another is named.</summary>
    public static NotifyTransport Transport(this IConfiguration configuration) =>
        IsTransport(configuration["Notify:Transport"], out var transport) ? transport : NotifyTransport.Postgres;

    /// <summary>Checks both settings.</summary>
    /// <returns>The broker's address; <c>null</c> when none is used, or when it cannot be read.</returns>
    public static Uri? ReadBroker(this IConfiguration configuration, ICollection<string> faults)
    {
        if (!IsTransport(configuration["Notify:Transport"], out var transport))
        {
            faults.Add(
                $"Notify:Transport is \"{configuration["Notify:Transport"]}\"; there are {string.Join(" and ", Enum.GetNames<NotifyTransport>())}"
            );
            return null;
        }

        if (transport != NotifyTransport.RabbitMq)
            return null;
        const string Example = "amqp://user:password@127.0.0.1:5672/vhost";
        var text = configuration.GetConnectionString("rabbitmq");
        if (string.IsNullOrWhiteSpace(text))
            faults.Add(
                $"ConnectionStrings:rabbitmq is missing, and Notify:Transport is RabbitMq; set ConnectionStrings__rabbitmq, e.g. {Example}"
            );
        else if (RabbitMqBroker.ReadAddress(text) is { } address)
            return address;
        else
            // Without the text, which holds a password.
            faults.Add($"ConnectionStrings:rabbitmq cannot be read; give an address such as {Example} (amqps for TLS)");
        return null;
    }

    private static bool IsTransport(string? text, out NotifyTransport transport)
    {
        transport = NotifyTransport.Postgres;
        return string.IsNullOrEmpty(text) || (!char.IsAsciiDigit(text[0]) && Enum.TryParse(text, ignoreCase: true, out transport));
    }
}
