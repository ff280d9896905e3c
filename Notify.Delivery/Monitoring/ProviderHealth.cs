namespace Notify.Delivery.Monitoring;

using Notify.Delivery.EventStore;
using Notify.Domain.Channels;
using Notify.Domain.Routing;
using Npgsql;

/// <summary>The health of a provider, from its calls and its open alert.</summary>
public enum Health
{
    /// <summary>Calls are made, and no alert is open.</summary>
    Healthy,

    /// <summary>It fails, and an alert is open.</summary>
    Failing,

    /// <summary>It refuses our credentials or configuration.</summary>
    Halted,

    /// <summary>Nothing was sent by it lately, so nothing is known.</summary>
    Idle,
}

/// <summary>A change of how a provider is treated: an event of its stream.</summary>
/// <param name="Type">The event: <c>CircuitOpened</c>, <c>CircuitHalfOpened</c>, <c>CircuitClosed</c> or
/// <c>ProviderWeightChanged</c>.</param>
/// <param name="At">When it happened.</param>
/// <param name="Reason">Why.</param>
/// <param name="Until">Of an opened circuit: when the provider is tried again.</param>
/// <param name="From">Of a changed weight: the factor before, 0.1 to 1.</param>
/// <param name="To">Of a changed weight: the factor from then on.</param>
public sealed record ProviderHistory(
    string Type,
    DateTimeOffset At,
    string Reason,
    DateTimeOffset? Until = null,
    double? From = null,
    double? To = null
);

/// <summary>One provider on one lane, over the last <see cref="ProviderHealthReader.Window"/>; live clients' deliveries only.</summary>
/// <param name="Provider">Its name, as in configuration, events and metrics.</param>
/// <param name="Lane">The kind of delivery that it carries.</param>
/// <param name="Health">How it does.</param>
/// <param name="Circuit"><c>closed</c>: it is sent to; <c>open</c>: others of its route take its place; <c>halfOpen</c>: it is tried with
/// one delivery at a time.</param>
/// <param name="CallsPerMinute">Calls made.</param>
/// <param name="ErrorRate">The share of calls that failed or were refused for our configuration, 0 to 1; absent without calls.</param>
/// <param name="LatencyP50Ms">Half of the calls took no longer, in milliseconds.</param>
/// <param name="LatencyP95Ms">Nineteen of twenty took no longer, in milliseconds.</param>
/// <param name="Since">Since when the health is so, where that is known: the alert's first failure, or the last one's end.</param>
/// <param name="LastErrorCode">The provider's own code, or our reason, of the last failure within the hour.</param>
/// <param name="LastErrorAt">When that was.</param>
/// <param name="Alert">The open alert.</param>
/// <param name="Position">Its place in the lane's route, from 1; absent when no running host carries it.</param>
/// <param name="Weight">Its current weight: the configured one, less while it is slow or fails; absent where the route is ordered.</param>
/// <param name="ConfiguredWeight">The weight as configured; absent where the route is ordered.</param>
/// <param name="CircuitSince">Since when the circuit is so; absent when it never changed.</param>
/// <param name="CircuitUntil">While the circuit is open: when the provider is tried again.</param>
/// <param name="PausedUntil">Until when it asked to be left alone; no error. Absent when that is over.</param>
/// <param name="Reason">Why it does not get all that it is configured for; absent when it does.</param>
/// <param name="Changes">The last changes of circuit and weight, the newest first; 20 at most.</param>
/// <param name="Sandbox">Whether the sandbox plays it for live clients (<c>Notify:LiveToSandbox</c>): then nothing reaches anybody.</param>
/// <param name="Apps">The apps that it has settings for, the default one first; absent where it knows none.</param>
public sealed record ProviderHealth(
    string Provider,
    string Lane,
    Health Health,
    CircuitState Circuit,
    double CallsPerMinute,
    double? ErrorRate,
    double? LatencyP50Ms,
    double? LatencyP95Ms,
    DateTimeOffset? Since,
    string? LastErrorCode,
    DateTimeOffset? LastErrorAt,
    Guid? Alert,
    int? Position,
    double? Weight,
    double? ConfiguredWeight,
    DateTimeOffset? CircuitSince,
    DateTimeOffset? CircuitUntil,
    DateTimeOffset? PausedUntil,
    string? Reason,
    IReadOnlyList<ProviderHistory> Changes,
    bool Sandbox = false,
    IReadOnlyList<CarriedApp>? Apps = null
);

