namespace Notify.Delivery.DeliveryQueue;

using Notify.Domain.Channels;
using Notify.Infrastructure.Postgres;
using Npgsql;
using NpgsqlTypes;

/// <summary>
/// Set-based statements over <c>notify.open_deliveries</c>, all in the caller's transaction. Lock order everywhere: open
/// deliveries first, then streams; rows by ID.
/// </summary>
public static class OpenDeliveryTable
{
    // However many rows are in the queues.
    private const int LookSeconds = 300;

    internal const string Columns = "delivery_id, notification, queue, state, attempts, enqueued_at, due_at, reason";

    /// <summary>Adds rows; one that is there already stays as it is.</summary>
    public static async Task AddAsync(NpgsqlConnection connection, IReadOnlyList<OpenDelivery> rows, CancellationToken cancellation)
    {
        if (rows.Count == 0)
            return;
        await using var command = SqlCommands.Create(
            connection,
            """
            insert into notify.open_deliveries (delivery_id, notification, queue, state, attempts, enqueued_at, due_at, reason)
            select * from unnest($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing
            """,
            rows.Select(r => r.Id).ToArray(),
            rows.Select(r => r.Notification).ToArray(),
            rows.Select(r => r.Queue.Code).ToArray(),
            rows.Select(r => (short)r.State).ToArray(),
            rows.Select(r => r.Attempts).ToArray(),
            rows.Select(r => r.EnqueuedAt).ToArray(),
            rows.Select(r => r.DueAt).ToArray(),
            rows.Select(r => r.Reason).ToArray()
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>
    /// Claims queued deliveries for one slice of work: from here to its settlement nobody else touches them. A row that another
    /// transaction has locked is passed over; a poll finds it when it is free.
    /// </summary>
    /// <param name="claim">Names the slice, so that a claim whose commit's answer was lost can be repeated.</param>
    public static Task<List<OpenDelivery>> ClaimAsync(
        NpgsqlConnection connection,
        Guid[] ids,
        Guid owner,
        Guid claim,
        CancellationToken cancellation
    ) =>
        ReadAsync(
            SqlCommands.Create(
                connection,
                $"""
                with mine as (
                    select delivery_id as id from notify.open_deliveries
                    where delivery_id = any($1) and (state in (0, 6) or (state = 1 and claim = $3))
                    order by delivery_id for update skip locked)
                update notify.open_deliveries set state = 1, owner = $2, claim = $3 from mine where delivery_id = mine.id
                returning {Columns}
                """,
                ids,
                owner,
                claim
            ),
            cancellation
        );

    /// <summary>Removes deliveries that have come to their end.</summary>
    public static async Task RemoveAsync(NpgsqlConnection connection, Guid[] ids, CancellationToken cancellation)
    {
        if (ids.Length == 0)
            return;
        await using var command = SqlCommands.Create(connection, "delete from notify.open_deliveries where delivery_id = any($1)", ids);
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Notes of deliveries in flight that a receipt ended them: nothing follows any more from what their calls come to.</summary>
    public static async Task EndInFlightAsync(NpgsqlConnection connection, Guid[] ids, CancellationToken cancellation)
    {
        if (ids.Length == 0)
            return;
        await using var command = SqlCommands.Create(
            connection,
            "update notify.open_deliveries set has_ended = true where delivery_id = any($1) and state = 1",
            ids
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Gives deliveries a new state, time and reason, and releases their claims; missing rows are made anew.</summary>
    public static async Task PutAsync(NpgsqlConnection connection, IReadOnlyList<OpenDelivery> rows, CancellationToken cancellation)
    {
        if (rows.Count == 0)
            return;
        await using var command = SqlCommands.Create(
            connection,
            """
            insert into notify.open_deliveries as d (delivery_id, notification, queue, state, attempts, enqueued_at, due_at, reason)
            select * from unnest($1, $2, $3, $4, $5, $6, $7, $8)
            on conflict (delivery_id) do update
            set state = excluded.state, attempts = excluded.attempts, due_at = excluded.due_at, reason = excluded.reason, owner = null, claim = null, has_ended = false
            """,
            rows.Select(r => r.Id).ToArray(),
            rows.Select(r => r.Notification).ToArray(),
            rows.Select(r => r.Queue.Code).ToArray(),
            rows.Select(r => (short)r.State).ToArray(),
            rows.Select(r => r.Attempts).ToArray(),
            rows.Select(r => r.EnqueuedAt).ToArray(),
            rows.Select(r => r.DueAt).ToArray(),
            rows.Select(r => r.Reason).ToArray()
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Deletes all waiting rows of a notification: queued, deferred, or not yet planned. Rows in flight stay.</summary>
    /// <returns>The IDs taken out.</returns>
    public static async Task<List<Guid>> TakeWaitingAsync(NpgsqlConnection connection, string notification, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(
            connection,
            """
            with waiting as (
                select delivery_id as id from notify.open_deliveries where notification = $1 and state in (0, 2, 5) order by delivery_id for update)
            delete from notify.open_deliveries using waiting where delivery_id = waiting.id returning delivery_id
            """,
            notification
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var ids = new List<Guid>();
        while (await reader.ReadAsync(cancellation))
            ids.Add(reader.GetGuid(0));
        return ids;
    }

    /// <summary>Locks rows that are due; rows that another host has locked are skipped.</summary>
    public static Task<List<OpenDelivery>> DueAsync(
        NpgsqlConnection connection,
        DateTimeOffset now,
        int limit,
        CancellationToken cancellation
    ) =>
        ReadAsync(
            SqlCommands.Create(
                connection,
                $"select {Columns} from notify.open_deliveries where due_at <= $1 order by due_at limit $2 for update skip locked",
                now,
                limit
            ),
            cancellation
        );

    /// <summary>Locks those of some rows that are due; rows that another host has locked are passed over.</summary>
    public static Task<List<OpenDelivery>> DueAsync(
        NpgsqlConnection connection,
        DateTimeOffset now,
        Guid[] ids,
        CancellationToken cancellation
    ) =>
        ReadAsync(
            SqlCommands.Create(
                connection,
                $"""
                select {Columns} from notify.open_deliveries where delivery_id = any($2) and due_at <= $1 order by delivery_id
                for update skip locked
                """,
                now,
                ids
            ),
            cancellation
        );

    // A row in flight has a client (see the schema), so these queries use the index of the queues. They skip scheduled, deferred and
    // dead rows, however many there are.
    private const string InFlight = "state = 1 and client is not null";

    /// <summary>The claims under which a host has rows in flight.</summary>
    public static async Task<List<Guid>> ClaimsOfAsync(NpgsqlConnection connection, Guid owner, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(
            connection,
            $"select distinct claim from notify.open_deliveries where {InFlight} and owner = $1",
            owner
        );
        command.CommandTimeout = LookSeconds;
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var claims = new List<Guid>();
        while (await reader.ReadAsync(cancellation))
            claims.Add(reader.GetGuid(0));
        return claims;
    }

    /// <summary>Locks rows in flight whose host is stale or has signed off, or whose claim was given up.</summary>
    /// <param name="givenUp">Claims that their own, live host does not know.</param>
    /// <param name="gone">Stale hosts, each with its last heartbeat. A host that has written another one since is skipped: it owns the rows
    /// that it has claimed since then.</param>
    /// <param name="except">Deliveries that are not locked.</param>
    public static Task<List<OpenDelivery>> AbandonedAsync(
        NpgsqlConnection connection,
        Guid[] givenUp,
        IReadOnlyCollection<(Guid Host, DateTimeOffset LastSign)> gone,
        Guid[] except,
        int limit,
        CancellationToken cancellation
    )
    {
        var command = SqlCommands.Create(
            connection,
            $"""
            select {Columns} from notify.open_deliveries
            where {InFlight} and delivery_id <> all($5) and (claim = any($1) or owner not in (select id from notify.dispatchers)
                or owner in (
                    select d.id from notify.dispatchers d
                    join unnest($2, $3) as gone (id, sign) on gone.id = d.id and gone.sign = d.seen_at))
            limit $4 for update skip locked
            """,
            givenUp,
            gone.Select(g => g.Host).ToArray(),
            gone.Select(g => g.LastSign).ToArray(),
            limit,
            except
        );
        command.CommandTimeout = LookSeconds;
        return ReadAsync(command, cancellation);
    }

    /// <summary>Gives rows another time; <c>null</c>: none.</summary>
    public static async Task PostponeAsync(NpgsqlConnection connection, Guid[] ids, DateTimeOffset? until, CancellationToken cancellation)
    {
        if (ids.Length == 0)
            return;
        await using var command = SqlCommands.Create(
            connection,
            "update notify.open_deliveries set due_at = $2 where delivery_id = any($1)",
            ids,
            new NpgsqlParameter<DateTimeOffset?> { TypedValue = until }
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>When the next row is due after a time; <c>null</c>: never.</summary>
    public static async Task<DateTimeOffset?> NextDueAsync(
        NpgsqlConnection connection,
        DateTimeOffset after,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            "select due_at from notify.open_deliveries where due_at > $1 order by due_at limit 1",
            after
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        return await reader.ReadAsync(cancellation) ? reader.GetFieldValue<DateTimeOffset>(0) : null;
    }

    /// <summary>
    /// Makes rows due that wait longer than their longest wait: the clock of their time has been set back since. Rows that wait
    /// for a time of day have no such limit, and go on waiting.
    /// </summary>
    /// <param name="limits">The longest wait by state and reason; a reason of <c>null</c> stands for all.</param>
    /// <returns>How many; a full page means that there are more.</returns>
    public static async Task<int> PullInAsync(
        NpgsqlConnection connection,
        DateTimeOffset now,
        IReadOnlyCollection<(OpenState State, string? Reason, TimeSpan Longest)> limits,
        int page,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            """
            update notify.open_deliveries set due_at = $1 where delivery_id = any(array(
                select d.delivery_id from notify.open_deliveries d join unnest($2, $3, $4) as l (state, reason, until)
                    on d.state = l.state and (l.reason is null or d.reason = l.reason) and d.due_at > l.until
                order by d.delivery_id limit $5 for update of d skip locked))
            """,
            now,
            limits.Select(l => (short)l.State).ToArray(),
            limits.Select(l => l.Reason).ToArray(),
            limits.Select(l => now + l.Longest).ToArray(),
            page
        );
        command.CommandTimeout = 600; // however many rows wait
        return await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Reads rows by ID and locks them.</summary>
    public static Task<List<OpenDelivery>> LockAsync(NpgsqlConnection connection, Guid[] ids, CancellationToken cancellation) =>
        ReadAsync(
            SqlCommands.Create(
                connection,
                $"select {Columns} from notify.open_deliveries where delivery_id = any($1) order by delivery_id for update",
                ids
            ),
            cancellation
        );

    /// <summary>Reads dead letters, the newest first.</summary>
    public static Task<List<OpenDelivery>> DeadAsync(
        NpgsqlConnection connection,
        string? clientPrefix,
        string? reason,
        int limit,
        CancellationToken cancellation,
        Lane? lane = null,
        Priority? priority = null
    ) =>
        ReadAsync(
            SqlCommands.Create(
                connection,
                $"""
                select {Columns} from notify.open_deliveries
                where state = 4 and ($1 is null or starts_with(notification, $1)) and ($2 is null or reason = $2) and queue = any($4)
                order by enqueued_at desc, delivery_id limit $3
                """,
                Text(clientPrefix),
                Text(reason),
                limit,
                DeliveryQueue
                    .All.Where(q => q.Lane == (lane ?? q.Lane) && q.Priority == (priority ?? q.Priority))
                    .Select(q => q.Code)
                    .ToArray()
            ),
            cancellation
        );

    private static NpgsqlParameter Text(string? value) =>
        new() { Value = (object?)value ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text };

    internal static async Task<List<OpenDelivery>> ReadAsync(NpgsqlCommand command, CancellationToken cancellation)
    {
        await using (command)
        {
            await using var reader = await command.ExecuteReaderAsync(cancellation);
            var rows = new List<OpenDelivery>();
            while (await reader.ReadAsync(cancellation))
            {
                rows.Add(
                    new OpenDelivery(
                        reader.GetGuid(0),
                        reader.GetString(1),
                        DeliveryQueue.FromCode(reader.GetInt16(2)),
                        (OpenState)reader.GetInt16(3),
                        reader.GetInt32(4),
                        reader.GetFieldValue<DateTimeOffset>(5),
                        reader.IsDBNull(6) ? null : reader.GetFieldValue<DateTimeOffset>(6),
                        reader.IsDBNull(7) ? null : reader.GetString(7)
                    )
                );
            }

            return rows;
        }
    }
}
