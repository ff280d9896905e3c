namespace Notify.Delivery.EventStore;

using Marten;
using Notify.Domain.Notifications;
using Notify.Domain.Recipients;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>Reads and locks many notifications' streams at a time.</summary>
public static class NotificationStreams
{
    /// <summary>The time limit for locks of several streams; two transactions of ours take less.</summary>
    private static readonly TimeSpan StreamPatience = TimeSpan.FromMilliseconds(300);

    /// <summary>Limits the time that the transaction waits for a lock: one locked row must not stop a whole page.</summary>
    /// <param name="isPart">Whether the work is a part of a page that failed: it is cut further, and each cut waits.</param>
    public static async Task LimitLockWaitsAsync(NpgsqlConnection connection, CancellationToken cancellation, bool isPart = false)
    {
        await using var command = SqlCommands.Create(connection, $"set local lock_timeout = '{(isPart ? 200 : 1000)}ms'");
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Folds the streams with these keys: for each a state or a fault. Event types unknown to this host change nothing.</summary>
    /// <param name="withTexts">
    /// Whether payloads that events of earlier versions hold themselves are wanted: megabytes each. Their keys are known anyway.
    /// </param>
    public static async Task<LoadedStreams> LoadAsync(
        IQuerySession session,
        IReadOnlyCollection<string> keys,
        CancellationToken cancellation,
        bool withTexts = true
    )
    {
        var loaded = LoadedStreams.None;
        if (keys.Count == 0)
            return loaded;
        var events = await StoredEvents.OfStreamsAsync(
            session,
            keys as string[] ?? [.. keys],
            cancellation,
            withTexts ? null : WithoutText
        );
        foreach (var e in events)
            Fold(loaded, e);
        return loaded;
    }

    private static object WithoutText(object data) =>
        data switch
        {
            NotificationRequested e => e with { Payload = e.Payload.WithoutText },
            DigestClosed { Payload: { } payload } e => e with { Payload = payload.WithoutText },
            _ => data,
        };

    private static void Fold(LoadedStreams loaded, StoredEvent e)
    {
        if (loaded.Faults.ContainsKey(e.Stream))
            return;
        var state = loaded.States.GetValueOrDefault(e.Stream);
        var fault = e.Fault;
        try
        {
            if (fault is null && (e.Data is null ? state : Notification.Evolve(state, e.Stream, e.Data)) is { } next)
                loaded.States[e.Stream] = next with { Version = e.Version };
        }
        catch (Exception failure) when (failure is not OutOfMemoryException)
        {
            fault = $"it cannot be folded ({failure.GetType().Name})";
        }

        if (fault is null)
            return;
        loaded.States.Remove(e.Stream);
        loaded.Faults[e.Stream] = new StreamFault(e.Stream, e.Version, e.Type, fault);
    }

    /// <summary>Weighs streams: the stored bytes of their events and of the payloads that these refer to. No payload is read for
    /// it.</summary>
    public static async Task<Dictionary<string, long>> WeighAsync(
        NpgsqlConnection connection,
        IEnumerable<string> keys,
        CancellationToken cancellation
    )
    {
        var weights = new Dictionary<string, long>(StringComparer.Ordinal);
        var wanted = keys.Distinct(StringComparer.Ordinal).ToArray();
        if (wanted.Length == 0)
            return weights;
        await using var command = new NpgsqlCommand(
            $"""
            select stream_id, sum(pg_column_size(data) + case when type in ('NotificationRequested', 'DigestClosed', 'BroadcastRequested')
                                  then coalesce((data -> 'payload' ->> 'size')::bigint, 0) else 0 end)::bigint
            from {EventSchema.Name}.mt_events where stream_id = any($1) group by stream_id
            """,
            connection
        );
        command.Parameters.Add(new NpgsqlParameter { Value = wanted });
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        while (await reader.ReadAsync(cancellation))
            weights[reader.GetString(0)] = reader.GetInt64(1);
        return weights;
    }

    /// <summary>The registered users that these notifications are for, by stream key.</summary>
    public static async Task<Dictionary<string, Recipient>> RecipientsOfAsync(
        IQuerySession session,
        IEnumerable<NotificationRequested> requests,
        CancellationToken cancellation
    )
    {
        var users = requests.Where(r => r.UserRef is not null).Select(r => Recipient.KeyOf(r.UserRef!)).Distinct().ToArray();
        return users.Length == 0
            ? []
            : (await session.LoadManyAsync<Recipient>(cancellation, users)).ToDictionary(r => r.Id, StringComparer.Ordinal);
    }

    /// <summary>The user that a notification is for; <c>null</c> for the unknown and the unregistered.</summary>
    public static Recipient? Of(this Dictionary<string, Recipient> recipients, NotificationRequested request) =>
        request.UserRef is { } user ? recipients.GetValueOrDefault(Recipient.KeyOf(user)) : null;

    /// <summary>Folds one stream, as it is or as it was; <c>null</c> if there is none.</summary>
    /// <param name="version">Only events up to this version.</param>
    /// <param name="asOf">Only events up to this time.</param>
    /// <exception cref="UnreadableStreamException">An event among them cannot be read by this host.</exception>
    public static async Task<Notification?> LoadAsync(
        IQuerySession session,
        string key,
        CancellationToken cancellation,
        long? version = null,
        DateTimeOffset? asOf = null
    )
    {
        var loaded = LoadedStreams.None;
        foreach (var e in await StoredEvents.OfStreamsAsync(session, [key], cancellation))
        {
            if (e.Version <= (version ?? long.MaxValue) && e.Timestamp <= (asOf ?? DateTimeOffset.MaxValue))
                Fold(loaded, e);
        }

        return loaded.Faults.TryGetValue(key, out var fault)
            ? throw new UnreadableStreamException(fault)
            : loaded.States.GetValueOrDefault(key);
    }

    /// <summary>
    /// Locks streams that exist, in the order of their keys, until the transaction ends. Every transaction that appends to
    /// existing streams does this first, so that two of them wait for each other instead of failing.
    /// </summary>
    /// <returns>Whether all of them exist, and so are locked.</returns>
    public static async Task<bool> LockAsync(IDocumentSession session, IEnumerable<string> keys, CancellationToken cancellation)
    {
        await session.BeginTransactionAsync(cancellation);
        var sorted = keys.Distinct().Order(StringComparer.Ordinal).ToArray();
        await using var command = new NpgsqlCommand(
            $"select count(*) from (select 1 from {EventSchema.Name}.mt_streams where id = any($1) order by id for update) locked",
            session.Connection
        );
        command.Parameters.Add(new NpgsqlParameter { Value = sorted });
        return (long)(await command.ExecuteScalarAsync(cancellation))! == sorted.Length;
    }

    /// <summary>Locks streams of which one may be new, until the transaction ends.</summary>
    /// <param name="key">The one that may be new.</param>
    public static async Task LockNewAsync(IDocumentSession session, IReadOnlyList<string> keys, string key, CancellationToken cancellation)
    {
        if (await LockAsync(session, keys, cancellation))
            return;
        await WaitForTurnAsync(session, [key], cancellation);
        await LockAsync(session, keys, cancellation);
    }

    /// <summary>
    /// Takes the turn of streams that have no event yet, until the transaction ends: there is no row to lock before the first event. A
    /// concurrent request waits here, and then finds the event.
    /// </summary>
    public static async Task WaitForTurnAsync(IDocumentSession session, string[] keys, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(
            session.Connection!,
            """
            select count(pg_advisory_xact_lock(hashtextextended(s.key, 0)))
            from (select key from unnest($1) as key order by hashtextextended(key, 0) offset 0) s
            """,
            (object)keys
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>
    /// Locks those of these streams that become free within a moment, until the transaction ends: a stream that is locked elsewhere
    /// does not delay the others.
    /// </summary>
    /// <returns>The streams that are still locked elsewhere. Their deliveries are to be set aside.</returns>
    public static async Task<HashSet<string>> LockFreeAsync(
        IDocumentSession session,
        IEnumerable<string> keys,
        CancellationToken cancellation
    )
    {
        await session.BeginTransactionAsync(cancellation);
        var sorted = keys.Distinct().Order(StringComparer.Ordinal).ToArray();
        if (sorted.Length == 0)
            return [];
        var connection = session.Connection!;
        const string Lock = $"select id from {EventSchema.Name}.mt_streams where id = any($1) order by id for update";
        try
        {
            await using var batch = new NpgsqlBatch(connection);
            batch.BatchCommands.Add(new NpgsqlBatchCommand("savepoint streams"));
            batch.BatchCommands.Add(
                new NpgsqlBatchCommand(
                    "select set_config('notify.lock_timeout', current_setting('lock_timeout'), true), "
                        + $"set_config('lock_timeout', '{(int)StreamPatience.TotalMilliseconds}ms', true)"
                )
            );
            batch.BatchCommands.Add(new NpgsqlBatchCommand(Lock));
            batch.BatchCommands.Add(
                new NpgsqlBatchCommand("select set_config('lock_timeout', current_setting('notify.lock_timeout'), true)")
            );
            batch.BatchCommands[2].Parameters.Add(new NpgsqlParameter { Value = sorted });
            await batch.ExecuteNonQueryAsync(cancellation);
            return [];
        }
        catch (PostgresException e) when (e.SqlState == PostgresErrorCodes.LockNotAvailable)
        {
            await using var back = SqlCommands.Create(connection, "rollback to savepoint streams");
            await back.ExecuteNonQueryAsync(cancellation);
        }

        await using var free = SqlCommands.Create(connection, $"{Lock} skip locked", [sorted]);
        var busy = sorted.ToHashSet(StringComparer.Ordinal);
        await using var reader = await free.ExecuteReaderAsync(cancellation);
        while (await reader.ReadAsync(cancellation))
            busy.Remove(reader.GetString(0));
        return busy;
    }
}
