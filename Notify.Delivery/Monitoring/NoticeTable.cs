namespace Notify.Delivery.Monitoring;

using Npgsql;

/// <summary>A post that is due.</summary>
/// <param name="Attempts">Which attempt this is, from 1.</param>
public sealed record DueNotice(string Id, string Body, int Attempts);

/// <summary>Statements over <c>notify.alert_notices</c>: posts to the webhook that are still to be sent.</summary>
public static class NoticeTable
{
    private static readonly TimeSpan Kept = TimeSpan.FromDays(30);

    /// <summary>Adds a post in the caller's transaction, and forgets what was delivered long ago.</summary>
    public static async Task AddAsync(
        NpgsqlConnection connection,
        Trouble trouble,
        AlertNotice notice,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        await using var batch = new NpgsqlBatch(connection)
        {
            BatchCommands =
            {
                Command(
                    "insert into notify.alert_notices (id, trouble, type, body, created_at, due_at) values ($1, $2, $3, $4, $5, $5)",
                    AlertNotice.IdOf(trouble),
                    trouble.Id,
                    AlertNotice.TypeOf(trouble),
                    notice.Body(),
                    now
                ),
                Command("delete from notify.alert_notices where delivered_at < $1", now - Kept),
            },
        };
        await batch.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Claims one due post; no other host claims it until <paramref name="lease"/> has passed.</summary>
    /// <remarks>A recovery waits until its opening has been delivered. Posts that another host is claiming are skipped.</remarks>
    public static async Task<DueNotice?> TakeAsync(
        NpgsqlDataSource database,
        DateTimeOffset now,
        TimeSpan lease,
        CancellationToken cancellation
    )
    {
        await using var command = database.CreateCommand(
            """
            update notify.alert_notices set due_at = $2, attempts = attempts + 1 where id = (
                select n.id from notify.alert_notices n where n.delivered_at is null and n.due_at <= $1
                and not exists (select 1 from notify.alert_notices e where e.trouble = n.trouble and e.number < n.number and e.delivered_at is null)
                order by n.due_at, n.number limit 1 for update skip locked)
            returning id, body, attempts
            """
        );
        command.Parameters.Add(new NpgsqlParameter { Value = now });
        command.Parameters.Add(new NpgsqlParameter { Value = now + lease });
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        return await reader.ReadAsync(cancellation) ? new DueNotice(reader.GetString(0), reader.GetString(1), reader.GetInt32(2)) : null;
    }

    /// <summary>The receiver has it.</summary>
    public static Task DeliveredAsync(NpgsqlDataSource database, string id, DateTimeOffset now, CancellationToken cancellation) =>
        ExecuteAsync(
            database,
            "update notify.alert_notices set delivered_at = $2, due_at = null, last_error = null where id = $1",
            cancellation,
            id,
            now
        );

    /// <summary>It could not be delivered; it is due again later.</summary>
    public static Task LaterAsync(NpgsqlDataSource database, string id, DateTimeOffset due, string error, CancellationToken cancellation) =>
        ExecuteAsync(
            database,
            "update notify.alert_notices set due_at = $2, last_error = $3 where id = $1 and delivered_at is null",
            cancellation,
            id,
            due,
            error
        );

    private static NpgsqlBatchCommand Command(string sql, params ReadOnlySpan<object> parameters)
    {
        var command = new NpgsqlBatchCommand(sql);
        foreach (var p in parameters)
            command.Parameters.Add(new NpgsqlParameter { Value = p });
        return command;
    }

    private static async Task ExecuteAsync(
        NpgsqlDataSource database,
        string sql,
        CancellationToken cancellation,
        params object[] parameters
    )
    {
        await using var command = database.CreateCommand(sql);
        foreach (var p in parameters)
            command.Parameters.Add(new NpgsqlParameter { Value = p });
        await command.ExecuteNonQueryAsync(cancellation);
    }
}
