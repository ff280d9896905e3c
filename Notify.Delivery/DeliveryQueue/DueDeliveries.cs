namespace Notify.Delivery.DeliveryQueue;

using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>
/// Due deliveries that are served in turn with each other: those of one queue, or the notifications to be planned at one priority.
/// </summary>
/// <param name="IsPlanning">Whether they wait to be planned. These have no lane yet, and no reason for waiting.</param>
public readonly record struct DueFlow(DeliveryQueue Queue, bool IsPlanning)
{
    /// <summary>All that there may be.</summary>
    public static IReadOnlyList<DueFlow> All { get; } =
    [.. from queue in DeliveryQueue.All from isPlanning in new[] { false, true } select new DueFlow(queue, isPlanning)];
}

/// <summary>
/// Locks pages of due deliveries: the highest priority first, then lanes in turn, then clients in turn, then the oldest. So a page
/// never contains only one lane's or client's flood while others wait.
/// </summary>
/// <remarks>
/// Where a page has room for all due rows, it is read by time alone. Clients of critical deliveries are read for each page, the
/// others once a <see cref="Interval"/>.
/// </remarks>
public sealed class DueDeliveries(TimeProvider clock)
{
    /// <summary>How old the knowledge of waiting clients may be.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    // As the index open_deliveries_due_turn has them.
    private const string Planning = "(case when d.reason is null then 1 else 0 end)";
    private const string Client = "(substr(split_part(d.notification, ':', 1), 3) collate \"C\")";
    private const string OfFlow =
        $"notify.open_deliveries d where d.queue = flow.code and {Planning} = flow.planning and d.due_at is not null";

    private readonly Dictionary<DueFlow, ClientRotation> rotations = DueFlow.All.ToDictionary(f => f, _ => new ClientRotation());
    private long readAt,
        turn;

    /// <summary>Locks a page; rows that another host has locked are passed over.</summary>
    /// <returns>The rows, and whether more may be due.</returns>
    public async Task<(List<OpenDelivery> Rows, bool AreMore)> LockAsync(
        NpgsqlConnection connection,
        DateTimeOffset now,
        int limit,
        CancellationToken cancellation
    )
    {
        if (!await AreMoreAsync(connection, now, limit, cancellation))
            return (await OpenDeliveryTable.DueAsync(connection, now, limit, cancellation), false);

        await ReadAsync(connection, now, DueFlow.All.Where(f => f.Queue.Priority == Priority.Critical), cancellation);
        if (MustRead())
            await ReadAsync(connection, now, DueFlow.All.Where(f => f.Queue.Priority != Priority.Critical), cancellation);
        var rows = new List<OpenDelivery>(limit);
        foreach (var priority in Enum.GetValues<Priority>())
            await LockAsync(connection, now, priority, limit, rows, cancellation);
        // The known clients have nothing left that is not locked.
        if (rows.Count == 0)
            rows = await OpenDeliveryTable.DueAsync(connection, now, limit, cancellation);
        return (rows, rows.Count > 0);
    }

    private async Task LockAsync(
        NpgsqlConnection connection,
        DateTimeOffset now,
        Priority priority,
        int limit,
        List<OpenDelivery> rows,
        CancellationToken cancellation
    )
    {
        var waiting = rotations.Where(r => r.Key.Queue.Priority == priority && r.Value.Count > 0).Select(r => r.Key).ToList();
        var spent = waiting.ToDictionary(f => f, _ => new HashSet<string>(StringComparer.Ordinal));
        while (rows.Count < limit && waiting.Count > 0)
        {
            var shares = Divide(waiting, spent, limit - rows.Count);
            waiting.RemoveAll(f => shares.All(s => s.Flow != f));
            if (shares.Count == 0)
                continue;
            var taken = await LockAsync(connection, now, shares, [.. rows.Select(r => r.Id)], cancellation);
            rows.AddRange(taken);
            var counts = taken
                .CountBy(r => (new DueFlow(r.Queue, r.Reason is null), NotificationKey.Parse(r.Notification)?.ClientId))
                .ToDictionary();
            foreach (var (flow, share) in shares)
            {
                if (counts.GetValueOrDefault((flow, share.Client)) < share.Places)
                    spent[flow].Add(share.Client);
            }
        }
    }

