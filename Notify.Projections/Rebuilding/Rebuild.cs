namespace Notify.Projections.Rebuilding;

using JasperFx.Events;
using Marten;
using Notify.Delivery.EventStore;
using Notify.Delivery.Retention;
using Npgsql;

/// <summary>
/// Builds a read model anew from the events, in shadow tables, reports how it differs from the live one, and replaces the live one,
/// while all hosts go on. The row of the projection's progress is the lock: the daemon moves it first in each of
/// its transactions, so the holder of that row sees live tables at exactly that progress. It is locked for the last few
/// pages only: once to take a snapshot in which both are at the same progress, and once to swap. Rows of weeks that retention has dropped
/// are not built.
/// </summary>
public sealed class Rebuild(IDocumentStore store, NpgsqlDataSource database, RebuildableProjection projection, TextWriter output)
{
    private const int Page = 5000,
        Rounds = 50;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);
    private long built;

    /// <summary>Rebuilds and prints.</summary>
    /// <returns>The exit code: 0 when it was swapped, whether or not it differed.</returns>
    public async Task<int> RunAsync(CancellationToken cancellation = default)
    {
        await using var lease = await database.OpenConnectionAsync(cancellation);
        if (!await LeaseAsync(lease, "pg_try_advisory_lock", cancellation))
            return await SayAsync($"{projection.Name} is being rebuilt already; wait for that to end, and see what it says", 1);
        try
        {
            // No week is made or dropped meanwhile, so that live and shadow tables keep the same weeks.
            await RetainAsync(lease, "pg_advisory_lock_shared", cancellation);
            return await RunAsync(lease, cancellation);
        }
        finally
        {
            if (lease.State == System.Data.ConnectionState.Open)
            {
                await RetainAsync(lease, "pg_advisory_unlock_shared", CancellationToken.None);
                await LeaseAsync(lease, "pg_advisory_unlock", CancellationToken.None);
            }
        }
    }

    private async Task<int> RunAsync(NpgsqlConnection lease, CancellationToken cancellation)
    {
        if (await TablesBeside.DependentsAsync(lease, projection, cancellation) is { Count: > 0 } dependents)
            return await SayAsync(
                $"{string.Join(", ", dependents)} would keep the tables from being replaced; drop these views, rebuild, and make them again. The live tables are untouched",
                1
            );
        if (await ProgressAsync(lease, "", cancellation) is null)
            return await SayAsync(
                $"{projection.Name}: nothing has been projected yet, so there is nothing to rebuild; start Notify and try again",
                1
            );

        await TablesBeside.CreateAsync(lease, projection, cancellation);
        await CatchUpAsync(lease, cancellation);
        var differences = await CompareAsync(cancellation);
        foreach (var d in differences)
        {
            await output.WriteLineAsync(
                $"{d.Table}: {d.Rows:N0} rows, {d.Missing:N0} missing, {d.Extra:N0} extra, {d.Differing:N0} differing"
            );
            foreach (var key in d.Keys)
                await output.WriteLineAsync($"  {key}");
        }

        var sum = $"{projection.Name}: {differences.Sum(d => d.Rows):N0} rows, {differences.Sum(d => d.Wrong):N0} differ";
        return await SwapAsync(lease, cancellation)
            ? await SayAsync($"{sum}; swapped", 0)
            : await SayAsync(
                $"{sum}; NOT swapped: somebody reads the live tables without a pause. They are untouched; end the long queries, "
                    + "or try again later",
                1
            );
    }

    // Until only what has come in meanwhile is left; the rest is done while the daemon waits.
    private async Task CatchUpAsync(NpgsqlConnection connection, CancellationToken cancellation)
    {
        for (var round = 0; round < Rounds; round++)
        {
            var progress = (await ProgressAsync(connection, "", cancellation))!.Value;
            if (progress - built < Page)
                return;
            await BuildAsync(progress, cancellation);
        }
    }

    private async Task<IReadOnlyList<TableDifference>> CompareAsync(CancellationToken cancellation)
    {
        await using var reading = await database.OpenConnectionAsync(cancellation);
        await using var snapshot = await HoldAsync(
            async _ =>
            {
                var transaction = await reading.BeginTransactionAsync(System.Data.IsolationLevel.RepeatableRead, cancellation);
                await TablesBeside.ExecuteAsync(reading, "select 1", cancellation); // from here on it sees what is committed now
                return transaction;
            },
            cancellation
        );
        var differences = new List<TableDifference>();
        foreach (var table in projection.Tables)
            differences.Add(await TableDifference.FindAsync(reading, projection, table, cancellation));
        return differences;
    }

    private async Task<bool> SwapAsync(NpgsqlConnection lease, CancellationToken cancellation)
    {
        for (var attempt = 0; attempt < Rounds; attempt++)
        {
            await CatchUpAsync(lease, cancellation);
            try
            {
                return await HoldAsync(
                    async held =>
                    {
                        await TablesBeside.ReplaceAsync(held, projection, Patience, cancellation);
                        return true;
                    },
                    cancellation
                );
            }
            catch (PostgresException e) when (e.SqlState is PostgresErrorCodes.LockNotAvailable or PostgresErrorCodes.DeadlockDetected)
            {
                await Task.Delay(Patience, cancellation); // waiting transactions go first
            }
        }

        return false;
    }

    // Both are at the same progress while this transaction has its row; all earlier work is committed.
    private async Task<T> HoldAsync<T>(Func<NpgsqlConnection, Task<T>> act, CancellationToken cancellation)
    {
        await using var connection = await database.OpenConnectionAsync(cancellation);
        await using var transaction = await connection.BeginTransactionAsync(cancellation);
        await BuildAsync((await ProgressAsync(connection, "for update", cancellation))!.Value, cancellation);
        var result = await act(connection);
        await transaction.CommitAsync(cancellation);
        return result;
    }

    // Brings the shadow tables from their progress to one that the live tables have reached.
    private async Task BuildAsync(long progress, CancellationToken cancellation)
    {
        while (built < progress)
        {
            await using var session = store.QuerySession();
            var from = built;
            var stored = await StoredEvents.ReadAsync(
                session,
                "seq_id > $1 and seq_id <= $2 order by seq_id limit $3",
                [from, progress, Page],
                cancellation
            );
            var events = stored.Select(e => e.AsEvent()).OfType<IEvent>().ToList();
            if (events.Count > 0)
            {
                await using var connection = await database.OpenConnectionAsync(cancellation);
                await using var transaction = await connection.BeginTransactionAsync(cancellation);
                await projection.ApplyAsync(session, transaction, events, cancellation);
                await transaction.CommitAsync(cancellation);
            }

            built = stored.Count < Page ? progress : stored[^1].Sequence;
        }
    }

    private async Task<long?> ProgressAsync(NpgsqlConnection connection, string locking, CancellationToken cancellation)
    {
        await using var command = new NpgsqlCommand(
            $"select last_seq_id from {EventSchema.Name}.mt_event_progression where name = $1 {locking}",
            connection
        );
        command.Parameters.Add(new NpgsqlParameter { Value = projection.Shard });
        return await command.ExecuteScalarAsync(cancellation) as long?;
    }

    // One rebuild of a read model at a time; the lock of a failed process ends with its connection.
    private async Task<bool> LeaseAsync(NpgsqlConnection connection, string function, CancellationToken cancellation)
    {
        await using var command = new NpgsqlCommand($"select {function}(hashtextextended('notify rebuild ' || $1, 0))", connection);
        command.Parameters.Add(new NpgsqlParameter { Value = projection.Name });
        return await command.ExecuteScalarAsync(cancellation) is true;
    }

    private static async Task RetainAsync(NpgsqlConnection connection, string function, CancellationToken cancellation)
    {
        await using var command = new NpgsqlCommand($"select {function}($1)", connection);
        command.Parameters.Add(new NpgsqlParameter { Value = RetentionService.Lock });
        await command.ExecuteNonQueryAsync(cancellation);
    }

    private async Task<int> SayAsync(string text, int exitCode)
    {
        await output.WriteLineAsync(text);
        return exitCode;
    }
}
