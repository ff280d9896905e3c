namespace Notify.Projections.Verification;

using System.Data;
using Marten;
using Notify.Domain.Notifications;
using Notify.Infrastructure.Postgres;
using Npgsql;
using SessionOptions = Marten.Services.SessionOptions;

/// <summary>The limits of a verification: its memory, and the time that deliveries may be late before they are faults.</summary>
public sealed record VerificationLimits
{
    /// <summary>Streams and rows of a page.</summary>
    public int Page { get; init; } = 1000;

    /// <summary>Bytes of events that are in memory at once, as they are stored; a larger stream is read by itself.</summary>
    public long Bytes { get; init; } = 16 * 1024 * 1024;

    /// <summary>Faults that are listed in the result; all are counted.</summary>
    public int Faults { get; init; } = 1000;

    /// <summary>How late an unknown outcome or a broadcast may be.</summary>
    public TimeSpan Overdue { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>How long a claim may be without a living host; verification looks a second time after so long.</summary>
    public TimeSpan Recovery { get; init; } = TimeSpan.FromSeconds(30);
}

/// <summary>The scope of a verification: everything, or the streams with new events.</summary>
/// <param name="Sequence">Streams with events after this sequence; 0: all.</param>
/// <param name="Again">Streams that are checked in any case.</param>
public sealed record VerificationScope(long Sequence = 0, IReadOnlyCollection<string>? Again = null)
{
    /// <summary>Whether all streams are checked.</summary>
    public bool IsFull => Sequence == 0;
}

/// <summary>
/// Proves from the event store that nothing accepted is lost: every event ID has its stream, every delivery is exactly one
/// of terminal, in flight and unknown, and every open delivery is in the table that work is driven from.
/// </summary>
/// <remarks>
/// Streams are read in pages, each part of a page in a snapshot of its own, so that memory is bounded and no transaction is
/// long. Within a snapshot a stream and its rows belong together, so it may run beside the hosts. A page that failed with a
/// passing fault of the database is read again.
/// </remarks>
public sealed class Verifier(IDocumentStore store, NpgsqlDataSource database, TimeProvider clock, VerificationLimits limits)
{
    private const int Tries = 5;

    /// <summary>Verifies the store within the scope.</summary>
    /// <param name="found">Receives each fault as it is found.</param>
    /// <param name="progress">Called after each page.</param>
    public async Task<VerificationResult> VerifyAsync(
        VerificationScope scope,
        CancellationToken cancellation,
        Action<VerificationFault>? found = null,
        Func<Task>? progress = null
    )
    {
        var run = new Run(scope, clock.GetUtcNow(), found, progress, limits);
        var position = await PagedAsync(run, (connection, _) => StreamPages.LastAsync(connection, cancellation), cancellation);
        var orphaned = await PagedAsync(
            run,
            (connection, _) => WorkCheck.OrphanedAsync(connection, limits.Recovery, limits.Page, cancellation),
            cancellation
        );
        var looked = clock.GetTimestamp();

        foreach (var keys in (scope.Again ?? []).Chunk(limits.Page))
            await CheckPageAsync(
                run,
                await PagedAsync(run, (connection, _) => StreamPages.NamedAsync(connection, keys, cancellation), cancellation),
                cancellation
            );
        if (scope.IsFull)
            await CheckAllAsync(run, cancellation);
        else
            await CheckSinceAsync(run, position, cancellation);
        await CheckSnapshotsAsync(run, cancellation);
        await CheckRowsAsync(run, cancellation);
        await CheckClaimsAsync(run, orphaned, looked, cancellation);
        return new VerificationResult(scope.Sequence, position, run.Counts, run.Faults, run.LargestPage);
    }

    private async Task CheckAllAsync(Run run, CancellationToken cancellation)
    {
        for (string? next = ""; next is not null; )
        {
            var after = next;
            (var keys, next) = await PagedAsync(
                run,
                (connection, _) => StreamPages.AllAsync(connection, after, limits.Page, cancellation),
                cancellation
            );
            await CheckPageAsync(run, keys, cancellation);
        }
    }

