using Npgsql;

namespace Notify.Projections.OpenDeliveries;

/// <summary>Which notification a delivery belongs to: <c>notify.delivery_streams</c>.</summary>
public static class DeliveryStreams
{
    /// <summary>Notes deliveries, in the caller's transaction, before their provider is called; what is noted already stays.</summary>
    public static async Task NoteAsync(NpgsqlConnection connection, IEnumerable<(Guid Delivery, string Notification)> deliveries, CancellationToken cancellation)
    {
        var sorted = deliveries.OrderBy(d => d.Delivery).ToList();
        if (sorted.Count == 0) return;
        await using var command = OpenDeliveryTable.Command(
            connection, "insert into notify.delivery_streams (delivery_id, notification) select * from unnest($1, $2) on conflict do nothing",
            sorted.Select(d => d.Delivery).ToArray(), sorted.Select(d => d.Notification).ToArray());
        await command.ExecuteNonQueryAsync(cancellation);
    }
}
