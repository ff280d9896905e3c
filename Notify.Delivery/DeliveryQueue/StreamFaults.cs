namespace Notify.Delivery.DeliveryQueue;

using Microsoft.Extensions.Logging;
using Notify.Delivery.EventStore;
using Notify.Delivery.Privacy;
using Notify.Domain.Notifications;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>
/// Notes streams that this host cannot read in <c>notify.stream_faults</c>, for the log and the alert, and sets the work on them aside.
/// </summary>
/// <remarks>Lock order: rows of <c>notify.stream_faults</c> come last, by stream.</remarks>
public sealed class StreamFaults(MasterKeyRing ring, ILogger<StreamFaults> log)
{
    private static readonly TimeSpan KeyWait = TimeSpan.FromSeconds(2);

    /// <summary>A fault that was not met for this long counts as over: longer than any work is set aside.</summary>
    public static readonly TimeSpan Lasting = TimeSpan.FromMinutes(20);

    /// <summary>Sets aside those deliveries, claimed or due, whose stream cannot be read, in the caller's transaction.</summary>
    /// <returns>The others.</returns>
    public async Task<List<OpenDelivery>> SetAsideAsync(
        NpgsqlConnection connection,
        List<OpenDelivery> rows,
        LoadedStreams loaded,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        if (loaded.Faults.Count == 0)
            return rows;
        var aside = rows.Where(r => loaded.Faults.ContainsKey(r.Notification)).ToList();
        await OpenDeliveryTable.PutAsync(
            connection,
            [.. aside.Select(r => r.SetAside(now + LoadedStreams.WaitOf(r.EnqueuedAt, now), Reasons.StreamUnreadable))],
            cancellation
        );
        await NoteAsync(connection, loaded, now, cancellation);
        return [.. rows.Except(aside)];
    }

    /// <summary>
    /// Gives deliveries back, claimed or due, with a text that this host cannot open: for want of a master key soon, for another
    /// host; where the key's row is damaged as with a stream that cannot be read.
    /// </summary>
    /// <param name="lockedBy">The master key that a delivery needs and that did not open it; <c>null</c>: none.</param>
    /// <returns>The others.</returns>
    public async Task<List<OpenDelivery>> SetAsideAsync(
        NpgsqlConnection connection,
        List<OpenDelivery> rows,
        Func<OpenDelivery, string?> lockedBy,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        var locked = rows.Select(r => (Row: r, Key: lockedBy(r))).Where(r => r.Key is not null).ToList();
        if (locked.Count == 0)
            return rows;
        var damaged = LoadedStreams.None;
        foreach (var (row, key) in locked.Where(l => ring.Has(l.Key!)))
            damaged.Faults[row.Notification] = new StreamFault(
                row.Notification,
                1,
                nameof(NotificationRequested),
                $"the key of its person cannot be unwrapped by the master key \"{key}\""
            );
        var others = await SetAsideAsync(connection, rows, damaged, now, cancellation);
        var back = locked.Where(l => !ring.Has(l.Key!)).ToList();
        if (back.Count == 0)
            return others;
        await OpenDeliveryTable.PutAsync(
            connection,
            [.. back.Select(l => l.Row.SetAside(now + KeyWait, Reasons.KeyNotHeld))],
            cancellation
        );
        log.LogError(
            "{Count} deliveries need master keys that this host has not ({Keys}); they go back for other hosts, unharmed.",
            back.Count,
            string.Join(", ", back.Select(l => l.Key).Distinct())
        );
        return [.. others.Except(back.Select(l => l.Row))];
    }

    /// <summary>Notes the faults in the caller's transaction.</summary>
    public async Task NoteAsync(NpgsqlConnection connection, LoadedStreams loaded, DateTimeOffset now, CancellationToken cancellation)
    {
        if (loaded.Faults.Count == 0)
            return;
        var faults = loaded.Faults.Values.OrderBy(f => f.Key, StringComparer.Ordinal).ToList();
        await using var command = SqlCommands.Create(
            connection,
            """
            insert into notify.stream_faults as f (stream, version, event_type, cause, first_at, last_at)
            select s, v, t, c, $5, $5 from unnest($1, $2, $3, $4) as n (s, v, t, c) order by s
            on conflict (stream) do update
            set version = excluded.version, event_type = excluded.event_type, cause = excluded.cause, last_at = excluded.last_at,
                first_at = case when f.last_at < excluded.last_at - $6 then excluded.first_at else f.first_at end
            """,
            faults.Select(f => f.Key).ToArray(),
            faults.Select(f => f.Version).ToArray(),
            faults.Select(f => f.EventType).ToArray(),
            faults.Select(f => f.Cause).ToArray(),
            now,
            Lasting
        );
        await command.ExecuteNonQueryAsync(cancellation);
        foreach (var fault in faults)
            log.LogError("{Fault}. The work on it is set aside and tried again; nothing else waits for it.", fault.ToString());
    }

    /// <summary>The faults that last, for the alert.</summary>
    public static async Task<(long Count, string? First, DateTimeOffset Since)> LastingAsync(
        NpgsqlConnection connection,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            "select count(*), (array_agg(event_type || ' ' || cause order by first_at))[1], min(first_at) "
                + "from notify.stream_faults where last_at > $1",
            now - Lasting
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        await reader.ReadAsync(cancellation);
        return (
            reader.GetInt64(0),
            reader.IsDBNull(1) ? null : reader.GetString(1),
            reader.IsDBNull(2) ? now : reader.GetFieldValue<DateTimeOffset>(2)
        );
    }
}
