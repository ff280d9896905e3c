using Npgsql;

namespace Notify.Projections.Recipients;

/// <summary>When devices were last registered: <c>notify.devices</c>. An app says so at every start, and most often that is nothing new,
/// and no event.</summary>
public static class DeviceTable
{
    /// <summary>When each of these devices was last registered, where that is known.</summary>
    public static async Task<Dictionary<string, DateTimeOffset>> LastRegisteredAsync(
        NpgsqlConnection connection,
        string[] deviceIds,
        CancellationToken cancellation
    )
    {
        var last = new Dictionary<string, DateTimeOffset>(StringComparer.Ordinal);
        if (deviceIds.Length == 0)
            return last;
        await using var command = new NpgsqlCommand(
            "select device_id, registered_at from notify.devices where device_id = any($1) and registered_at is not null",
            connection
        )
        {
            Parameters = { new NpgsqlParameter { Value = deviceIds } },
        };
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        while (await reader.ReadAsync(cancellation))
            last[reader.GetString(0)] = reader.GetFieldValue<DateTimeOffset>(1);
        return last;
    }
}
