namespace Notify.Infrastructure.Messaging;

using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Notify.Infrastructure.Hosting;
using Npgsql;

/// <summary>
/// Releases messages that a live host no longer tracks. When PostgreSQL fails between a commit and the sending, Wolverine
/// may neither send the message nor release it, and recovery skips messages with an owner. A message that is in the
/// outbox at several scans in a row is released for recovery; a message that is sent twice is harmless, since deliveries are claimed.
/// </summary>
/// <param name="schema">The host's message storage.</param>
public sealed class OutboxSweep(NpgsqlDataSource database, string schema, TimeProvider clock, ILogger<OutboxSweep> log) : BackgroundService
{
    /// <summary>So many looks in a row must find a message; sending takes milliseconds.</summary>
    public const int Patience = 3;

    private const int Page = 5000;
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);
    private Dictionary<Guid, int> seen = [];

    /// <summary>Looks once.</summary>
    /// <returns>How many messages were freed.</returns>
    public async Task<int> LookAsync(CancellationToken cancellation)
    {
        var now = new Dictionary<Guid, int>();
        await using (
            var look = database.CreateCommand($"select id from {schema}.wolverine_outgoing_envelopes where owner_id <> 0 limit {Page}")
        )
        await using (var reader = await look.ExecuteReaderAsync(cancellation))
        {
            while (await reader.ReadAsync(cancellation))
                now[reader.GetGuid(0)] = seen.GetValueOrDefault(reader.GetGuid(0)) + 1;
        }

        seen = now;
        var left = now.Where(m => m.Value >= Patience).Select(m => m.Key).ToArray();
        if (left.Length == 0)
            return 0;
        await using var free = database.CreateCommand(
            $"update {schema}.wolverine_outgoing_envelopes set owner_id = 0 where id = any($1) and owner_id <> 0"
        );
        free.Parameters.Add(new NpgsqlParameter { Value = left });
        return await free.ExecuteNonQueryAsync(cancellation);
    }

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, clock);
        while (await timer.NextAsync(stoppingToken))
        {
            try
            {
                if (await LookAsync(stoppingToken) is > 0 and var freed)
                    log.LogWarning("{Count} messages had been left in the outbox; they are sent again.", freed);
            }
            catch (Exception e) when (e is NpgsqlException or TimeoutException or OperationCanceledException)
            {
                // The database is away; the next look comes.
            }
        }
    }
}
