namespace Notify.Delivery.Retention;

using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>How far back the rows of read models are dropped: rows from before these times are neither kept nor written.</summary>
/// <param name="Deliveries">By the time of the request.</param>
/// <param name="Engagement">By the time of the first opening, click and so on.</param>
/// <param name="Views">By the time of the request.</param>
public sealed record RetentionLimits(DateTimeOffset Deliveries, DateTimeOffset Engagement, DateTimeOffset Views)
{
    /// <summary>Reads the limits in the transaction of a read model's writer; dropping a week waits for its end.</summary>
    /// <remarks>Taken before any table of the read model, which is also the order of dropping.</remarks>
    public static async Task<RetentionLimits> LockAsync(NpgsqlConnection connection, CancellationToken cancellation)
    {
        // A page of rows is found by its keys alone: a plan that reads whole tables would be taken for middling ones.
        await using (
            var plan = SqlCommands.Create(
                connection,
                "set local enable_seqscan = off; set local enable_hashjoin = off; set local enable_mergejoin = off; set local jit = off"
            )
        )
            await plan.ExecuteNonQueryAsync(cancellation);
        await using var command = SqlCommands.Create(
            connection,
            "select table_name, dropped_before from notify.retention_limits order by table_name for share"
        );
        var limits = new Dictionary<string, DateTimeOffset>(StringComparer.Ordinal);
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        while (await reader.ReadAsync(cancellation))
        {
            if (!reader.IsDBNull(1))
                limits[reader.GetString(0)] = reader.GetFieldValue<DateTimeOffset>(1);
        }

        return new RetentionLimits(
            limits.GetValueOrDefault(PartitionedTable.Deliveries.Name),
            limits.GetValueOrDefault(PartitionedTable.Engagement.Name),
            limits.GetValueOrDefault(PartitionedTable.Views.Name)
        );
    }
}
