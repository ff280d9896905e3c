namespace Notify.Delivery.DeliveryQueue;

using Notify.Domain.Channels;
using Notify.Domain.Planning;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>
/// Claims deliveries of a queue by client and age instead of by name. A queue message then is a permit to work on so many
/// deliveries: the deliveries that one message leaves, another message or a poll finds.
/// </summary>
public static class FairPick
{
    /// <summary>How many waiting clients are read at a time.</summary>
    public const int MaxClients = 500;

    /// <summary>Reads the clients that have deliveries waiting in a queue, in the order of their IDs, and goes round once.</summary>
    /// <param name="after">The client that had the last turn; the one behind it comes first.</param>
    public static async Task<WaitingClients> WaitingAsync(
        NpgsqlConnection connection,
        DeliveryQueue queue,
        CancellationToken cancellation,
        string after = "",
        int most = MaxClients
    )
    {
        // From one client to the next along the index, however many rows each has.
        await using var command = SqlCommands.Create(
            connection,
            """
            with recursive behind (client) as (
                (select client from notify.open_deliveries where queue = $1 and client > $3 order by client limit 1)
                union all
                select (select d.client from notify.open_deliveries d
                        where d.queue = $1 and d.client > behind.client order by d.client limit 1)
                from behind where behind.client is not null),
            before (client) as (
                (select client from notify.open_deliveries where queue = $1 and client <= $3 order by client limit 1)
                union all
                select (select d.client from notify.open_deliveries d
                        where d.queue = $1 and d.client > before.client and d.client <= $3 order by d.client limit 1)
                from before where before.client is not null)
            select found.client from (select client from behind union all select client from before) found
            where found.client is not null
              and exists (select 1 from notify.open_deliveries d where d.queue = $1 and d.client = found.client and d.state in (0, 6) limit 1)
            limit $2
            """,
            queue.Code,
            most,
            after
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var clients = new List<string>();
        while (await reader.ReadAsync(cancellation))
            clients.Add(reader.GetString(0));
        return new WaitingClients(clients, AreAll: clients.Count < most);
    }

    /// <summary>Claims each client's oldest deliveries, up to its share. Rows that another transaction is claiming are skipped.</summary>
    public static Task<List<OpenDelivery>> ClaimAsync(
        NpgsqlConnection connection,
        DeliveryQueue queue,
        IReadOnlyList<FairShare> shares,
        Guid owner,
        Guid claim,
        CancellationToken cancellation
    ) =>
        OpenDeliveryTable.ReadAsync(
            SqlCommands.Create(
                connection,
                $"""
                update notify.open_deliveries set state = 1, owner = $4, claim = $5 where delivery_id = any (array(
                    select oldest.delivery_id from unnest($2, $3) as share (client, places), lateral (
                        select d.delivery_id from notify.open_deliveries d
                        where d.queue = $1 and d.client = share.client and d.state in (0, 6)
                        order by d.enqueued_at limit share.places for update skip locked) oldest))
                returning {OpenDeliveryTable.Columns}
                """,
                queue.Code,
                shares.Select(s => s.Client).ToArray(),
                shares.Select(s => s.Places).ToArray(),
                owner,
                claim
            ),
            cancellation
        );

    /// <summary>Reads the deliveries of a claim whose commit's answer was lost.</summary>
    public static Task<List<OpenDelivery>> ClaimedAsync(
        NpgsqlConnection connection,
        DeliveryQueue queue,
        Guid owner,
        Guid claim,
        CancellationToken cancellation
    ) =>
        OpenDeliveryTable.ReadAsync(
            SqlCommands.Create(
                connection,
                $"select {OpenDeliveryTable.Columns} from notify.open_deliveries where queue = $3 and client is not null and "
                    + "state = 1 and owner = $1 and claim = $2 order by delivery_id for update",
                owner,
                claim,
                queue.Code
            ),
            cancellation
        );
}