    private async Task CheckSinceAsync(Run run, long position, CancellationToken cancellation)
    {
        var again = (run.Scope.Again ?? []).ToHashSet(StringComparer.Ordinal);
        for (long? next = run.Scope.Sequence; next is not null; )
        {
            var after = next.Value;
            (var keys, next) = await PagedAsync(
                run,
                (connection, _) => StreamPages.SinceAsync(connection, after, position, limits.Page, cancellation),
                cancellation
            );
            await CheckPageAsync(run, [.. keys.Where(k => !again.Contains(k.Key))], cancellation);
        }
    }

    private async Task CheckPageAsync(Run run, IReadOnlyList<PageKey> page, CancellationToken cancellation)
    {
        await PagedAsync(
            run,
            (_, part) =>
            {
                foreach (var k in page)
                    part.CheckKey(k);
                return Task.FromResult(true);
            },
            cancellation
        );
        string[] all = [.. page.Where(k => k.HasStream).Select(k => k.Key)];
        await PagedAsync(
            run,
            async (connection, part) =>
            {
                await VersionCheck.CheckAsync(connection, all, part.Fault, cancellation);
                return true;
            },
            cancellation
        );
        await CheckStreamsAsync(run, [.. all.Where(k => IsRead(k, run.Scope))], cancellation);
        if (run.Progress is { } progress)
            await progress();
    }

    // Documents of few streams are all checked in every run, by CheckSnapshotsAsync.
    private static bool IsRead(string key, VerificationScope scope) =>
        key[..Math.Min(2, key.Length)] is "n/" or "b/" or "s/" || (SnapshotKinds.Of(key) is { } kind && (scope.IsFull || kind.AreMany));

    private async Task CheckStreamsAsync(Run run, string[] keys, CancellationToken cancellation)
    {
        var parts = await PagedAsync(
            run,
            (connection, _) => StreamReader.PartsAsync(connection, keys, limits.Bytes, cancellation),
            cancellation
        );
        foreach (var part in parts)
        {
            await PagedAsync(
                run,
                (connection, result) => CheckPartAsync(connection, result, part, cancellation),
                cancellation,
                IsolationLevel.RepeatableRead
            );
        }
    }

    // No event shows an edited document: those of clients, templates, layouts, categories and topics are few, and all are
    // checked in every run; those of users and of the access log where their streams have new events, and all by a full run.
    private async Task CheckSnapshotsAsync(Run run, CancellationToken cancellation)
    {
        foreach (var kind in SnapshotKinds.All.Where(k => run.Scope.IsFull || !k.AreMany))
        {
            for (string? next = ""; next is not null; )
            {
                var after = next;
                (var page, next) = await PagedAsync(
                    run,
                    async (connection, part) =>
                    {
                        var read = await SnapshotCheck.PageAsync(connection, kind, after, limits.Page, cancellation);
                        foreach (var (key, hasStream) in read.Page)
                        {
                            if (!hasStream)
                                part.Fault(SnapshotCheck.WithoutStream(kind, key));
                        }

                        return read;
                    },
                    cancellation
                );
                if (!run.Scope.IsFull)
                    await CheckStreamsAsync(run, [.. page.Where(k => k.HasStream).Select(k => k.Key)], cancellation);
            }
        }
    }

