namespace Notify.Api.Access;

using System.Collections.Concurrent;
using Notify.Delivery.Privacy;
using Notify.Infrastructure.Hosting;
using Npgsql;

/// <summary>
/// Records when secrets were last used, in <c>notify.secret_uses</c>: outside of the requests, and every few minutes for each secret. Drops
/// kept answers with secrets after their time.
/// </summary>
public sealed class SecretUses(NpgsqlDataSource database, KeptAnswers answers, TimeProvider clock, ILogger<SecretUses> log)
    : BackgroundService
{
    private static readonly TimeSpan Pace = TimeSpan.FromSeconds(1),
        Fineness = TimeSpan.FromMinutes(5);
    private readonly ConcurrentDictionary<(string Client, string Secret), long> noted = new();
    private readonly ConcurrentDictionary<(string Client, string Secret), DateTimeOffset> pending = new();

    /// <summary>Notes a use.</summary>
    public void Note(string client, string secret)
    {
        var (key, now) = ((client, secret), clock.GetTimestamp());
        if (noted.TryGetValue(key, out var last) && clock.GetElapsedTime(last, now) < Fineness)
            return;
        noted[key] = now;
        pending[key] = clock.GetUtcNow();
    }

    /// <summary>Writes the uses that were noted since the last time.</summary>
    public async Task WriteAsync(CancellationToken cancellation)
    {
        var uses = pending.ToArray();
        if (uses.Length == 0)
            return;
        await using var command = database.CreateCommand(
            """
            insert into notify.secret_uses as u (client_id, secret_id, used_at)
            select c, s, t from unnest($1, $2, $3) as n (c, s, t) order by c, s
            on conflict (client_id, secret_id) do update set used_at = greatest(u.used_at, excluded.used_at)
            """
        );
        command.Parameters.Add(new NpgsqlParameter { Value = uses.Select(u => u.Key.Client).ToArray() });
        command.Parameters.Add(new NpgsqlParameter { Value = uses.Select(u => u.Key.Secret).ToArray() });
        command.Parameters.Add(new NpgsqlParameter { Value = uses.Select(u => u.Value).ToArray() });
        await command.ExecuteNonQueryAsync(cancellation);
        foreach (var use in uses)
            pending.TryRemove(use);
    }

    /// <summary>Reads the last uses of a client's secrets, and since when uses are noted.</summary>
    public static async Task<(Dictionary<string, DateTimeOffset> UsedAt, DateTimeOffset TrackedSince)> OfAsync(
        NpgsqlConnection connection,
        string client,
        CancellationToken cancellation
    )
    {
        var all = await ReadAsync(connection, "client_id = $1 or client_id = ''", client, cancellation);
        return (
            all.Where(u => u.Client.Length > 0).ToDictionary(u => u.Secret, u => u.UsedAt, StringComparer.Ordinal),
            all.Where(u => u.Client.Length == 0).Select(u => u.UsedAt).DefaultIfEmpty(DateTimeOffset.MinValue).Max()
        );
    }

    /// <summary>Reads the last uses of all secrets.</summary>
    public static async Task<Dictionary<(string Client, string Secret), DateTimeOffset>> AllAsync(
        NpgsqlConnection connection,
        CancellationToken cancellation
    ) => (await ReadAsync(connection, "$1 = ''", "", cancellation)).ToDictionary(u => (u.Client, u.Secret), u => u.UsedAt);

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Pace, clock);
        for (var beat = 0; await timer.NextAsync(stoppingToken); beat++)
        {
            try
            {
                await WriteAsync(stoppingToken);
                if (beat % 10 == 0)
                    await answers.DropAsync(database, stoppingToken);
            }
            catch (Exception e)
            {
                if (stoppingToken.IsCancellationRequested)
                    return;
                log.LogWarning("The last uses of secrets could not be written ({Reason}); it is tried again.", e.Message.Split('\n')[0]);
            }
        }
    }

    private static async Task<List<(string Client, string Secret, DateTimeOffset UsedAt)>> ReadAsync(
        NpgsqlConnection connection,
        string where,
        string client,
        CancellationToken cancellation
    )
    {
        await using var command = new NpgsqlCommand(
            $"select client_id, secret_id, used_at from notify.secret_uses where {where}",
            connection
        );
        command.Parameters.Add(new NpgsqlParameter { Value = client });
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var uses = new List<(string, string, DateTimeOffset)>();
        while (await reader.ReadAsync(cancellation))
            uses.Add((reader.GetString(0), reader.GetString(1), reader.GetFieldValue<DateTimeOffset>(2)));
        return uses;
    }
}