/// <summary>Reads providers' health from the counts that Dispatch hosts write down; they lag by seconds.</summary>
public sealed class ProviderHealthReader(NpgsqlDataSource database, TimeProvider clock)
{
    /// <summary>How far back rates and percentiles go.</summary>
    public static readonly TimeSpan Window = TimeSpan.FromMinutes(5);

    /// <summary>Every provider that a Dispatch host carries or has called within the hour.</summary>
    public async Task<IReadOnlyList<ProviderHealth>> ReadAsync(CancellationToken cancellation)
    {
        var now = clock.GetUtcNow();
        var calls = new Dictionary<(string, Lane), (long Calls, long Failed)>();
        var errors = new Dictionary<(string, Lane), (string Code, DateTimeOffset At)>();
        var latencies = new Dictionary<(string, Lane), long[]>();
        var places = new Dictionary<(string, Lane), (int Position, double? Weight, bool IsSandbox, string? Apps)>();
        var known = new SortedSet<(string Provider, Lane Lane)>();
        await using var connection = await database.OpenConnectionAsync(cancellation);
        await using (var batch = Batch(connection, now))
        {
            await using var reader = await batch.ExecuteReaderAsync(cancellation);
            while (await reader.ReadAsync(cancellation))
                calls[Key()] = (reader.GetInt64(2), reader.GetInt64(3));
            await reader.NextResultAsync(cancellation);
            while (await reader.ReadAsync(cancellation))
                errors[Key()] = (reader.GetString(2), reader.GetFieldValue<DateTimeOffset>(3));
            await reader.NextResultAsync(cancellation);
            while (await reader.ReadAsync(cancellation))
            {
                if (!latencies.TryGetValue(Key(), out var counts))
                    latencies[Key()] = counts = new long[LatencyClasses.Classes];
                if (reader.GetInt64(2) <= counts.Length)
                    counts[reader.GetInt64(2) - 1] = reader.GetInt64(3);
            }

            await reader.NextResultAsync(cancellation);
            while (await reader.ReadAsync(cancellation))
            {
                known.Add(Key());
                places[Key()] = (
                    reader.GetInt16(2),
                    reader.IsDBNull(3) ? null : reader.GetDouble(3),
                    reader.GetBoolean(4),
                    reader.IsDBNull(5) ? null : reader.GetString(5)
                );
            }

            known.UnionWith(calls.Keys);
            (string, Lane) Key() => (reader.GetString(0), (Lane)reader.GetInt16(1));
        }

        var troubles = (await TroubleTable.OpenAsync(connection, cancellation))
            .Where(t => t.Kind is TroubleKind.ProviderFailing or TroubleKind.ProviderHalted)
            .ToList();
        var recovered = await TroubleTable.RecoveredAsync(connection, now.AddDays(-30), cancellation);
        var states = (await ProviderStateTable.ReadAsync(connection, cancellation)).ToDictionary(s => (s.Provider, s.Lane));
        var changes = await ChangesAsync(connection, [.. known.Select(k => k.Provider)], cancellation);
        return
        [
            .. known.Select(key =>
            {
                var (made, failed) = calls.GetValueOrDefault(key);
                var trouble = troubles.Where(t => t.Provider == key.Provider).MaxBy(t => t.Kind);
                var health = trouble switch
                {
                    { Kind: TroubleKind.ProviderHalted } => Health.Halted,
                    not null => Health.Failing,
                    null => made > 0 ? Health.Healthy : Health.Idle,
                };
                var histogram = latencies.GetValueOrDefault(key) ?? [];
                var error = errors.TryGetValue(key, out var last) ? last : ((string Code, DateTimeOffset At)?)null;
                var state = states.GetValueOrDefault(key);
                var place = places.TryGetValue(key, out var p) ? p : ((int Position, double? Weight, bool IsSandbox, string? Apps)?)null;
                return new ProviderHealth(
                    key.Provider,
                    key.Lane.ToString().ToLowerInvariant(),
                    health,
                    state?.Circuit ?? CircuitState.Closed,
                    Math.Round(made / Window.TotalMinutes, 2),
                    made > 0 ? Math.Round((double)failed / made, 4) : null,
                    LatencyClasses.Percentile(histogram, 0.5),
                    LatencyClasses.Percentile(histogram, 0.95),
                    trouble?.FirstFailureAt ?? (health == Health.Healthy ? LastRecovery(recovered, key.Provider) : null),
                    error?.Code,
                    error?.At,
                    trouble?.Id,
                    place?.Position,
                    place?.Weight * (state?.Factor ?? 1),
                    place?.Weight,
                    state is { Reason: not null } ? state.Since : null,
                    state?.Until,
                    state?.PausedUntil > now ? state.PausedUntil : null,
                    state is null ? null : ReasonOf(state, now),
                    changes[key.Provider],
                    place?.IsSandbox == true,
                    place?.Apps is { } apps ? CarriedApps.Parse(apps) : null
                );
            }),
        ];
    }

