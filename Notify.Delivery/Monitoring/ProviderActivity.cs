namespace Notify.Delivery.Monitoring;

using System.Collections.Concurrent;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Notify.Domain.Channels;
using Notify.Infrastructure.Hosting;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>A provider that a host carries.</summary>
/// <param name="Position">Its place in its lane's route, from 1.</param>
/// <param name="Weight">Its configured weight; <c>null</c> where the route is ordered.</param>
/// <param name="IsSandbox">Whether the sandbox plays it for live clients.</param>
/// <param name="Apps">The apps that it has settings for; <c>null</c> where it knows none.</param>
public sealed record CarriedProvider(
    string Provider,
    Lane Lane,
    int Position,
    double? Weight = null,
    bool IsSandbox = false,
    IReadOnlyList<CarriedApp>? Apps = null
);

/// <summary>
/// Counts the outcomes of this host's provider calls, and writes the counts every few seconds: a call costs a dictionary
/// look-up and three additions, and no statement. Counts that a killed host had not written are lost.
/// </summary>
public sealed class ProviderActivity(NpgsqlDataSource database, AlertRules rules, TimeProvider clock, ILogger<ProviderActivity> log)
    : BackgroundService
{
    private static readonly TimeSpan Kept = TimeSpan.FromHours(1);
    private readonly ConcurrentDictionary<Key, Counts> counts = new();
    private readonly TimeSpan bucket = rules.Bucket;
    private readonly Guid host = Guid.NewGuid();
    private CarriedProvider[] carried = [];

    /// <summary>Names the providers that this host carries.</summary>
    public void Carries(IEnumerable<CarriedProvider> providers) => carried = [.. providers];

    /// <summary>Counts one call.</summary>
    /// <param name="code">The provider's own code.</param>
    /// <param name="latency"><c>null</c> where nothing was called.</param>
    public void Count(string provider, DeliveryQueue queue, CallOutcome outcome, string reason, string? code, TimeSpan? latency)
    {
        var now = clock.GetUtcNow().UtcTicks;
        var entry = counts.GetOrAdd(new Key(now - (now % bucket.Ticks), provider, queue, outcome, reason), static _ => new Counts());
        Interlocked.Increment(ref entry.Calls);
        if (latency is { } taken)
            Interlocked.Increment(ref entry.Latencies[LatencyClasses.ClassOf(taken)]);
        if (code is not null)
            entry.Code = code;
    }

    /// <summary>Writes the counts. Those that could not be written remain for the next time.</summary>
    public async Task WriteAsync(CancellationToken cancellation)
    {
        var now = clock.GetUtcNow();
        var rows = counts.ToArray();
        await using var batch = database.CreateBatch();
        if (rows.Length > 0)
        {
            var latencies = new long[rows.Length, LatencyClasses.Classes];
            for (var r = 0; r < rows.Length; r++)
            {
                for (var c = 0; c < LatencyClasses.Classes; c++)
                    latencies[r, c] = Interlocked.Read(ref rows[r].Value.Latencies[c]);
            }

            // Unnest would flatten the latencies, so each row takes its slice of them.
            batch.BatchCommands.Add(
                Command(
                    """
                    insert into notify.provider_calls (bucket, provider, queue, outcome, reason, host, code, calls, latencies)
                    select b, p, q, o, r, $1, c, n, array(select h from unnest(($9::bigint[])[cast(i as int):cast(i as int)][:]) as u(h))
                    from unnest($2, $3, $4, $5, $6, $7, $8) with ordinality as t(b, p, q, o, r, c, n, i)
                    on conflict (bucket, provider, queue, outcome, reason, host)
                    do update set code = excluded.code, calls = excluded.calls, latencies = excluded.latencies
                    """,
                    host,
                    rows.Select(r => new DateTimeOffset(r.Key.Bucket, TimeSpan.Zero)).ToArray(),
                    rows.Select(r => r.Key.Provider).ToArray(),
                    rows.Select(r => r.Key.Queue.Code).ToArray(),
                    rows.Select(r => (short)r.Key.Outcome).ToArray(),
                    rows.Select(r => r.Key.Reason).ToArray(),
                    rows.Select(r => Clean(r.Value.Code)).ToArray(),
                    rows.Select(r => Interlocked.Read(ref r.Value.Calls)).ToArray(),
                    latencies
                )
            );
        }

        if (carried.Length > 0)
        {
            batch.BatchCommands.Add(
                Command(
                    """
                    insert into notify.carried_providers (provider, lane, position, weight, is_sandbox, apps, seen_at)
                    select p, l, n, w, s, a, $6 from unnest($1, $2, $3, $4, $5, $7) as t(p, l, n, w, s, a) order by 1, 2
                    on conflict (provider, lane) do update
                    set seen_at = excluded.seen_at, position = excluded.position, weight = excluded.weight, is_sandbox = excluded.is_sandbox,
                        apps = excluded.apps
                    where carried_providers.seen_at < excluded.seen_at - interval '30 seconds'
                        or (carried_providers.position, carried_providers.weight, carried_providers.is_sandbox, carried_providers.apps)
                            is distinct from (excluded.position, excluded.weight, excluded.is_sandbox, excluded.apps)
                    """,
                    carried.Select(c => c.Provider).ToArray(),
                    carried.Select(c => (short)c.Lane).ToArray(),
                    carried.Select(c => (short)c.Position).ToArray(),
                    carried.Select(c => c.Weight).ToArray(),
                    carried.Select(c => c.IsSandbox).ToArray(),
                    now,
                    carried.Select(c => CarriedApps.Write(c.Apps)).ToArray()
                )
            );
        }

        batch.BatchCommands.Add(Command("delete from notify.provider_calls where bucket < $1", now - Kept));
        await batch.ExecuteNonQueryAsync(cancellation);
        foreach (var row in rows.Where(r => r.Key.Bucket < (now - (2 * bucket)).UtcTicks))
            counts.TryRemove(row.Key, out _);
    }

    /// <inheritdoc />
    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken);
        await TryWriteAsync(cancellationToken);
    }

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(rules.Pace, clock);
        do await TryWriteAsync(stoppingToken);
        while (await timer.NextAsync(stoppingToken));
    }

    private async Task TryWriteAsync(CancellationToken cancellation)
    {
        try
        {
            await WriteAsync(cancellation);
        }
        catch (Exception e) when (e is OperationCanceledException || DatabaseFaults.IsPassing(e))
        {
            if (!cancellation.IsCancellationRequested)
                log.LogWarning("Counts of provider calls could not be written ({Reason}); it is tried again.", e.Message.Split('\n')[0]);
        }
    }

    private static NpgsqlBatchCommand Command(string sql, params ReadOnlySpan<object> parameters)
    {
        var command = new NpgsqlBatchCommand(sql);
        foreach (var p in parameters)
            command.Parameters.Add(new NpgsqlParameter { Value = p });
        return command;
    }

    // A code comes from outside and goes into alerts: a short one, or none.
    private static string? Clean(string? code) =>
        code is { Length: > 0 and <= 64 } && code.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-' or ' ') ? code : null;

    private readonly record struct Key(long Bucket, string Provider, DeliveryQueue Queue, CallOutcome Outcome, string Reason);

    private sealed class Counts
    {
        public readonly long[] Latencies = new long[LatencyClasses.Classes];
        public long Calls;
        public volatile string? Code;
    }
}
