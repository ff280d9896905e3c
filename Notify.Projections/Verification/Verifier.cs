using Marten;
using Notify.Domain.Notifications;
using Notify.Projections.OpenDeliveries;
using Npgsql;

namespace Notify.Projections.Verification;

/// <summary>What a verification counted, and what it found wrong.</summary>
/// <param name="Notifications">Accepted notifications: idempotency keys.</param>
/// <param name="Waiting">Notifications without deliveries of their own: scheduled, collected, or cancelled or expired before.</param>
/// <param name="Digested">Those of them that a digest told.</param>
/// <param name="Deliveries">Planned deliveries and those left out.</param>
/// <param name="Faults">One line each; empty when all is well.</param>
public sealed record Verification(
    long Notifications, long Waiting, long Deliveries, long Terminal, long InFlight, long Unknown, long DeadLetters, long Digested, IReadOnlyList<string> Faults);

/// <summary>
/// Proves from the event store that nothing accepted is lost: every idempotency key has its stream, every delivery is
/// exactly one of terminal, in flight and unknown, and whatever is not terminal is in the table that work is driven from.
/// </summary>
public static class Verifier
{
    private const int Page = 1000, MaxFaults = 50;

    /// <summary>Verifies and prints.</summary>
    /// <returns>The exit code: 0 when all is well.</returns>
    public static async Task<int> RunAsync(IDocumentStore store, NpgsqlDataSource database, TextWriter output, CancellationToken cancellation = default)
    {
        var v = await VerifyAsync(store, database, cancellation);
        await output.WriteLineAsync($"notifications accepted  {v.Notifications,12:N0}   (not yet planned {v.Waiting - v.Digested:N0}, told by digests {v.Digested:N0})");
        await output.WriteLineAsync($"deliveries              {v.Deliveries,12:N0}");
        await output.WriteLineAsync($"  = terminal            {v.Terminal,12:N0}   (dead letters {v.DeadLetters:N0})");
        await output.WriteLineAsync($"  + in flight           {v.InFlight,12:N0}");
        await output.WriteLineAsync($"  + unknown             {v.Unknown,12:N0}");
        foreach (var fault in v.Faults) await output.WriteLineAsync($"FAULT {fault}");
        await output.WriteLineAsync(v.Faults.Count == 0 ? "verified: accepted = terminal + in flight + unknown, and every open delivery is in hand" : $"NOT verified: {v.Faults.Count} faults");
        return v.Faults.Count == 0 ? 0 : 1;
    }

    /// <summary>Verifies, in one snapshot of the database, so that it may run beside the hosts.</summary>
    public static async Task<Verification> VerifyAsync(IDocumentStore store, NpgsqlDataSource database, CancellationToken cancellation = default)
    {
        await using var connection = await database.OpenConnectionAsync(cancellation);
        await using var transaction = await connection.BeginTransactionAsync(System.Data.IsolationLevel.RepeatableRead, cancellation);
        await using var session = store.QuerySession(Marten.Services.SessionOptions.ForTransaction(transaction));
        var faults = new List<string>();
        long notifications = 0, waiting = 0, deliveries = 0, terminal = 0, inFlight = 0, unknown = 0, dead = 0;

        var open = new Dictionary<Guid, (string Notification, OpenState State, bool HasDue)>();
        await using (var command = new NpgsqlCommand("select delivery_id, notification, state, due_at is not null from notify.open_deliveries", connection))
        await using (var reader = await command.ExecuteReaderAsync(cancellation))
        {
            while (await reader.ReadAsync(cancellation)) open[reader.GetGuid(0)] = (reader.GetString(1), (OpenState)reader.GetInt16(2), reader.GetBoolean(3));
        }

        var digests = await DigestCheck.BeginAsync(connection, cancellation);
        var after = "";
        while (true)
        {
            var keys = await KeysAsync(connection, after, cancellation);
            if (keys.Count == 0) break;
            after = keys[^1];
            var (folded, unreadable) = await NotificationStreams.LoadAsync(session, keys, cancellation);
            await digests.CheckAsync(session, folded.Values, Fault, cancellation);
            foreach (var key in keys)
            {
                notifications++;
                if (unreadable.TryGetValue(key, out var cause))
                {
                    foreach (var id in open.Where(o => o.Value.Notification == key).Select(o => o.Key).ToList()) open.Remove(id);
                    Fault($"{cause}");
                    continue;
                }

                if (!folded.TryGetValue(key, out var n)) { Fault($"{key}: accepted, but has no stream"); continue; }
                if (!n.IsPlanned)
                {
                    waiting++;
                    var planning = open.Remove(DeterministicId.OfPlanning(key), out _);
                    if (planning != n.IsToBePlanned) Fault($"{key}: {(planning ? "ended or collected, but still waits to be planned" : "not planned, and nothing will plan it")}");
                    continue;
                }

                foreach (var d in n.Deliveries.Values)
                {
                    deliveries++;
                    var isOpen = open.Remove(d.Id, out var row);
                    if (d.Status == DeliveryStatus.DeadLettered)
                    {
                        terminal++;
                        dead++;
                        if (!isOpen || row.State != OpenState.Dead) Fault($"{key} {d.Id}: a dead letter that is not listed");
                    }
                    else if (d.IsTerminal)
                    {
                        terminal++;
                        // A receipt may be faster than the answer to the call: whoever calls then clears it away.
                        if (isOpen && row.State != OpenState.InFlight) Fault($"{key} {d.Id}: {d.Status}, but still open as {row.State}");
                    }
                    else
                    {
                        if (d.Status == DeliveryStatus.Unknown) unknown++; else inFlight++;
                        if (!isOpen) Fault($"{key} {d.Id}: {d.Status}, and nothing will go on with it");
                        else if (!row.HasDue) Fault($"{key} {d.Id}: {d.Status}, without a time at which somebody looks");
                        else if (d.Status == DeliveryStatus.Unknown ? row.State is not (OpenState.Unknown or OpenState.Asking or OpenState.InFlight) : row.State is not (OpenState.Queued or OpenState.InFlight or OpenState.Deferred)) Fault($"{key} {d.Id}: {d.Status}, but open as {row.State}");
                    }
                }
            }
        }

        digests.End(Fault);
        foreach (var (id, row) in open) Fault($"{row.Notification} {id}: open as {row.State}, but no stream knows it");
        if (deliveries != terminal + inFlight + unknown) Fault("the sums do not agree");
        return new Verification(notifications, waiting, deliveries, terminal, inFlight, unknown, dead, digests.Digested, faults);

        void Fault(string text)
        {
            if (faults.Count < MaxFaults) faults.Add(text);
        }
    }

    private static async Task<List<string>> KeysAsync(NpgsqlConnection connection, string after, CancellationToken cancellation)
    {
        await using var command = new NpgsqlCommand("select key from notify.event_ids where key > $1 order by key limit $2", connection);
        command.Parameters.Add(new NpgsqlParameter { Value = after });
        command.Parameters.Add(new NpgsqlParameter { Value = Page });
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var keys = new List<string>();
        while (await reader.ReadAsync(cancellation)) keys.Add(reader.GetString(0));
        return keys;
    }
}
