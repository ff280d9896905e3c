namespace Notify.Delivery.Schema;

using System.Reflection;
using Microsoft.Extensions.Logging;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>A numbered change of the schemas <c>notify</c> and <c>analytics</c>.</summary>
/// <param name="Number">Its place in the order, from 1; never used again for another change.</param>
/// <param name="Name">A few words for people.</param>
/// <param name="Sql">One or more statements.</param>
/// <param name="ProofOfEarlier">
/// An object that the change creates last. A database from before steps were counted has it, and the step is then recorded and not run.
/// </param>
public sealed record SchemaStep(int Number, string Name, string Sql, string? ProofOfEarlier = null)
{
    /// <summary>Whether its statements run one by one outside of a transaction, as <c>create index concurrently</c> must.</summary>
    /// <remarks>Such a file begins with <c>-- concurrently</c>. It must be repeatable: a step that failed half-way runs again.</remarks>
    public bool IsConcurrent => Sql.StartsWith("-- concurrently", StringComparison.Ordinal);
}

/// <summary>
/// Applies the numbered steps of our own tables that a database does not have yet. Traffic goes on meanwhile: the list of applied steps is
/// read before any lock is asked for, and a lock that is not free within <see cref="LockTimeout"/> is given up and asked for again.
/// </summary>
/// <remarks>
/// A statement that waits for a lock makes all later ones on that table wait behind it, so that an open snapshot elsewhere would stop
/// acceptance. See docs/adr/0001-numbered-migrations.md.
/// </remarks>
public sealed class SchemaMigrator(NpgsqlDataSource database, TimeProvider clock)
{
    /// <summary>How long a step waits for a lock at a time.</summary>
    public static readonly TimeSpan LockTimeout = TimeSpan.FromMilliseconds(500);

    /// <summary>How long a step is tried.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    /// <summary>All steps, in their order.</summary>
    public static IReadOnlyList<SchemaStep> Steps { get; } = Read();

    /// <summary>Applies the steps that are missing.</summary>
    /// <returns>
    /// The reason why a step could not be run, with the sessions that hold its locks; <c>null</c> when all steps are applied.
    /// </returns>
    public async Task<string?> ApplyAsync(IReadOnlyList<SchemaStep> steps, CancellationToken cancellation)
    {
        await using var connection = await database.OpenConnectionAsync(cancellation);
        var applied = await AppliedAsync(connection, cancellation);
        foreach (var step in steps.Where(s => !applied.Contains(s.Number)))
        {
            if (await IsEarlierAsync(connection, step, cancellation))
            {
                await RecordAsync(connection, step, cancellation);
                continue;
            }

            if (await RunAsync(connection, step, cancellation) is { } fault)
                return fault;
        }

        return null;
    }

    private static async Task<HashSet<int>> AppliedAsync(NpgsqlConnection connection, CancellationToken cancellation)
    {
        await using (var find = SqlCommands.Create(connection, "select to_regclass('notify.schema_steps') is not null"))
        {
            if (await find.ExecuteScalarAsync(cancellation) is not true)
            {
                await using var create = SqlCommands.Create(
                    connection,
                    """
                    create schema if not exists notify;
                    create table if not exists notify.schema_steps (
                        number integer primary key, name text not null, applied_at timestamptz not null default now());
                    """
                );
                await create.ExecuteNonQueryAsync(cancellation);
            }
        }

        await using var read = SqlCommands.Create(connection, "select number from notify.schema_steps");
        await using var reader = await read.ExecuteReaderAsync(cancellation);
        var applied = new HashSet<int>();
        while (await reader.ReadAsync(cancellation))
            applied.Add(reader.GetInt32(0));
        return applied;
    }

    private static async Task<bool> IsEarlierAsync(NpgsqlConnection connection, SchemaStep step, CancellationToken cancellation)
    {
        if (step.ProofOfEarlier is not { } proof)
            return false;
        await using var command = SqlCommands.Create(connection, "select to_regclass($1) is not null", proof);
        return await command.ExecuteScalarAsync(cancellation) is true;
    }

