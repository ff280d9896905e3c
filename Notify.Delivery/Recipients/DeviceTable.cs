namespace Notify.Delivery.Recipients;

using Marten;
using Notify.Infrastructure.Postgres;
using Npgsql;
using NpgsqlTypes;

/// <summary>
/// Statements over <c>notify.devices</c>: the user of each device, and the time of its last registration. An app registers at every
/// start; mostly nothing is new, and there is no event.
/// </summary>
/// <remarks>Devices are locked before any stream, in the order of their IDs.</remarks>
public static class DeviceTable
{
    /// <summary>Returns the time of each device's last registration, where it is known.</summary>
    public static async Task<Dictionary<string, DateTimeOffset>> LastRegisteredAsync(
        NpgsqlConnection connection,
        string[] deviceIds,
        CancellationToken cancellation
    )
    {
        var last = new Dictionary<string, DateTimeOffset>(StringComparer.Ordinal);
        if (deviceIds.Length == 0)
            return last;
        await using var command = SqlCommands.Create(
            connection,
            "select device_id, registered_at from notify.devices where device_id = any($1) and registered_at is not null",
            (object)deviceIds
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        while (await reader.ReadAsync(cancellation))
            last[reader.GetString(0)] = reader.GetFieldValue<DateTimeOffset>(1);
        return last;
    }

    /// <summary>Returns those of these devices that have a user, with the user's reference, in the order of the devices.</summary>
    public static Task<IReadOnlyList<(string DeviceId, string UserRef)>> HoldersAsync(
        IQuerySession session,
        string[] deviceIds,
        CancellationToken cancellation
    ) =>
        session.AdvancedSql.QueryAsync<string, string>(
            "select row(device_id), row(user_id) from notify.devices where device_id = any(?) order by device_id",
            cancellation,
            [deviceIds]
        );

    /// <summary>Locks a user's devices until the transaction ends.</summary>
    /// <returns>The user.</returns>
    public static async Task<string> HoldAsync(NpgsqlConnection connection, string userRef, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(
            connection,
            "select 1 from notify.devices where user_id = $1 order by device_id for update",
            userRef
        );
        await command.ExecuteNonQueryAsync(cancellation);
        return userRef;
    }

    /// <summary>Takes devices that have no user for these users, and locks the others until the transaction ends.</summary>
    /// <remarks>One statement, so that two callers that share devices wait for each other. A device whose removal is under way is waited
    /// for, and then free.</remarks>
    public static async Task TakeAsync(NpgsqlConnection connection, string[] deviceIds, string[] userRefs, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(
            connection,
            """
            insert into notify.devices as d (device_id, user_id)
            select t.device_id, t.user_id from unnest($1, $2) as t(device_id, user_id) order by t.device_id
            on conflict (device_id) do update set user_id = d.user_id where false
            """,
            deviceIds,
            userRefs
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Gives devices that the transaction has locked to users.</summary>
    public static async Task MoveAsync(NpgsqlConnection connection, string[] deviceIds, string[] userRefs, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(
            connection,
            "update notify.devices d set user_id = t.u from unnest($1, $2) as t(d, u) where d.device_id = t.d and d.user_id <> t.u",
            deviceIds,
            userRefs
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Removes a user's devices: one, or all.</summary>
    /// <remarks>A device that another request has locked is being moved to another user, and that request waits for this one.</remarks>
    public static async Task ForgetAsync(NpgsqlConnection connection, string userRef, string? deviceId, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(
            connection,
            """
            delete from notify.devices where device_id = any(array(
                select device_id from notify.devices where user_id = $1 and ($2 is null or device_id = $2)
                order by device_id for update skip locked))
            """,
            userRef,
            new NpgsqlParameter { Value = (object?)deviceId ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text }
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }
}