    private async Task<bool> CheckPartAsync(NpgsqlConnection connection, PageResult result, string[] keys, CancellationToken cancellation)
    {
        await using var session = store.QuerySession(SessionOptions.ForTransaction(result.Transaction!));
        var streams = await StreamReader.ReadAsync(session, keys, cancellation);
        result.Streams = streams.Count;
        foreach (var s in streams.Values.Where(s => s.Fault is not null))
        {
            result.Fault(new VerificationFault(VerificationFaultKind.Unreadable, s.Key, null, s.Fault!));
            if (s.Key.StartsWith("n/", StringComparison.Ordinal))
                result.Counts += new VerificationCounts { Notifications = 1 };
        }

        var readable = streams.Values.Where(s => s.Fault is null).ToLookup(s => s.Key[..2], StringComparer.Ordinal);

        var rows = await WorkCheck.RowsAsync(connection, [.. readable["n/"].Select(s => s.Key)], cancellation);
        var notifications = readable["n/"].Select(s => (State: Fold(s, result), s.Events, s.Key)).ToList();
        foreach (var (state, events, key) in notifications)
        {
            if (state is not null)
                result.Counts += NotificationCheck.Check(state, events, [.. rows[key]], result.Fault);
        }

        var known = notifications.Where(n => n.State is not null).Select(n => (State: n.State!, n.Events)).ToList();
        await DigestCheck.CheckAsync(connection, [.. known.Select(n => n.State)], result.Fault, cancellation);
        await PayloadCheck.CheckAsync(connection, known.Select(n => n.State), result.Fault, cancellation);
        await CauseCheck.CheckAsync(session, connection, known, result.Fault, cancellation);
        result.Counts += await BroadcastCheck.CheckAsync(connection, [.. readable["b/"]], result.Fault, cancellation);
        result.Counts += await SuppressionCheck.CheckAsync(connection, [.. readable["s/"]], result.Fault, cancellation);
        var (compared, differences) = await SnapshotCheck.CompareAsync(
            connection,
            streams.Values.Where(s => s.Fault is null),
            cancellation
        );
        result.Counts += new VerificationCounts { Snapshots = compared };
        foreach (var difference in differences)
            result.Fault(SnapshotCheck.FaultOf(difference));
        return true;
    }

    private static Notification? Fold(StreamContent stream, PageResult result)
    {
        try
        {
            if (Notification.Fold(stream.Key, stream.Events.Select(e => e.Data)) is { } state)
                return state;
            result.Fault(
                new VerificationFault(VerificationFaultKind.StreamMissing, stream.Key, null, "does not begin with NotificationRequested")
            );
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            result.Fault(
                new VerificationFault(VerificationFaultKind.Unreadable, stream.Key, null, $"cannot be folded ({e.GetType().Name})")
            );
        }

        return null;
    }

    // By the rows themselves: a row without a stream is in no page of streams, and an overdue delivery has no new event.
    private async Task CheckRowsAsync(Run run, CancellationToken cancellation)
    {
        var overdue = run.StartedAt - limits.Overdue;
        for (Guid? next = Guid.Empty; next is { } after; )
            next = await PagedAsync(
                run,
                (connection, part) => WorkCheck.CheckRowsAsync(connection, overdue, after, limits.Page, part.Fault, cancellation),
                cancellation
            );
        for (string? next = ""; next is { } after; )
            next = await PagedAsync(
                run,
                (connection, part) => DigestCheck.CheckOrphansAsync(connection, after, limits.Page, part.Fault, cancellation),
                cancellation
            );
        for (string? next = ""; next is { } after; )
        {
            next = await PagedAsync(
                run,
                (connection, part) =>
                    BroadcastCheck.CheckRowsAsync(
                        connection,
                        run.Scope.IsFull ? run.Made : null,
                        run.StartedAt,
                        overdue,
                        after,
                        limits.Page,
                        part.Fault,
                        cancellation
                    ),
                cancellation
            );
        }

        DateTimeOffset? since = run.Scope.IsFull
            ? null
            : await PagedAsync(run, (connection, _) => StreamPages.TimeAsync(connection, run.Scope.Sequence, cancellation), cancellation);
        for (string? next = ""; next is { } after; )
            next = await PagedAsync(
                run,
                (connection, part) => SuppressionCheck.CheckOrphansAsync(connection, since, after, limits.Page, part.Fault, cancellation),
                cancellation
            );
    }