    private static string? ReasonOf(ProviderState state, DateTimeOffset now) =>
        state.Circuit != CircuitState.Closed ? state.Reason
        : state.PausedUntil > now ? "it asked to be left alone"
        : state.Factor < 1 ? state.FactorReason
        : null;

    private static async Task<Dictionary<string, List<ProviderHistory>>> ChangesAsync(
        NpgsqlConnection connection,
        string[] providers,
        CancellationToken cancellation
    )
    {
        var changes = providers.Distinct().ToDictionary(p => p, _ => new List<ProviderHistory>());
        await using var command = new NpgsqlCommand(
            $"""
            select p, e.type, (e.data ->> 'at')::timestamptz, e.data ->> 'reason', (e.data ->> 'until')::timestamptz, (e.data ->> 'from')::float8, (e.data ->> 'to')::float8
            from unnest($1) as u(p) cross join lateral (
                select type, data, version from {EventSchema.Name}.mt_events where stream_id = 'p/' || p order by version desc limit 20) as e order by p, e.version desc
            """,
            connection
        );
        command.Parameters.Add(new NpgsqlParameter { Value = changes.Keys.ToArray() });
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        while (await reader.ReadAsync(cancellation))
        {
            changes[reader.GetString(0)]
                .Add(
                    new ProviderHistory(
                        reader.GetString(1),
                        reader.GetFieldValue<DateTimeOffset>(2),
                        reader.GetString(3),
                        reader.IsDBNull(4) ? null : reader.GetFieldValue<DateTimeOffset>(4),
                        reader.IsDBNull(5) ? null : reader.GetDouble(5),
                        reader.IsDBNull(6) ? null : reader.GetDouble(6)
                    )
                );
        }

        return changes;
    }

    private static DateTimeOffset? LastRecovery(Dictionary<string, DateTimeOffset> recovered, string provider) =>
        new[] { Subjects.Failing(provider), Subjects.Halted(provider) }
            .Select(s => recovered.TryGetValue(s, out var at) ? at : (DateTimeOffset?)null)
            .Max();

    private static NpgsqlBatch Batch(NpgsqlConnection connection, DateTimeOffset now)
    {
        var batch = new NpgsqlBatch(connection);
        foreach (
            var (sql, since) in new[]
            {
                (
                    "select provider, queue / 10::smallint, sum(calls)::bigint, coalesce(sum(calls) filter (where outcome in "
                        + "(1, 2)), 0)::bigint from notify.provider_calls where bucket > $1 and outcome <> 4 and provider <> 'none' "
                        + "group by 1, 2",
                    now - Window
                ),
                (
                    "select distinct on (1, 2) provider, queue / 10::smallint, coalesce(code, reason), bucket from "
                        + "notify.provider_calls where bucket > $1 and outcome in (1, 2, 3) and provider <> 'none' order by 1, 2, "
                        + "bucket desc, outcome",
                    now.AddHours(-1)
                ),
                (
                    "select provider, queue / 10::smallint, h.class, sum(h.calls)::bigint from notify.provider_calls, "
                        + "unnest(latencies) with ordinality as h(calls, class) where bucket > $1 and outcome <> 4 and provider <> "
                        + "'none' and h.calls > 0 group by 1, 2, 3",
                    now - Window
                ),
                (
                    "select provider, lane, position, weight, is_sandbox, apps from notify.carried_providers where seen_at > $1",
                    now - Window
                ),
            }
        )
        {
            batch.BatchCommands.Add(new NpgsqlBatchCommand(sql) { Parameters = { new NpgsqlParameter { Value = since } } });
        }

        return batch;
    }
}