    // Each flow gets an equal part; the flow that comes first gets what cannot be divided.
    private List<(DueFlow Flow, FairShare Share)> Divide(List<DueFlow> waiting, Dictionary<DueFlow, HashSet<string>> spent, int places)
    {
        var first = (int)(Interlocked.Increment(ref turn) % waiting.Count);
        var (each, rest) = Math.DivRem(places, waiting.Count);
        return
        [
            .. Enumerable
                .Range(0, waiting.Count)
                .SelectMany(i =>
                {
                    var flow = waiting[(first + i) % waiting.Count];
                    var part = each + (i < rest ? 1 : 0);
                    return (part == 0 ? [] : rotations[flow].Take(part, spent[flow])).Select(share => (flow, share));
                }),
        ];
    }

    // A transaction does not pass over the rows that it has locked itself.
    private static Task<List<OpenDelivery>> LockAsync(
        NpgsqlConnection connection,
        DateTimeOffset now,
        List<(DueFlow Flow, FairShare Share)> shares,
        Guid[] locked,
        CancellationToken cancellation
    ) =>
        OpenDeliveryTable.ReadAsync(
            SqlCommands.Create(
                connection,
                $"""
                select oldest.* from unnest($2, $3, $4, $5) as flow (code, planning, client, places), lateral (
                    select {OpenDeliveryTable.Columns} from {OfFlow} and {Client} = flow.client and d.due_at <= $1 and d.delivery_id <> all($6)
                    order by d.due_at limit flow.places for update skip locked) oldest
                """,
                now,
                shares.Select(s => s.Flow.Queue.Code).ToArray(),
                shares.Select(s => s.Flow.IsPlanning ? 1 : 0).ToArray(),
                shares.Select(s => s.Share.Client).ToArray(),
                shares.Select(s => s.Share.Places).ToArray(),
                locked
            ),
            cancellation
        );

    private static async Task<bool> AreMoreAsync(NpgsqlConnection connection, DateTimeOffset now, int limit, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(
            connection,
            "select count(*) > $2 from (select 1 from notify.open_deliveries where due_at <= $1 limit $2 + 1) few",
            now,
            limit
        );
        return (bool)(await command.ExecuteScalarAsync(cancellation))!;
    }

    private bool MustRead()
    {
        var (now, last) = (clock.GetTimestamp(), Interlocked.Read(ref readAt));
        var isUsedUp = rotations.Values.Any(r => r.IsUsedUp);
        return (last == 0 || isUsedUp || clock.GetElapsedTime(last, now) >= Interval)
            && Interlocked.CompareExchange(ref readAt, now, last) == last;
    }

    // From one client to the next along the index, however many rows each has; those behind the client that was served last come first.
    private async Task ReadAsync(
        NpgsqlConnection connection,
        DateTimeOffset now,
        IEnumerable<DueFlow> flows,
        CancellationToken cancellation
    )
    {
        var asked = flows.ToList();
        await using var command = SqlCommands.Create(
            connection,
            $"""
            select flow.code, flow.planning, waiting.client from unnest($2, $3, $4) as flow (code, planning, after), lateral (
                with recursive behind (client) as (
                    (select {Client} as client from {OfFlow} and {Client} > flow.after order by 1 limit 1)
                    union all
                    select (select {Client} as client from {OfFlow} and {Client} > behind.client order by 1 limit 1)
                    from behind where behind.client is not null),
                before (client) as (
                    (select {Client} as client from {OfFlow} and {Client} <= flow.after order by 1 limit 1)
                    union all
                    select (select {Client} as client from {OfFlow} and {Client} > before.client and {Client} <= flow.after
                        order by 1 limit 1)
                    from before where before.client is not null)
                select found.client from (select client from behind union all select client from before) found
                where found.client is not null and exists (select 1 from {OfFlow} and {Client} = found.client and d.due_at <= $1 limit 1)
                limit $5) waiting
            """,
            now,
            asked.Select(f => f.Queue.Code).ToArray(),
            asked.Select(f => f.IsPlanning ? 1 : 0).ToArray(),
            asked.Select(f => rotations[f].After).ToArray(),
            FairPick.MaxClients
        );
        var found = asked.ToDictionary(f => f, _ => new List<string>());
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        while (await reader.ReadAsync(cancellation))
            found[new DueFlow(DeliveryQueue.FromCode(reader.GetInt16(0)), reader.GetInt32(1) == 1)].Add(reader.GetString(2));
        foreach (var (flow, clients) in found)
            rotations[flow].Read(new WaitingClients(clients, clients.Count < FairPick.MaxClients));
    }
}