    // The same claim seen twice without a living host was not recovered in the time in which hosts recover it.
    private async Task CheckClaimsAsync(Run run, List<OrphanedClaim> first, long looked, CancellationToken cancellation)
    {
        if (first.Count == 0)
            return;
        var wait = limits.Recovery - clock.GetElapsedTime(looked);
        if (wait > TimeSpan.Zero)
            await Task.Delay(wait, clock, cancellation);
        await PagedAsync(
            run,
            async (connection, part) =>
            {
                foreach (var c in (await WorkCheck.OrphanedAsync(connection, limits.Recovery, limits.Page, cancellation)).Intersect(first))
                    part.Fault(
                        new VerificationFault(
                            VerificationFaultKind.ClaimOverdue,
                            c.Notification,
                            c.DeliveryId,
                            "in flight without a living host"
                        )
                    );
                return true;
            },
            cancellation
        );
    }

    // One short transaction. Its counts and faults are added when it is through, so that it can be repeated.
    private async Task<T> PagedAsync<T>(
        Run run,
        Func<NpgsqlConnection, PageResult, Task<T>> read,
        CancellationToken cancellation,
        IsolationLevel isolation = IsolationLevel.ReadCommitted
    )
    {
        for (var tries = 1; ; tries++)
        {
            try
            {
                await using var connection = await database.OpenConnectionAsync(cancellation);
                await using var transaction = await connection.BeginTransactionAsync(isolation, cancellation);
                var result = new PageResult { Transaction = transaction };
                var value = await read(connection, result);
                run.Add(result);
                return value;
            }
            catch (Exception e) when (tries < Tries && DatabaseFaults.IsPassing(e) && !cancellation.IsCancellationRequested)
            {
                await Task.Delay(TimeSpan.FromSeconds(tries), clock, cancellation);
            }
        }
    }

    /// <summary>The result of one transaction.</summary>
    private sealed class PageResult
    {
        public NpgsqlTransaction? Transaction { get; init; }

        public VerificationCounts Counts { get; set; } = new();

        public int Streams { get; set; }

        public List<VerificationFault> Faults { get; } = [];

        public Dictionary<string, long> Made { get; } = new(StringComparer.Ordinal);

        public void Fault(VerificationFault fault) => Faults.Add(fault);

        public void CheckKey(PageKey k)
        {
            if (NotificationKey.Parse(k.Key) is not { } id)
                return;
            if (k.HasEventId && !k.HasStream)
            {
                Counts += new VerificationCounts { Notifications = 1 };
                Fault(new VerificationFault(VerificationFaultKind.StreamMissing, k.Key, null, "accepted, but has no stream"));
            }

            if (!k.HasEventId)
                Fault(
                    new VerificationFault(VerificationFaultKind.EventIdMissing, k.Key, null, "has a stream, but its event ID is not kept")
                );
            if (k.HasEventId && id.EventId.IndexOf('@', StringComparison.Ordinal) is > 0 and var at)
            {
                var broadcast = k.Key[..^(id.EventId.Length - at - 1)];
                Made[broadcast] = Made.GetValueOrDefault(broadcast) + 1;
            }
        }
    }

    /// <summary>One verification under way.</summary>
    private sealed class Run(
        VerificationScope scope,
        DateTimeOffset startedAt,
        Action<VerificationFault>? found,
        Func<Task>? progress,
        VerificationLimits limits
    )
    {
        public VerificationScope Scope => scope;

        public DateTimeOffset StartedAt => startedAt;

        public Func<Task>? Progress => progress;

        public VerificationCounts Counts { get; private set; } = new();

        public List<VerificationFault> Faults { get; } = [];

        public Dictionary<string, long> Made { get; } = new(StringComparer.Ordinal);

        public int LargestPage { get; private set; }

        public void Add(PageResult result)
        {
            Counts += result.Counts + new VerificationCounts { Faults = result.Faults.Count };
            LargestPage = Math.Max(LargestPage, result.Streams);
            foreach (var (key, count) in result.Made)
                Made[key] = Made.GetValueOrDefault(key) + count;
            foreach (var fault in result.Faults)
            {
                found?.Invoke(fault);
                if (Faults.Count < limits.Faults)
                    Faults.Add(fault);
            }
        }
    }
}
