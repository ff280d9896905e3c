namespace Notify.Delivery.DeliveryQueue;

using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>The IDs that assign a receipt to a delivery.</summary>
/// <param name="DeliveryId">Notify's own ID, if the provider returned it.</param>
/// <param name="MessageId">The provider's.</param>
public readonly record struct ReceiptAddress(string Provider, Guid? DeliveryId, string? MessageId);

/// <summary>The notifications of deliveries: <c>notify.delivery_streams</c>, by a provider's ID <c>notify.provider_messages</c>.</summary>
public static class DeliveryStreams
{
    /// <summary>Records deliveries, in the caller's transaction, before their provider is called; existing records are unchanged.</summary>
    public static async Task NoteAsync(
        NpgsqlConnection connection,
        IEnumerable<(Guid Delivery, string Notification)> deliveries,
        CancellationToken cancellation
    )
    {
        var sorted = deliveries.OrderBy(d => d.Delivery).ToList();
        if (sorted.Count == 0)
            return;
        await using var command = SqlCommands.Create(
            connection,
            "insert into notify.delivery_streams (delivery_id, notification) select * from unnest($1, $2) on conflict do nothing",
            sorted.Select(d => d.Delivery).ToArray(),
            sorted.Select(d => d.Notification).ToArray()
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>The notification and delivery that each address belongs to, in order; <c>null</c> where that is not known (yet).</summary>
    public static async Task<IReadOnlyList<(Guid Delivery, string Notification)?>> FindAsync(
        NpgsqlConnection connection,
        IReadOnlyList<ReceiptAddress> addresses,
        CancellationToken cancellation
    )
    {
        var found = new (Guid, string)?[addresses.Count];
        if (addresses.Count == 0)
            return found;
        await using var command = SqlCommands.Create(
            connection,
            """
            select a.n, coalesce(s.delivery_id, m.delivery_id), coalesce(s.notification, m.notification)
            from unnest($1, $2, $3, $4) as a (n, delivery_id, provider, message_id)
            left join notify.delivery_streams s on s.delivery_id = a.delivery_id
            left join notify.provider_messages m on s.delivery_id is null and m.provider = a.provider and m.message_id = a.message_id and not m.is_shared
            where coalesce(s.notification, m.notification) is not null
            """,
            Enumerable.Range(0, addresses.Count).ToArray(),
            addresses.Select(a => a.DeliveryId).ToArray(),
            addresses.Select(a => a.Provider).ToArray(),
            addresses.Select(a => a.MessageId).ToArray()
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        while (await reader.ReadAsync(cancellation))
            found[reader.GetInt32(0)] = (reader.GetGuid(1), reader.GetString(2));
        return found;
    }
}
