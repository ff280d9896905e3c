namespace Notify.Projections.Verification;

using System.Text.Json;
using Notify.Infrastructure.Json;
using Notify.Infrastructure.Postgres;
using Npgsql;
using NpgsqlTypes;

/// <summary>A run of verification: a row of <c>notify.verifications</c>.</summary>
/// <param name="IsAutomatic">Whether a host ran it by itself.</param>
/// <param name="Since">Streams with events after this sequence were checked; 0: all.</param>
/// <param name="Position">The event sequence up to which the store was checked; <c>null</c> while it runs.</param>
/// <param name="EndedAt"><c>null</c>: it runs, or its host has failed.</param>
/// <param name="Counts"><c>null</c> while it runs.</param>
/// <param name="Faults">The first faults.</param>
public sealed record VerificationRun(
    long Id,
    bool IsAutomatic,
    long Since,
    long? Position,
    DateTimeOffset StartedAt,
    DateTimeOffset? EndedAt,
    VerificationCounts? Counts,
    IReadOnlyList<VerificationFault> Faults
);

/// <summary>Statements over <c>notify.verifications</c>.</summary>
public static class VerificationTable
{
    private const int MaxFaults = 200,
        MaxRuns = 1000;
    private static readonly TimeSpan Silence = TimeSpan.FromMinutes(5);

    /// <summary>Begins a run.</summary>
    /// <returns>Its ID; <c>null</c>: another automatic one is under way.</returns>
    /// <remarks>A run whose host gave no sign for five minutes has failed, and is ended here.</remarks>
    public static async Task<long?> BeginAsync(
        NpgsqlDataSource database,
        bool isAutomatic,
        long since,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        await using var connection = await database.OpenConnectionAsync(cancellation);
        await using var transaction = await connection.BeginTransactionAsync(cancellation);
        await using (
            var stale = SqlCommands.Create(
                connection,
                "delete from notify.verifications where ended_at is null and seen_at < $1",
                now - Silence
            )
        )
            await stale.ExecuteNonQueryAsync(cancellation);
        await using var insert = SqlCommands.Create(
            connection,
            """
            insert into notify.verifications (is_automatic, since, started_at, seen_at) values ($1, $2, $3, $3)
            on conflict (is_automatic) where is_automatic and ended_at is null do nothing returning id
            """,
            isAutomatic,
            since,
            now
        );
        var id = (long?)await insert.ExecuteScalarAsync(cancellation);
        await transaction.CommitAsync(cancellation);
        return id;
    }

    /// <summary>Gives a run's sign of life.</summary>
    public static async Task BeatAsync(NpgsqlDataSource database, long id, DateTimeOffset now, CancellationToken cancellation)
    {
        await using var connection = await database.OpenConnectionAsync(cancellation);
        await using var command = SqlCommands.Create(connection, "update notify.verifications set seen_at = $2 where id = $1", id, now);
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Keeps a run's result, and removes the oldest runs beyond a thousand.</summary>
    public static async Task EndAsync(
        NpgsqlDataSource database,
        long id,
        VerificationResult result,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        await using var connection = await database.OpenConnectionAsync(cancellation);
        await using (
            var command = SqlCommands.Create(
                connection,
                "update notify.verifications set ended_at = $2, position = $3, counts = $4, fault_count = $5, faults = $6 where id = $1",
                id,
                now,
                result.Position,
                Json(result.Counts),
                result.Counts.Faults,
                Json(result.Faults.Take(MaxFaults))
            )
        )
            await command.ExecuteNonQueryAsync(cancellation);
        await using var remove = SqlCommands.Create(connection, "delete from notify.verifications where id <= $1", id - MaxRuns);
        await remove.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Reads runs, the newest first.</summary>
    /// <param name="before">Runs with smaller IDs; <c>null</c>: the newest.</param>
    /// <param name="isAutomatic">Only these; <c>null</c>: all.</param>
    public static async Task<List<VerificationRun>> ListAsync(
        NpgsqlConnection connection,
        long? before,
        int limit,
        CancellationToken cancellation,
        bool? isAutomatic = null
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            """
            select id, is_automatic, since, position, started_at, ended_at, counts, faults from notify.verifications
            where id < $1 and ($2 is null or is_automatic = $2) order by id desc limit $3
            """,
            before ?? long.MaxValue,
            new NpgsqlParameter { Value = (object?)isAutomatic ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Boolean },
            limit
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var runs = new List<VerificationRun>();
        while (await reader.ReadAsync(cancellation))
        {
            runs.Add(
                new VerificationRun(
                    reader.GetInt64(0),
                    reader.GetBoolean(1),
                    reader.GetInt64(2),
                    reader.IsDBNull(3) ? null : reader.GetInt64(3),
                    reader.GetFieldValue<DateTimeOffset>(4),
                    reader.IsDBNull(5) ? null : reader.GetFieldValue<DateTimeOffset>(5),
                    reader.IsDBNull(6) ? null : Read<VerificationCounts>(reader.GetString(6)),
                    reader.IsDBNull(7) ? [] : Read<List<VerificationFault>>(reader.GetString(7))!
                )
            );
        }

        return runs;
    }

    private static NpgsqlParameter Json<T>(T value) =>
        new() { Value = JsonSerializer.Serialize(value, NotifyJson.Options), NpgsqlDbType = NpgsqlDbType.Jsonb };

    private static T? Read<T>(string json) => JsonSerializer.Deserialize<T>(json, NotifyJson.Options);
}
