namespace Notify.Delivery.Messaging;

using Npgsql;

/// <summary>
/// The transport of an installation, recorded by the migration, so that no host sends where none listens. After a change, the
/// messages in the old queues are sent again over the new transport; claims make a second message harmless.
/// </summary>
public static class TransportMark
{
    /// <summary>Writes the transport down.</summary>
    /// <returns>How many deliveries are sent again, since the transport has changed.</returns>
    public static async Task<int> SetAsync(NpgsqlDataSource database, NotifyTransport transport, CancellationToken cancellation)
    {
        await using var connection = await database.OpenConnectionAsync(cancellation);
        await using var transaction = await connection.BeginTransactionAsync(cancellation);
        await using var mark = new NpgsqlCommand(
            """
            insert into notify.transport (name, since) values ($1, now())
            on conflict (only_row) do update set name = excluded.name, since = excluded.since where transport.name <> excluded.name
            returning name
            """,
            connection
        )
        {
            Parameters = { new NpgsqlParameter { Value = transport.ToString() } },
        };
        var again = 0;
        if (await mark.ExecuteScalarAsync(cancellation) is not null)
        {
            // Outbox and inbox rows of the other transport have nowhere to go.
            var other = transport == NotifyTransport.RabbitMq ? "postgresql:%" : "rabbitmq%";
            foreach (
                var (table, column) in new[]
                {
                    ("api_messages.wolverine_outgoing_envelopes", "destination"),
                    ("dispatch_messages.wolverine_outgoing_envelopes", "destination"),
                    ("dispatch_messages.wolverine_incoming_envelopes", "received_at"),
                }
            )
            {
                await using var there = new NpgsqlCommand($"select to_regclass('{table}') is not null", connection);
                if (await there.ExecuteScalarAsync(cancellation) is not true)
                    continue;
                await using var clear = new NpgsqlCommand($"delete from {table} where {column} like $1", connection)
                {
                    Parameters = { new NpgsqlParameter { Value = other } },
                };
                await clear.ExecuteNonQueryAsync(cancellation);
            }

            await using var due = new NpgsqlCommand("update notify.open_deliveries set due_at = now() where state in (0, 6)", connection);
            again = await due.ExecuteNonQueryAsync(cancellation);
        }

        await transaction.CommitAsync(cancellation);
        return again;
    }

    /// <summary>Checks that this host's transport is the installation's.</summary>
    /// <returns>The fault and its fix; <c>null</c> when there is none.</returns>
    public static async Task<string?> CheckAsync(NpgsqlDataSource database, NotifyTransport transport, CancellationToken cancellation)
    {
        await using var command = database.CreateCommand("select name from notify.transport");
        var name = await command.ExecuteScalarAsync(cancellation) as string;
        return name == transport.ToString()
            ? null
            : $"Notify:Transport is {transport}, and this installation was migrated for {name ?? "none"}; set Notify:Transport in all hosts alike, or run the migrate command of Projections to change it";
    }
}
