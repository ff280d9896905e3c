namespace Notify.Dispatch.Dispatching;

using System.Collections.Concurrent;
using Marten;
using Microsoft.Extensions.Options;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.EventStore;
using Notify.Delivery.Monitoring;
using Notify.Delivery.Recipients;
using Notify.Delivery.Suppressions;
using Notify.Delivery.Telemetry;
using Notify.Dispatch.Providers;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Domain.Recipients;
using Notify.Domain.Suppressions;
using Notify.Infrastructure.Hosting;
using Notify.Infrastructure.Postgres;
using Npgsql;
using SessionOptions = Marten.Services.SessionOptions;

/// <summary>
/// Writes outcomes as their answers arrive, many in one transaction: the event and the delivery's row together. An outcome that cannot
/// be written now is kept in memory and tried again apart from the others, also while the host stops.
/// </summary>
/// <remarks>
/// An outcome is given up only when the data themselves cause the fault, and never when the provider accepted the delivery: that fact
/// exists nowhere else until it is written.
/// </remarks>
public sealed class Settlement : IAsyncDisposable
{
    /// <summary>Outcomes that may wait to be written before the host claims nothing more.</summary>
    public const int MaxPending = 2_000;

    private static readonly TimeSpan CommitTimeout = TimeSpan.FromSeconds(30),
        KeptAfter = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan MaxDelay = TimeSpan.FromSeconds(30),
        AlertInterval = TimeSpan.FromMinutes(1);
    private readonly IDocumentStore store;
    private readonly NpgsqlDataSource database;
    private readonly TimeProvider clock;
    private readonly RetrySchedule schedule;
    private readonly QueueActivity activity;
    private readonly ProviderActivity providers;
    private readonly ILogger<Settlement> log;
    private readonly GroupCommit<AttemptMade, bool> group;
    private readonly ConcurrentDictionary<AttemptMade, long> pending = new(ReferenceEqualityComparer.Instance);
    private readonly CancellationTokenSource stopping = new();
    private long lastAlert;

    /// <summary>Starts the committer.</summary>
    public Settlement(
        IDocumentStore store,
        NpgsqlDataSource database,
        TimeProvider clock,
        IOptions<RetrySchedule> schedule,
        QueueActivity activity,
        ProviderActivity providers,
        ILogger<Settlement> log
    )
    {
        (this.store, this.database, this.clock, this.schedule) = (store, database, clock, schedule.Value);
        (this.activity, this.providers, this.log) = (activity, providers, log);
        Recent = new RecentAttempts(clock);
        group = new GroupCommit<AttemptMade, bool>(
            SettleAsync,
            new GroupCommitOptions<AttemptMade>
            {
                MaxItems = 200,
                Pace = TimeSpan.FromMilliseconds(20),
                KeyOf = made => made.Row.Notification,
                MaxTries = int.MaxValue,
                CommitTimeout = CommitTimeout,
                OnIsolated = (made, fault) => Alert(made[0], fault),
            },
            clock
        );
    }

    /// <summary>The attempts of the last minutes.</summary>
    public RecentAttempts Recent { get; }

    /// <summary>Outcomes that have been waiting to be written for longer than a commit takes.</summary>
    public int Kept => pending.Values.Count(since => clock.GetElapsedTime(since) > KeptAfter);

    /// <summary>Settles one outcome; completes when it has been committed.</summary>
    /// <returns>Whether it was written; if not, the delivery is in flight under a claim that nobody settles any more.</returns>
    public async Task<bool> SettleAsync(AttemptMade made)
    {
        Recent.End(made);
        pending[made] = clock.GetTimestamp();
        try
        {
            for (var tries = 0; ; tries++)
            {
                try
                {
                    return await group.AddAsync(made);
                }
                catch (Exception fault) when (fault is not OperationCanceledException)
                {
                    if (made.Outcome is not AttemptOutcome.Accepted && !DatabaseFaults.IsPassing(fault))
                    {
                        log.LogError(fault, "The outcome of delivery {Delivery} cannot be written; its claim is given up.", made.Row.Id);
                        return false;
                    }

                    Alert(made, fault);
                    await DelayAsync(tries);
                }
            }
        }
        finally
        {
            pending.TryRemove(made, out _);
        }
    }

