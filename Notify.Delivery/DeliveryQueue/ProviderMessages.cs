namespace Notify.Delivery.DeliveryQueue;

using Npgsql;

/// <summary>Which delivery a provider's message belongs to: <c>notify.provider_messages</c>.</summary>
public static class ProviderMessages
{
    /// <summary>
    /// Records messages in the caller's transaction. The first delivery keeps a message; a message of two identifies neither.
    /// </summary>
    /// <returns>The deliveries whose message belongs to another one.</returns>
    public static async Task<HashSet<Guid>> NoteAsync(
        NpgsqlConnection connection,
        IReadOnlyList<(string Provider, string MessageId, Guid Delivery, string Notification)> messages,
        CancellationToken cancellation
    )
    {
        var others = new HashSet<Guid>();
        if (messages.Count == 0)
            return others;
        var sorted = messages.OrderBy(m => m.Provider, StringComparer.Ordinal).ThenBy(m => m.MessageId, StringComparer.Ordinal).ToList();
        // More than one statement: the later ones see what a racing transaction committed while the first waited for it.
        await using var batch = new NpgsqlBatch(connection);
        foreach (
            var sql in new[]
            {
                """
                    insert into notify.provider_messages (provider, message_id, delivery_id, notification) select * from unnest($1, $2, $3, $4) on conflict do nothing
                    """,
                """
                    with taken as (
                        select provider, message_id from unnest($1, $2, $3, $4) as n(provider, message_id, delivery_id, notification)
                        join notify.provider_messages m using (provider, message_id) where m.delivery_id <> n.delivery_id and not m.is_shared
                        order by provider, message_id for update of m)
                    update notify.provider_messages m set is_shared = true from taken where m.provider = taken.provider and m.message_id = taken.message_id
                    """,
                """
                    select n.delivery_id from unnest($1, $2, $3, $4) as n(provider, message_id, delivery_id, notification)
                    join notify.provider_messages m using (provider, message_id) where m.delivery_id <> n.delivery_id
                    """,
            }
        )
        {
            batch.BatchCommands.Add(
                new NpgsqlBatchCommand(sql)
                {
                    Parameters =
                    {
                        new NpgsqlParameter { Value = sorted.Select(m => m.Provider).ToArray() },
                        new NpgsqlParameter { Value = sorted.Select(m => m.MessageId).ToArray() },
                        new NpgsqlParameter { Value = sorted.Select(m => m.Delivery).ToArray() },
                        new NpgsqlParameter { Value = sorted.Select(m => m.Notification).ToArray() },
                    },
                }
            );
        }

        await using var reader = await batch.ExecuteReaderAsync(cancellation);
        while (await reader.ReadAsync(cancellation))
            others.Add(reader.GetGuid(0));
        return others;
    }

    /// <summary>The first of these messages that belongs to no other delivery; <c>null</c> if all do.</summary>
    public static async Task<string?> FirstFreeAsync(
        NpgsqlDataSource database,
        string provider,
        IReadOnlyList<string> messageIds,
        Guid delivery,
        CancellationToken cancellation
    )
    {
        await using var command = database.CreateCommand(
            "select message_id from notify.provider_messages where provider = $1 and message_id = any($2) and delivery_id <> $3"
        );
        command.Parameters.Add(new NpgsqlParameter { Value = provider });
        command.Parameters.Add(new NpgsqlParameter { Value = messageIds.ToArray() });
        command.Parameters.Add(new NpgsqlParameter { Value = delivery });
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var others = new HashSet<string>();
        while (await reader.ReadAsync(cancellation))
            others.Add(reader.GetString(0));
        return messageIds.FirstOrDefault(m => !others.Contains(m));
    }
}