    private static async Task RecordAsync(NpgsqlConnection connection, SchemaStep step, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(
            connection,
            "insert into notify.schema_steps (number, name) values ($1, $2) on conflict do nothing",
            step.Number,
            step.Name
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    private async Task<string?> RunAsync(NpgsqlConnection connection, SchemaStep step, CancellationToken cancellation)
    {
        var began = clock.GetTimestamp();
        for (var failures = 0; ; failures++)
        {
            try
            {
                await (
                    step.IsConcurrent
                        ? RunConcurrentlyAsync(connection, step, cancellation)
                        : RunInTransactionAsync(connection, step, cancellation)
                );
                return null;
            }
            catch (PostgresException e) when (e.SqlState is PostgresErrorCodes.LockNotAvailable or PostgresErrorCodes.DeadlockDetected)
            {
                if (clock.GetElapsedTime(began) > Patience)
                    return $"step {step.Number} ({step.Name}) found a table locked for {Patience.TotalMinutes:0} minutes. "
                        + await HoldersAsync(connection, cancellation);
                // The longer it takes, the longer those that queued behind this step have the table for themselves.
                await Task.Delay(TimeSpan.FromMilliseconds(Math.Min(250 << Math.Min(failures, 4), 4000)), clock, cancellation);
            }
        }
    }

    private static async Task RunInTransactionAsync(NpgsqlConnection connection, SchemaStep step, CancellationToken cancellation)
    {
        await using var transaction = await connection.BeginTransactionAsync(cancellation);
        await using (
            var command = SqlCommands.Create(
                connection,
                $"set local lock_timeout = {(int)LockTimeout.TotalMilliseconds}; set local statement_timeout = 0"
            )
        )
            await command.ExecuteNonQueryAsync(cancellation);
        await using (var command = SqlCommands.Create(connection, step.Sql))
        {
            command.CommandTimeout = 0;
            await command.ExecuteNonQueryAsync(cancellation);
        }

        await RecordAsync(connection, step, cancellation);
        await transaction.CommitAsync(cancellation);
    }

    // Building an index waits for older snapshots without holding anybody up: no lock time-out there.
    private static async Task RunConcurrentlyAsync(NpgsqlConnection connection, SchemaStep step, CancellationToken cancellation)
    {
        var statements = step.Sql.Split(';', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        foreach (var statement in statements.Prepend("set lock_timeout = 0").Append("reset lock_timeout"))
        {
            await using var command = SqlCommands.Create(connection, statement);
            command.CommandTimeout = 0;
            await command.ExecuteNonQueryAsync(cancellation);
        }

        await RecordAsync(connection, step, cancellation);
    }

    private static async Task<string> HoldersAsync(NpgsqlConnection connection, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(
            connection,
            """
            select coalesce(string_agg(format('%s (%s, for %s)', pid, coalesce(nullif(application_name, ''), usename),
                date_trunc('second', now() - xact_start)), ', '), '')
            from pg_stat_activity where datname = current_database() and xact_start < now() - interval '10 seconds'
                and pid <> pg_backend_pid()
            """
        );
        var holders = (string)(await command.ExecuteScalarAsync(cancellation))!;
        return holders.Length == 0
            ? "Run migrate again."
            : $"Long transactions are open in sessions {holders}: end them, then run migrate again.";
    }

    private static List<SchemaStep> Read()
    {
        var assembly = typeof(SchemaMigrator).Assembly;
        var steps = new List<SchemaStep>
        {
            new(1, "baseline", Text(assembly, "Notify.Delivery.Schema.Schema.sql"), "notify.digest_items_digest"),
            new(2, "analytics baseline", Text(assembly, "Notify.Delivery.Schema.Analytics.sql"), "analytics.daily_engagement"),
        };
        const string Prefix = "Notify.Delivery.Schema.Migrations.";
        foreach (
            var name in assembly
                .GetManifestResourceNames()
                .Where(n => n.StartsWith(Prefix, StringComparison.Ordinal))
                .Order(StringComparer.Ordinal)
        )
        {
            var (number, rest) = (name[Prefix.Length..].Split('-', 2)[0], name[Prefix.Length..].Split('-', 2)[1]);
            steps.Add(
                new SchemaStep(
                    int.Parse(number, System.Globalization.CultureInfo.InvariantCulture),
                    rest[..^".sql".Length].Replace('-', ' '),
                    Text(assembly, name)
                )
            );
        }

        return steps;
    }

    private static string Text(Assembly assembly, string resource)
    {
        using var reader = new StreamReader(assembly.GetManifestResourceStream(resource)!);
        return reader.ReadToEnd();
    }
}
