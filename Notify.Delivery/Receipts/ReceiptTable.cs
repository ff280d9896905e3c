namespace Notify.Delivery.Receipts;

using System.Text.Json;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Notify.Infrastructure.Json;
using Notify.Infrastructure.Postgres;
using Npgsql;
using NpgsqlTypes;

/// <summary>Set-based statements over <c>notify.receipts</c>, in the caller's transaction. Rows that wait are locked before open deliveries
/// and streams.</summary>
public static class ReceiptTable
{
    private const string Columns =
        "provider, event_id, received_at, modes, what, message_id, delivery_id, notification, facts, raw, due_at";

    // The raw text has a row of its own, which retention may drop; those of earlier versions are in the receipt's row.
    private const string Read = """
        select r.provider, r.event_id, r.received_at, r.modes, r.what, r.message_id, r.delivery_id, r.notification, r.facts,
               coalesce(t.raw, r.raw), r.due_at
        from notify.receipts r
        left join notify.receipt_texts t on t.provider = r.provider and t.event_id = r.event_id and t.received_at = r.received_at
        """;

    /// <summary>Which of these receipts are kept already.</summary>
    public static async Task<HashSet<(string Provider, string EventId)>> KnownAsync(
        NpgsqlConnection connection,
        IReadOnlyCollection<(string Provider, string EventId)> receipts,
        CancellationToken cancellation
    )
    {
        await using var command = new NpgsqlCommand(
            "select r.provider, r.event_id from unnest($1, $2) as n (provider, event_id) join notify.receipts r using (provider, event_id)",
            connection
        );
        command.Parameters.Add(new NpgsqlParameter { Value = receipts.Select(r => r.Provider).ToArray() });
        command.Parameters.Add(new NpgsqlParameter { Value = receipts.Select(r => r.EventId).ToArray() });
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var known = new HashSet<(string, string)>();
        while (await reader.ReadAsync(cancellation))
            known.Add((reader.GetString(0), reader.GetString(1)));
        return known;
    }

    /// <summary>Stores receipts: waiting ones are updated, new ones are added.</summary>
    public static async Task PutAsync(NpgsqlConnection connection, IEnumerable<ReceiptRow> receipts, CancellationToken cancellation)
    {
        var rows = receipts.OrderBy(r => r.Provider, StringComparer.Ordinal).ThenBy(r => r.EventId, StringComparer.Ordinal).ToList();
        if (rows.Count == 0)
            return;
        // The first writer's row is kept, unless that row waits to be processed.
        await using var command = new NpgsqlCommand(
            $"""
            insert into notify.receipts as r ({Columns})
            select t.provider, t.event_id, t.received_at, t.modes, t.what, t.message_id, t.delivery_id, t.notification, t.facts, t.raw, t.due_at
            from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) as t ({Columns})
            on conflict (provider, event_id) do update
            set delivery_id = excluded.delivery_id, notification = excluded.notification, raw = '', due_at = excluded.due_at
            where r.due_at is not null
            """,
            connection
        );
        command.Parameters.Add(new NpgsqlParameter { Value = rows.Select(r => r.Provider).ToArray() });
        command.Parameters.Add(new NpgsqlParameter { Value = rows.Select(r => r.EventId).ToArray() });
        command.Parameters.Add(new NpgsqlParameter { Value = rows.Select(r => r.ReceivedAt).ToArray() });
        command.Parameters.Add(new NpgsqlParameter { Value = rows.Select(r => (short)r.Modes).ToArray() });
        command.Parameters.Add(new NpgsqlParameter { Value = rows.Select(r => r.What.ToString()).ToArray() });
        command.Parameters.Add(new NpgsqlParameter { Value = rows.Select(r => r.MessageId).ToArray() });
        command.Parameters.Add(new NpgsqlParameter { Value = rows.Select(r => r.DeliveryId).ToArray() });
        command.Parameters.Add(new NpgsqlParameter { Value = rows.Select(r => r.Notification).ToArray() });
        command.Parameters.Add(
            new NpgsqlParameter
            {
                Value = rows.Select(r => JsonSerializer.Serialize(r.Facts, NotifyJson.Options)).ToArray(),
                NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Jsonb,
            }
        );
        command.Parameters.Add(new NpgsqlParameter { Value = rows.Select(_ => "").ToArray() });
        command.Parameters.Add(new NpgsqlParameter { Value = rows.Select(r => r.DueAt).ToArray() });
        await command.ExecuteNonQueryAsync(cancellation);
        await PutTextsAsync(connection, rows, cancellation);
    }

