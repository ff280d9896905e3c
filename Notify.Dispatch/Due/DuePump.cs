namespace Notify.Dispatch.Due;

using Marten;
using Microsoft.Extensions.Options;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.Digests;
using Notify.Delivery.EventStore;
using Notify.Delivery.Messaging;
using Notify.Delivery.Payloads;
using Notify.Delivery.Planning;
using Notify.Delivery.Privacy;
using Notify.Delivery.Snapshots;
using Notify.Delivery.Telemetry;
using Notify.Dispatch.Dispatching;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Infrastructure.Postgres;
using Npgsql;
using Wolverine.Marten;

/// <summary>
/// Processes due rows: plans scheduled notifications, closes digests, returns retries to their queues, has unknown outcomes asked for,
/// and re-sends the wake-ups of deliveries that were queued for too long. Runs on every host; rows that one host has locked are skipped
/// by the others.
/// </summary>
/// <remarks>
/// Critical deliveries go first, then lanes and clients in turn (see <see cref="DueDeliveries"/>).
/// It sleeps until the next row is due, so that a single row is processed at once; under load, rows that become due
/// between two pages share the next one. Where more is due than a page takes, further workers take the next pages. A page
/// takes no more scheduled notifications than the memory budget permits: mails may carry files, and many be due at the same time.
/// </remarks>
public sealed class DuePump(
    IDocumentStore store,
    NpgsqlDataSource database,
    Snapshots snapshots,
    SubjectKeys keys,
    MasterKeyRing ring,
    IServiceScopeFactory scopes,
    Notify.Delivery.Monitoring.QueueActivity activity,
    SmsLimits sms,
    TimeZones zones,
    DigestDue digests,
    StreamFaults faults,
    IOptions<RetrySchedule> schedule,
    TimeProvider clock,
    ILogger<DuePump> log
) : BackgroundService
{
    private const int Page = 500,
        Hands = 2;

    // A database that is slow with everything is not the rows' fault.
    private const int MaxTimeOuts = 3;
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(250),
        Pace = TimeSpan.FromMilliseconds(100),
        Noticeable = TimeSpan.FromSeconds(2),
        Aside = TimeSpan.FromMinutes(5);

    // A budget of its own: notifications that wait for a provider never delay planning. It is smaller, since it only delays heavy ones.
    private readonly SliceWeights weights = new(SliceWeights.Most / 3);
    private readonly DueDeliveries dueDeliveries = new(clock);
    private readonly SemaphoreSlim more = new(0),
        setBack = new(0);

    /// <inheritdoc />
    public override void Dispose()
    {
        more.Dispose();
        setBack.Dispose();
        base.Dispose();
    }

    /// <inheritdoc />
    protected override Task ExecuteAsync(CancellationToken stoppingToken) =>
        Task.WhenAll([
            LookAsync(stoppingToken),
            PullInAsync(stoppingToken),
            .. Enumerable.Range(1, Hands - 1).Select(_ => HelpAsync(stoppingToken)),
        ]);

    private async Task LookAsync(CancellationToken stopping)
    {
        for (var latest = DateTimeOffset.MinValue; !stopping.IsCancellationRequested; )
        {
            TimeSpan wait;
            try
            {
                var (began, now) = (clock.GetTimestamp(), clock.GetUtcNow());
                if (latest - now > Noticeable)
                    setBack.Release();
                latest = now;
                wait = await PumpAsync(stopping) switch
                {
                    (_, IsMore: true) => TimeSpan.Zero,
                    (0, _) => await UntilNextAsync(now, stopping),
                    _ => Pace - clock.GetElapsedTime(began),
                };
            }
            catch (Exception e)
            {
                if (stopping.IsCancellationRequested)
                    return;
                log.LogWarning("What is due could not be looked at ({Reason}); it is tried again.", e.Message.Split('\n')[0]);
                wait = TimeSpan.FromSeconds(1);
            }

            if (wait > TimeSpan.Zero)
                await Task.Delay(wait, clock, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task HelpAsync(CancellationToken stopping)
    {
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                await more.WaitAsync(stopping);
                while ((await PumpAsync(stopping)).IsMore) { }
            }
            catch (Exception e)
            {
                if (stopping.IsCancellationRequested)
                    return;
                log.LogWarning("What is due could not be taken up ({Reason}); it is tried again.", e.Message.Split('\n')[0]);
            }
        }
    }

    // The wait is at most the interval, so the next poll sees deliveries that are scheduled meanwhile for an earlier time.
    private async Task<TimeSpan> UntilNextAsync(DateTimeOffset now, CancellationToken cancellation)
    {
        await using var connection = await database.OpenConnectionAsync(cancellation);
        return
            await OpenDeliveryTable.NextDueAsync(connection, now, cancellation) is { } next
            && next - clock.GetUtcNow() is var wait
            && wait < Interval
            ? wait
            : Interval;
    }

    // Also when the host starts: the clock may have been set while none ran. Beside the rest: of millions it takes its time.
    private async Task PullInAsync(CancellationToken stopping)
    {
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                await using (var connection = await database.OpenConnectionAsync(stopping))
                {
                    if (await CountedWaits.PullInAsync(connection, schedule.Value, clock.GetUtcNow(), stopping) is > 0 and var count)
                        log.LogWarning(
                            "{Count} deliveries would have waited too long, since the clock was set back; they are due now.",
                            count
                        );
                }

                await setBack.WaitAsync(stopping);
            }
            catch (Exception e)
            {
                if (stopping.IsCancellationRequested)
                    return;
                log.LogWarning("What waits too long could not be looked for ({Reason}); it is tried again.", e.Message.Split('\n')[0]);
                await Task.Delay(TimeSpan.FromSeconds(5), clock, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    /// <summary>Processes one page of due rows. A row that cannot be processed does not delay the others.</summary>
    /// <returns>The number of processed rows, and whether more are due.</returns>
    public async Task<(int Taken, bool IsMore)> PumpAsync(CancellationToken cancellation)
    {
        if (ring.Format.IsOutdated)
            return (0, false);
        var tried = new List<OpenDelivery>();
        try
        {
            return await PumpAsync(null, tried, cancellation);
        }
        catch (Exception e) when (tried.Count > 0 && MayBeOfOneRow(e, cancellation))
        {
            return (await IsolateAsync(tried, e, new TimeOutCount(), cancellation), IsMore: true);
        }
    }

    private static bool MayBeOfOneRow(Exception e, CancellationToken cancellation) =>
        !cancellation.IsCancellationRequested && DatabaseFaults.MayBeOfOneRow(e);

    // Halves a page that failed until the row whose fault it is stands alone; all others are taken up. Returns how many.
    private async Task<int> IsolateAsync(List<OpenDelivery> rows, Exception fault, TimeOutCount timeOuts, CancellationToken cancellation)
    {
        var isLocked = DatabaseFaults.IsLocked(fault);
        if (rows is [var culprit])
        {
            if (!isLocked && DatabaseFaults.IsTimeOut(fault) && ++timeOuts.Value == MaxTimeOuts)
                throw new TimeoutException("The database is slow with every row.", fault);
            await SetAsideAsync(culprit, fault, cancellation);
            return 0;
        }

        // A statement takes as long for a half: each more would be waited for.
        var size = !isLocked && DatabaseFaults.IsTimeOut(fault) ? 1 : (rows.Count + 1) / 2;
        var count = 0;
        foreach (var part in rows.Chunk(size).Select(p => p.ToList()))
        {
            try
            {
                count += (await PumpAsync([.. part.Select(r => r.Id)], [], cancellation)).Taken;
            }
            catch (Exception e) when (MayBeOfOneRow(e, cancellation))
            {
                count += await IsolateAsync(part, e, timeOuts, cancellation);
            }
        }

        return count;
    }

    // A lock is let go before long; other faults last until somebody fixes their cause.
    private async Task SetAsideAsync(OpenDelivery culprit, Exception fault, CancellationToken cancellation)
    {
        var now = clock.GetUtcNow();
        var wait = DatabaseFaults.IsTimeOut(fault) ? LoadedStreams.LockWaitOf(culprit.DueAt ?? culprit.EnqueuedAt, now) : Aside;
        await using var connection = await database.OpenConnectionAsync(cancellation);
        await OpenDeliveryTable.PostponeAsync(connection, [culprit.Id], now + wait, cancellation);
        log.LogError(
            "{Delivery} is due and cannot be taken up ({Fault}); it is tried again in {Seconds:0} s and keeps nothing else waiting.",
            culprit.Id,
            DatabaseFaults.Describe(fault),
            wait.TotalSeconds
        );
    }

    // part: the rows of a page that failed, of which those are taken up that are still due.
    private async Task<(int Taken, bool IsMore)> PumpAsync(Guid[]? part, List<OpenDelivery> tried, CancellationToken cancellation)
    {
        var now = clock.GetUtcNow();
        await using var scope = scopes.CreateAsyncScope();
        await using var session = store.LightweightSession();
        await session.BeginTransactionAsync(cancellation);
        var connection = session.Connection!;
        await NotificationStreams.LimitLockWaitsAsync(connection, cancellation, isPart: part is not null);
        var (due, areMoreDue) = part is null
            ? await dueDeliveries.LockAsync(connection, now, Page, cancellation)
            : (await OpenDeliveryTable.DueAsync(connection, now, part, cancellation), false);
        tried.AddRange(due);
        if (due.Count == 0)
            return (0, false);

        // Notifications that exceed the memory budget together with the others stay due; urgent ones come first.
        var scheduled = due.Where(r => r.State == OpenState.Scheduled).OrderBy(r => r.Queue.Priority).ToList();
        var sizes = await NotificationStreams.WeighAsync(connection, scheduled.Select(s => s.Notification), cancellation);
        var taken = weights.Take(scheduled, sizes);
        var left = scheduled.RemoveAll(s => !taken.ContainsKey(s.Id));
        try
        {
            var isMore = areMoreDue || left > 0;
            if (isMore && more.CurrentCount == 0)
                more.Release();
            var areWaiting = await TakeUpAsync(scope, session, due, scheduled, now, cancellation);
            return (due.Count - left, isMore || areWaiting);
        }
        finally
        {
            weights.Release(taken.Values.Sum());
        }
    }

    // Tells whether digests are due that another transaction closes.
    private async Task<bool> TakeUpAsync(
        AsyncServiceScope scope,
        IDocumentSession session,
        List<OpenDelivery> due,
        List<OpenDelivery> scheduled,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        var connection = session.Connection!;
        var again = due.Select(DueDecider.Queue).OfType<OpenDelivery>().ToList();
        await OpenDeliveryTable.PutAsync(connection, again, cancellation);
        // A delivery in flight has a host that answers for it (see Takeover), and may have been claimed while it still had a time.
        var inFlight = due.Where(r => r.State == OpenState.InFlight).Select(r => r.Id).ToArray();
        await OpenDeliveryTable.PostponeAsync(connection, inFlight, null, cancellation);

        var (planned, areWaiting) = await PlanAsync(session, scheduled, now, cancellation);

        await scope.ServiceProvider.GetRequiredService<IMartenOutbox>().CarryAsync(session, again.Concat(planned));
        session.QueueSqlCommand("select 1"); // a session without changes would not commit
        await session.SaveChangesAsync(cancellation);
        Telemetry.Commits.Add(1, new KeyValuePair<string, object?>("kind", "due"));
        foreach (var queue in planned.GroupBy(r => r.Queue))
            activity.Enqueued(queue.Key, queue.Count());
        return areWaiting;
    }

    private async Task<(List<OpenDelivery> Queued, bool AreWaiting)> PlanAsync(
        IDocumentSession session,
        List<OpenDelivery> scheduled,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        if (scheduled.Count == 0)
            return ([], false);
        var connection = session.Connection!;
        var busy = await NotificationStreams.LockFreeAsync(session, scheduled.Select(s => s.Notification), cancellation);
        var aside = scheduled
            .Where(s => busy.Contains(s.Notification))
            .Select(s => s.SetAside(now + LoadedStreams.LockWaitOf(s.DueAt ?? s.EnqueuedAt, now), Reasons.StreamLocked));
        await OpenDeliveryTable.PutAsync(connection, [.. aside], cancellation);
        scheduled = [.. scheduled.Where(s => !busy.Contains(s.Notification))];
        if (scheduled.Count == 0)
            return ([], false);
        var loaded = await NotificationStreams.LoadAsync(session, [.. scheduled.Select(s => s.Notification)], cancellation);
        scheduled = await faults.SetAsideAsync(connection, scheduled, loaded, now, cancellation);
        var notifications = loaded.States;
        var waiting = notifications.Values.Where(n => n.IsToBePlanned).ToList();
        var payloadKeys = await keys.ForAsync(connection, waiting.Select(n => n.Request.Payload.Key), cancellation);
        var currentKeys = await keys.CurrentAsync(connection, waiting.Select(n => n.Request.Subject), cancellation);
        scheduled = await faults.SetAsideAsync(
            connection,
            scheduled,
            r =>
                notifications.TryGetValue(r.Notification, out var n) && n.IsToBePlanned
                    ? payloadKeys.MasterKeyOf(n.Request.Payload.Key) ?? currentKeys.MasterKeyOf(n.Request.Subject)
                    : null,
            now,
            cancellation
        );
        var taken = scheduled.Select(s => s.Notification).ToHashSet(StringComparer.Ordinal);
        notifications = notifications.Where(n => taken.Contains(n.Key)).ToDictionary(StringComparer.Ordinal);
        waiting.RemoveAll(n => !taken.Contains(n.Key));
        var (recipients, categories) = await snapshots.OfAsync(connection, [.. waiting.Select(n => n.Request)], cancellation);
        var payloads = await PayloadTable.OpenAsync(connection, waiting, payloadKeys, cancellation);
        var prints = await ring.ReadAsync(connection, waiting.SelectMany(n => HashedText.Of(payloads[n.Key]?.To)), cancellation);
        var rules = await ReachRulesReader.LoadAsync(
            categories,
            connection,
            waiting.SelectMany(n => ReachRulesReader.OfPlanning(payloads[n.Key], recipients.Of(n.Request), prints)),
            waiting.SelectMany(n => ReachRulesReader.Unregistered(payloads[n.Key], prints)),
            now,
            cancellation
        );

        var step = await digests.TakeUpAsync(session, notifications, payloads, recipients, rules, currentKeys, now, cancellation);

        var plans = new List<NotificationPlan>();
        var later = new List<OpenDelivery>();
        foreach (var row in scheduled)
        {
            var n = notifications.GetValueOrDefault(row.Notification);
            var mustWait = step.Waiting.Contains(row.Notification) || step.SetAside.ContainsKey(row.Notification);
            var next = DueDecider.Decide(n, mustWait, now);
            if (n is null || next == PlanningStep.None)
                continue;
            if (next == PlanningStep.Wait)
            {
                later.Add(row with { DueAt = step.SetAside.TryGetValue(n.Key, out var until) ? until : n.SendAt });
                continue;
            }

            if (next == PlanningStep.Expire)
            {
                session.Events.Append(n.Key, new NotificationExpired([], now));
                continue;
            }

            var recipient = recipients.Of(n.Request);
            var payload = payloads[n.Key];
            var plan = payload is null
                ? new DeliveriesPlanned(
                    [],
                    [new LeftOutDelivery(DeterministicId.OfDelivery(n.Key, "push"), Channel.Push, null, Reasons.Erased, "key")],
                    recipient?.Version ?? 0,
                    now
                )
                : NotificationPlanning.Plan(n.Key, n.Request, payload, recipient, rules, currentKeys, prints, now, sms);
            plans.Add(
                new NotificationPlan(n.Key, n.Request, payload, plan)
                {
                    Quiet = NotificationPlanning.QuietOf(n.Request, recipient, rules, currentKeys, zones),
                }
            );
        }

        var planned = new List<OpenDelivery>();
        foreach (var plan in await CapPlanning.HoldAsync(connection, plans, rules, prints, now, cancellation))
        {
            session.Events.Append(plan.Key, plan.Events);
            planned.AddRange(plan.Open(now));
        }

        await OpenDeliveryTable.RemoveAsync(connection, [.. scheduled.Select(s => s.Id).Except(later.Select(l => l.Id))], cancellation);
        await OpenDeliveryTable.PutAsync(connection, later, cancellation);
        await OpenDeliveryTable.AddAsync(connection, [.. planned, .. step.Opened], cancellation);
        return ([.. planned.Where(p => p.State == OpenState.Queued)], step.Waiting.Count > 0);
    }

    // Rows of one page that failed alone, each since a statement took too long.
    private sealed class TimeOutCount
    {
        public int Value { get; set; }
    }
}
