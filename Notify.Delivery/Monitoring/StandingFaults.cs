namespace Notify.Delivery.Monitoring;

using Marten;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.EventStore;
using Notify.Delivery.Privacy;
using Npgsql;

/// <summary>Finds faults that do not depend on traffic: the hosts' own dead letters, read models that lag, and unsafe commits.</summary>
/// <param name="rotation">The schedule of master keys; <c>null</c>: none is kept.</param>
public sealed class StandingFaults(
    IDocumentStore store,
    Notify.Delivery.Schema.DatabaseMonitor? database = null,
    KeyRotationSettings? rotation = null
)
{
    private static readonly string[] MessageStores = ["api_messages", "dispatch_messages", "projections_messages"];

    // Time for a rotation that waits for hosts.
    private static readonly TimeSpan Slack = TimeSpan.FromDays(1);

    private readonly string[] shards = [.. ((DocumentStore)store).Options.Projections.AllShards().Select(s => s.Name.Identity)];

    /// <summary>Reads the current faults.</summary>
    public async Task<List<StandingFault>> ReadAsync(
        NpgsqlConnection connection,
        AlertRules rules,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        var faults = await BehindAsync(connection, rules, now, cancellation);
        if (database?.Settings is { } settings)
        {
            faults.Add(
                new StandingFault(
                    Subjects.Commits,
                    TroubleKind.CommitsAtRisk,
                    settings.CommitFault is not null,
                    settings.CommitFault ?? "Commits are safe",
                    1,
                    now
                )
            );
        }

        var unreadable = await StreamFaults.LastingAsync(connection, now, cancellation);
        faults.Add(
            new StandingFault(
                Subjects.Streams,
                TroubleKind.StreamUnreadable,
                unreadable.Count > 0,
                unreadable.First ?? "An event cannot be read",
                unreadable.Count,
                unreadable.Since
            )
        );
        var lacking = await HostKeyTable.LackingAsync(connection, TimeSpan.FromMinutes(1), now, cancellation);
        faults.Add(
            new StandingFault(
                Subjects.MasterKeys,
                TroubleKind.MasterKeyMissing,
                lacking.Count > 0,
                lacking.First ?? "A host lacks a master key",
                lacking.Count,
                lacking.Since
            )
        );
        if (rotation is { Every.Ticks: > 0 })
        {
            var overdue = await KeyRotationTable.OverdueAsync(connection, now - rotation.Every - rotation.Keep - Slack, cancellation);
            faults.Add(
                new StandingFault(
                    Subjects.OverdueKeys,
                    TroubleKind.MasterKeyOverdue,
                    overdue.Count > 0,
                    overdue.Key is { } key ? $"the key {key}" : "A master key",
                    overdue.Count,
                    overdue.Since
                )
            );
        }

        foreach (var schema in MessageStores)
        {
            if (await FailedAsync(connection, schema, now, cancellation) is { } fault)
                faults.Add(fault);
        }

        if (await UnverifiedAsync(connection, cancellation) is { } found)
            faults.Add(found);
        return faults;
    }

    // Streams with faults are checked in each run again: the last run says whether they still exist.
    private static async Task<StandingFault?> UnverifiedAsync(NpgsqlConnection connection, CancellationToken cancellation)
    {
        await using var command = new NpgsqlCommand(
            """
            select fault_count, coalesce(faults -> 0 ->> 'kind', ''), ended_at from notify.verifications
            where is_automatic and ended_at is not null order by id desc limit 1
            """,
            connection
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        if (!await reader.ReadAsync(cancellation))
            return null;
        return new StandingFault(
            Subjects.Verification,
            TroubleKind.VerificationFailed,
            reader.GetInt64(0) > 0,
            reader.GetString(1),
            reader.GetInt64(0),
            reader.GetFieldValue<DateTimeOffset>(2)
        );
    }

    // The age of the first event that a read model has not processed: right for a slow or stopped read model, and for a failed host.
    // Marten's tombstones, which fill the numbers of appends that failed, are of the time -infinity.
    private async Task<List<StandingFault>> BehindAsync(
        NpgsqlConnection connection,
        AlertRules rules,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        await using var command = new NpgsqlCommand(
            $"""
            select s.name,
                   (select e.timestamp from {EventSchema.Name}.mt_events e
                    where e.seq_id > coalesce(p.last_seq_id, 0) and isfinite(e.timestamp) order by e.seq_id limit 1),
                   (select coalesce(max(e.seq_id), 0) from {EventSchema.Name}.mt_events e) - coalesce(p.last_seq_id, 0)
            from unnest($1) as s(name) left join {EventSchema.Name}.mt_event_progression p on p.name = s.name
            """,
            connection
        );
        command.Parameters.Add(new NpgsqlParameter { Value = shards });
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var faults = new List<StandingFault>();
        while (await reader.ReadAsync(cancellation))
        {
            var (name, oldest) = (reader.GetString(0), reader.IsDBNull(1) ? now : reader.GetFieldValue<DateTimeOffset>(1));
            var lag = now - oldest;
            faults.Add(
                new StandingFault(
                    Subjects.Projection(name),
                    TroubleKind.ProjectionBehind,
                    lag > rules.ProjectionLag ? true
                        : lag < rules.ProjectionLag / 2 ? false
                        : null,
                    "Behind the events",
                    Math.Max(0, reader.GetInt64(2)),
                    oldest
                )
            );
        }

        return faults;
    }

    // Only the types are reported: a message's body or an exception's message might name a person.
    private static async Task<StandingFault?> FailedAsync(
        NpgsqlConnection connection,
        string schema,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        await using (var exists = new NpgsqlCommand("select to_regclass($1) is not null", connection))
        {
            exists.Parameters.Add(new NpgsqlParameter { Value = $"{schema}.wolverine_dead_letters" });
            if (await exists.ExecuteScalarAsync(cancellation) is not true)
                return null;
        }

        await using var command = new NpgsqlCommand(
            $"select count(*), min(sent_at), (array_agg(exception_type order by sent_at))[1] from {schema}.wolverine_dead_letters",
            connection
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        await reader.ReadAsync(cancellation);
        var count = reader.GetInt64(0);
        return new StandingFault(
            Subjects.Messages(schema),
            TroubleKind.MessageFailed,
            count > 0,
            reader.IsDBNull(2) ? "A message could not be handled" : reader.GetString(2),
            count,
            reader.IsDBNull(1) ? now : reader.GetFieldValue<DateTimeOffset>(1)
        );
    }
}