    // The first post keeps its text, as its row: for a receipt that is kept already no row was written, and none has this time.
    private static async Task PutTextsAsync(NpgsqlConnection connection, List<ReceiptRow> rows, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(
            connection,
            """
            insert into notify.receipt_texts as t (provider, event_id, received_at, raw)
            select n.provider, n.event_id, n.received_at, n.raw from unnest($1, $2, $3, $4) as n(provider, event_id, received_at, raw)
            join notify.receipts r on r.provider = n.provider and r.event_id = n.event_id and r.received_at = n.received_at
            on conflict (provider, event_id, received_at) do update set raw = excluded.raw
            """,
            rows.Select(r => r.Provider).ToArray(),
            rows.Select(r => r.EventId).ToArray(),
            rows.Select(r => r.ReceivedAt).ToArray(),
            rows.Select(r => r.Raw.Text).ToArray()
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Locks receipts that wait and are due; those that another host has locked are passed over.</summary>
    public static async Task<List<ReceiptRow>> DueAsync(
        NpgsqlConnection connection,
        DateTimeOffset now,
        int limit,
        CancellationToken cancellation
    )
    {
        await using var command = new NpgsqlCommand(
            $"{Read} where r.due_at <= $1 order by r.due_at limit $2 for update of r skip locked",
            connection
        );
        command.Parameters.Add(new NpgsqlParameter { Value = now });
        command.Parameters.Add(new NpgsqlParameter { Value = limit });
        return await ReadAsync(command, cancellation);
    }

    /// <summary>Puts off the receipt that is due first.</summary>
    public static async Task PostponeFirstAsync(
        NpgsqlConnection connection,
        DateTimeOffset now,
        TimeSpan wait,
        CancellationToken cancellation
    )
    {
        await using var command = new NpgsqlCommand(
            "update notify.receipts set due_at = $2 where (provider, event_id) in (select provider, event_id from "
                + "notify.receipts where due_at <= $1 order by due_at limit 1 for update skip locked)",
            connection
        );
        command.Parameters.Add(new NpgsqlParameter { Value = now });
        command.Parameters.Add(new NpgsqlParameter { Value = now + wait });
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>A notification's receipts, as they came.</summary>
    public static async Task<List<ReceiptRow>> OfAsync(NpgsqlConnection connection, string notification, CancellationToken cancellation)
    {
        await using var command = new NpgsqlCommand(
            $"{Read} where r.notification = $1 order by r.received_at, r.provider, r.event_id",
            connection
        );
        command.Parameters.Add(new NpgsqlParameter { Value = notification });
        return await ReadAsync(command, cancellation);
    }

    private static async Task<List<ReceiptRow>> ReadAsync(NpgsqlCommand command, CancellationToken cancellation)
    {
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var rows = new List<ReceiptRow>();
        while (await reader.ReadAsync(cancellation))
        {
            rows.Add(
                new ReceiptRow(
                    reader.GetString(0),
                    reader.GetString(1),
                    reader.GetFieldValue<DateTimeOffset>(2),
                    (ReceiptModes)reader.GetInt16(3),
                    Enum.Parse<ReportKind>(reader.GetString(4)),
                    reader.IsDBNull(5) ? null : reader.GetString(5),
                    reader.IsDBNull(6) ? null : reader.GetGuid(6),
                    reader.IsDBNull(7) ? null : reader.GetString(7),
                    JsonSerializer.Deserialize<ReceiptFacts>(reader.GetString(8), NotifyJson.Options)!,
                    new Sealed(reader.GetString(9)),
                    reader.IsDBNull(10) ? null : reader.GetFieldValue<DateTimeOffset>(10)
                )
            );
        }

        return rows;
    }
}
