namespace Notify.Delivery.Monitoring;

using Notify.Domain.Channels;
using Npgsql;
using NpgsqlTypes;

/// <summary>Statements over <c>notify.troubles</c> and <c>notify.provider_calls</c>, all in the caller's transaction.</summary>
public static class TroubleTable
{
    private const string Columns = """
        id, subject, kind, provider, lane, priority, first_cause, opened_at, first_failure_at, last_failure_at, last_call_at, failures, attempts,
        counted_failures, counted_attempts, counted_to, recovered_at
        """;

    /// <summary>Reads the counts since a time, over all hosts; those older than <paramref name="finelySince"/> by the minute.</summary>
    public static async Task<List<CallCounts>> CallsAsync(
        NpgsqlConnection connection,
        DateTimeOffset since,
        DateTimeOffset finelySince,
        CancellationToken cancellation
    )
    {
        await using var command = Command(
            connection,
            """
            select case when bucket > $2 then bucket else date_trunc('minute', bucket) end as at, provider, queue, outcome, reason,
                   (array_agg(code order by bucket) filter (where code is not null))[1], sum(calls)::bigint
            from notify.provider_calls where bucket >= $1 group by 1, 2, 3, 4, 5 order by 1
            """,
            since,
            finelySince
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var calls = new List<CallCounts>();
        while (await reader.ReadAsync(cancellation))
        {
            calls.Add(
                new CallCounts(
                    reader.GetFieldValue<DateTimeOffset>(0),
                    reader.GetString(1),
                    DeliveryQueue.FromCode(reader.GetInt16(2)),
                    (CallOutcome)reader.GetInt16(3),
                    reader.GetString(4),
                    reader.IsDBNull(5) ? null : reader.GetString(5),
                    reader.GetInt64(6)
                )
            );
        }

        return calls;
    }

    /// <summary>Reads the open alerts.</summary>
    public static Task<List<Trouble>> OpenAsync(NpgsqlConnection connection, CancellationToken cancellation) =>
        ReadAsync(
            Command(connection, $"select {Columns} from notify.troubles where recovered_at is null order by opened_at, id"),
            cancellation
        );

    /// <summary>Troubles, the newest first.</summary>
    /// <param name="open">Only open ones, or only those that are over; <c>null</c>: all.</param>
    /// <param name="after">The last one of an earlier page.</param>
    public static Task<List<Trouble>> ListAsync(
        NpgsqlConnection connection,
        bool? open,
        (DateTimeOffset At, Guid Id)? after,
        int limit,
        CancellationToken cancellation
    ) =>
        ReadAsync(
            Command(
                connection,
                $"""
                select {Columns} from notify.troubles
                where ($1 is null or (recovered_at is null) = $1) and ($2 is null or (opened_at, id) < ($2, $3)) order by opened_at desc, id desc limit $4
                """,
                new NpgsqlParameter { Value = (object?)open ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Boolean },
                new NpgsqlParameter { Value = (object?)after?.At ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.TimestampTz },
                new NpgsqlParameter { Value = (object?)after?.Id ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Uuid },
                limit
            ),
            cancellation
        );

    /// <summary>Reads the time of each subject's last recovery.</summary>
    public static async Task<Dictionary<string, DateTimeOffset>> RecoveredAsync(
        NpgsqlConnection connection,
        DateTimeOffset since,
        CancellationToken cancellation
    )
    {
        await using var command = Command(
            connection,
            "select subject, max(recovered_at) from notify.troubles where recovered_at >= $1 group by subject",
            since
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var recovered = new Dictionary<string, DateTimeOffset>(StringComparer.Ordinal);
        while (await reader.ReadAsync(cancellation))
            recovered[reader.GetString(0)] = reader.GetFieldValue<DateTimeOffset>(1);
        return recovered;
    }

    /// <summary>Writes the current state of an alert.</summary>
    public static async Task PutAsync(NpgsqlConnection connection, Trouble t, CancellationToken cancellation)
    {
        await using var command = Command(
            connection,
            $"""
            insert into notify.troubles ({Columns}) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
            on conflict (id) do update set last_failure_at = excluded.last_failure_at, last_call_at = excluded.last_call_at, failures = excluded.failures,
                attempts = excluded.attempts, counted_failures = excluded.counted_failures, counted_attempts = excluded.counted_attempts,
                counted_to = excluded.counted_to, recovered_at = excluded.recovered_at
            """,
            t.Id,
            t.Subject,
            (short)t.Kind,
            Maybe(t.Provider, NpgsqlDbType.Text),
            Maybe((short?)t.Lane, NpgsqlDbType.Smallint),
            Maybe((short?)t.Priority, NpgsqlDbType.Smallint),
            t.FirstCause,
            t.OpenedAt,
            t.FirstFailureAt,
            t.LastFailureAt,
            Maybe(t.LastCallAt, NpgsqlDbType.TimestampTz),
            t.Failures,
            t.Attempts,
            t.Counted.Failures,
            t.Counted.Attempts,
            t.Counted.To,
            Maybe(t.RecoveredAt, NpgsqlDbType.TimestampTz)
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Reads the current number of dead letters on the lane and priority of an alert.</summary>
    public static async Task<long> DeadLettersAsync(NpgsqlConnection connection, Trouble trouble, CancellationToken cancellation)
    {
        var queues = DeliveryQueue
            .All.Where(q => q.Lane == (trouble.Lane ?? q.Lane) && q.Priority == (trouble.Priority ?? q.Priority))
            .Select(q => q.Code)
            .ToArray();
        await using var command = Command(
            connection,
            "select count(*) from notify.open_deliveries where state = 4 and queue = any($1)",
            queues
        );
        return (long)(await command.ExecuteScalarAsync(cancellation))!;
    }

    private static NpgsqlParameter Maybe(object? value, NpgsqlDbType type) => new() { Value = value ?? DBNull.Value, NpgsqlDbType = type };

    private static NpgsqlCommand Command(NpgsqlConnection connection, string sql, params ReadOnlySpan<object> parameters)
    {
        var command = new NpgsqlCommand(sql, connection);
        foreach (var p in parameters)
            command.Parameters.Add(p as NpgsqlParameter ?? new NpgsqlParameter { Value = p });
        return command;
    }

    private static async Task<List<Trouble>> ReadAsync(NpgsqlCommand command, CancellationToken cancellation)
    {
        await using (command)
        {
            await using var reader = await command.ExecuteReaderAsync(cancellation);
            var troubles = new List<Trouble>();
            while (await reader.ReadAsync(cancellation))
            {
                troubles.Add(
                    new Trouble(
                        reader.GetGuid(0),
                        reader.GetString(1),
                        (TroubleKind)reader.GetInt16(2),
                        reader.IsDBNull(3) ? null : reader.GetString(3),
                        reader.IsDBNull(4) ? null : (Lane)reader.GetInt16(4),
                        reader.IsDBNull(5) ? null : (Priority)reader.GetInt16(5),
                        reader.GetString(6),
                        Time(7)!.Value,
                        Time(8)!.Value,
                        Time(9)!.Value,
                        Time(10),
                        reader.GetInt64(11),
                        reader.GetInt64(12),
                        (reader.GetInt64(13), reader.GetInt64(14), Time(15)!.Value),
                        Time(16)
                    )
                );
            }

            return troubles;

            DateTimeOffset? Time(int column) => reader.IsDBNull(column) ? null : reader.GetFieldValue<DateTimeOffset>(column);
        }
    }
}