    /// <summary>Waits until few enough outcomes are waiting to be written, so that memory stays bounded.</summary>
    public async Task WaitForRoomAsync(CancellationToken cancellation)
    {
        while (pending.Count >= MaxPending)
            await Task.Delay(TimeSpan.FromMilliseconds(100), clock, cancellation);
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        await stopping.CancelAsync(); // kept outcomes are tried at once, for the last time
        await group.DisposeAsync();
        foreach (var lost in pending.Keys)
        {
            log.LogCritical(
                "The outcome of delivery {Delivery} could not be written before the host's end: {Provider} answered {Outcome} at {At}.",
                lost.Row.Id,
                lost.Provider,
                lost.Outcome is AttemptOutcome.Accepted { MessageId: { } id } ? $"Accepted, message {id}" : lost.Outcome.GetType().Name,
                lost.At
            );
        }

        stopping.Dispose();
    }

    private async Task<IReadOnlyList<bool>> SettleAsync(IReadOnlyList<AttemptMade> all, CommitLimits limits, CancellationToken cancellation)
    {
        await CommitAsync(all, limits, cancellation);
        return [.. all.Select(_ => true)];
    }

    private async Task DelayAsync(int tries)
    {
        var delay = TimeSpan.FromMilliseconds(500 * Math.Pow(2, Math.Min(tries, 6)));
        await Task.Delay(delay < MaxDelay ? delay : MaxDelay, clock, stopping.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    // One line at once and one a minute, however many are kept.
    private void Alert(AttemptMade made, Exception fault)
    {
        var (now, last) = (clock.GetTimestamp(), Interlocked.Read(ref lastAlert));
        if (last != 0 && clock.GetElapsedTime(last, now) < AlertInterval)
            return;
        if (Interlocked.CompareExchange(ref lastAlert, now, last) != last)
            return;
        log.LogError(
            "ALERT {Count} outcomes cannot be written now ({Reason}), the first of them of delivery {Delivery}. "
                + "They are kept in memory and tried again; do not kill this host.",
            pending.Count,
            fault.GetBaseException().Message.Split('\n')[0],
            made.Row.Id
        );
    }

    private async Task CommitAsync(IReadOnlyList<AttemptMade> all, CommitLimits limits, CancellationToken cancellation)
    {
        var now = clock.GetUtcNow();
        await using var connection = await database.OpenConnectionAsync(cancellation);
        await using var transaction = await connection.BeginTransactionAsync(cancellation);
        await using var session = store.LightweightSession(SessionOptions.ForTransaction(transaction));
        await limits.ApplyAsync(connection, cancellation);

        var (held, unknown) = await LockAsync(connection, all, cancellation);
        var late = all.Where(a => !held.ContainsKey((a.Row.Id, a.Claim))).ToList();
        var writes = all.Except(late).ToList();
        var duplicates = new List<AttemptMade>();
        foreach (var (made, what) in late.Count == 0 ? [] : await LateAsync(session, late, unknown, cancellation))
        {
            if (what == LateOutcome.Outcome)
                writes.Add(made);
            else if (what == LateOutcome.Duplicate)
                duplicates.Add(made);
        }

        await OwnMessagesAsync(connection, writes, duplicates, cancellation);
        var settled = writes
            .Select(made =>
                (
                    Made: made,
                    Settled: OutcomeDecider.Decide(
                        made,
                        held.GetValueOrDefault((made.Row.Id, made.Claim)),
                        schedule,
                        now,
                        Random.Shared.NextDouble()
                    )
                )
            )
            .ToList();
        await OpenDeliveryTable.RemoveAsync(
            connection,
            [.. settled.Where(s => s.Settled.Next is null).Select(s => s.Made.Row.Id)],
            cancellation
        );
        await OpenDeliveryTable.PutAsync(
            connection,
            [.. settled.Where(s => s.Settled.Next is not null).Select(s => s.Settled.Next!)],
            cancellation
        );

        var dead = settled
            .Select(s => s.Made)
            .Where(m =>
                m is { Mode: ClientMode.Live, UserKey: not null, Outcome: AttemptOutcome.Rejected { Verdict: AddressVerdict.Dead } }
            )
            .ToList();
        var events = settled
            .Where(s => s.Settled.Event is not null)
            .Select(s => (s.Made.Row.Notification, Event: s.Settled.Event!))
            .Concat(duplicates.Select(d => (d.Row.Notification, Event: (object)Duplicate(d, now))))
            .ToList();
        var keys = events.Select(e => e.Notification).Concat(dead.Select(m => m.UserKey!)).ToList();
        if (keys.Count > 0)
        {
            await NotificationStreams.LockAsync(session, keys, cancellation);
            foreach (var stream in events.GroupBy(e => e.Notification))
                session.Events.Append(stream.Key, stream.Select(e => e.Event));
            if (dead.Count > 0)
                await RemoveDevicesAsync(session, dead, now, cancellation);
            await SuppressionTable.SuppressAsync(
                session,
                [.. settled.Select(s => ToSuppress(s.Made, now)).OfType<AddressToSuppress>()],
                now,
                cancellation
            );
            await session.SaveChangesAsync(cancellation);
        }

        await transaction.CommitAsync(cancellation);
        Count(settled, now);
        if (duplicates.Count > 0)
            log.LogError(
                "{Count} deliveries went out twice, {Delivery} among them: others had taken them over and sent them.",
                duplicates.Count,
                duplicates[0].Row.Id
            );
    }

    // Where a repeat would reach the person twice, each of a provider's messages belongs to one delivery. If two asked for
    // theirs at once and found the same one, the second goes on asking.
    private static async Task OwnMessagesAsync(
        NpgsqlConnection connection,
        List<AttemptMade> writes,
        List<AttemptMade> duplicates,
        CancellationToken cancellation
    )
    {
        var messages = writes
            .Concat(duplicates)
            .Where(w => !Lanes.RepeatReplacesItself(w.Row.Queue.Lane) && w.Outcome is AttemptOutcome.Accepted { MessageId: not null })
            .Select(w => (w.Provider, ((AttemptOutcome.Accepted)w.Outcome).MessageId!, w.Row.Id, w.Row.Notification))
            .ToList();
        var others = await ProviderMessages.NoteAsync(connection, messages, cancellation);
        for (var i = 0; i < writes.Count; i++)
        {
            if (writes[i] is { WasAsked: true, Outcome: AttemptOutcome.Accepted } w && others.Contains(w.Row.Id))
                writes[i] = w with { Outcome = new AttemptOutcome.Unknown(Reasons.TimedOut) };
        }
    }

    // The claims that are still held, and whether a receipt has ended the delivery meanwhile; and the deliveries that wait as
    // unknown. Others were taken over, or were settled by a commit whose answer was lost.
    private static async Task<(Dictionary<(Guid, Guid), bool> Held, HashSet<Guid> Unknown)> LockAsync(
        NpgsqlConnection connection,
        IReadOnlyList<AttemptMade> all,
        CancellationToken cancellation
    )
    {
        await using var batch = new NpgsqlBatch(connection);
        // A row or a stream that another transaction has locked must not delay the others of the group.
        batch.BatchCommands.Add(new NpgsqlBatchCommand("set local lock_timeout = '1s'"));
        batch.BatchCommands.Add(
            new NpgsqlBatchCommand(
                """
                select delivery_id, claim, has_ended, state from notify.open_deliveries where delivery_id = any($1) and state in (1, 3)
                order by delivery_id for update
                """
            )
            {
                Parameters = { new NpgsqlParameter { Value = all.Select(a => a.Row.Id).ToArray() } },
            }
        );
        await using var reader = await batch.ExecuteReaderAsync(cancellation);
        var (held, unknown) = (new Dictionary<(Guid, Guid), bool>(), new HashSet<Guid>());
        while (await reader.ReadAsync(cancellation))
        {
            if (reader.GetInt16(3) == (short)OpenState.Unknown)
                unknown.Add(reader.GetGuid(0));
            else
                held[(reader.GetGuid(0), reader.GetGuid(1))] = reader.GetBoolean(2);
        }

        return (held, unknown);
    }

    private static async Task<List<(AttemptMade Made, LateOutcome What)>> LateAsync(
        IDocumentSession session,
        List<AttemptMade> late,
        HashSet<Guid> unknown,
        CancellationToken cancellation
    )
    {
        var folded = await NotificationStreams.LoadAsync(
            session,
            [.. late.Select(l => l.Row.Notification).Distinct()],
            cancellation,
            withTexts: false
        );
        // Whether the outcome of an unreadable stream is a duplicate is not known: writing it twice is harmless, losing it is not.
        return
        [
            .. late.Select(l =>
                (
                    l,
                    folded.Faults.ContainsKey(l.Row.Notification)
                        ? l.Outcome is AttemptOutcome.Accepted
                            ? LateOutcome.Outcome
                            : LateOutcome.Nothing
                        : folded.States.GetValueOrDefault(l.Row.Notification)?.Deliveries.GetValueOrDefault(l.Row.Id) is { } d
                            ? LateOutcomes.Decide(l, d, unknown.Contains(l.Row.Id))
                            : LateOutcome.Nothing
                )
            ),
        ];
    }

    private static DuplicateDispatchDetected Duplicate(AttemptMade made, DateTimeOffset now) =>
        new(made.Row.Id, made.Attempt, made.Provider, ((AttemptOutcome.Accepted)made.Outcome).MessageId, now);

    private static async Task RemoveDevicesAsync(
        IDocumentSession session,
        List<AttemptMade> made,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        var recipients = (await session.LoadManyAsync<Recipient>(cancellation, made.Select(m => m.UserKey!).Distinct())).ToDictionary(r =>
            r.Id
        );
        // Read after the streams were locked, as registrations lock them: a later registration sees the removal made here.
        var registered = await DeviceTable.LastRegisteredAsync(
            session.Connection!,
            [.. made.Select(m => m.DeviceId).OfType<string>()],
            cancellation
        );
        foreach (var m in made)
        {
            if (
                recipients.TryGetValue(m.UserKey!, out var recipient)
                && recipient.Devices.FirstOrDefault(d => d.Id == m.DeviceId) is { } device
                && m.Outcome is AttemptOutcome.Rejected { Since: { } since }
                && device.RegisteredAt <= since
                && !(registered.GetValueOrDefault(device.Id) > since)
            )
                session.Events.Append(recipient.Id, new DeviceRemoved(device.Id, DeviceRemovalReasons.Unregistered, m.Provider, now));
        }
    }

    // Answers of the sandbox to a test client have no consequence for an address or a token.
    private static AddressToSuppress? ToSuppress(AttemptMade m, DateTimeOffset now) =>
        m
            is {
                Mode: ClientMode.Live,
                Fingerprint: { } fingerprint,
                Outcome: AttemptOutcome.Rejected { Verdict: AddressVerdict.Suppress } rejected
            }
            ? new AddressToSuppress(
                Lanes.ChannelOf(m.Row.Queue.Lane),
                fingerprint,
                rejected.Reason,
                m.Provider,
                m.Provider,
                Suppression.ExpiryOf(rejected.Reason, now),
                m.Contact
            )
            : null;

    private void Count(List<(AttemptMade Made, Settled Settled)> settled, DateTimeOffset now)
    {
        Telemetry.Commits.Add(1, new KeyValuePair<string, object?>("kind", "settle"));
        foreach (var s in settled)
        {
            if (s is { Settled.Event: DeliveryDeadLettered dead, Made.Mode: ClientMode.Live })
                providers.Count(s.Made.Provider, s.Made.Row.Queue, CallOutcome.DeadLettered, dead.Reason, s.Settled.Next?.Reason, null);
        }

        foreach (var group in settled.GroupBy(s => (s.Made.Row.Queue, Kind: s.Made.Outcome.GetType().Name)))
        {
            var tags = Telemetry.Tags(group.Key.Queue);
            if (group.Key.Kind == nameof(AttemptOutcome.Accepted))
            {
                activity.Dispatched(group.Key.Queue, group.Count());
                foreach (var s in group.Where(s => s.Made is { Attempt: 1, WasAsked: false }))
                    Telemetry.AcceptToProvider.Record(Math.Max(0, (s.Made.At - s.Made.Row.EnqueuedAt).TotalSeconds), tags);
            }

            tags.Add("outcome", group.Key.Kind);
            Telemetry.Outcomes.Add(group.Count(), tags);
        }
    }
}
