namespace Notify.Tests.Simulation;

using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.Planning;
using Notify.Dispatch.Dispatching;
using Notify.Dispatch.Providers;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Domain.Recipients;
using Notify.Domain.Suppressions;

/// <summary>How the host claims deliveries, calls providers and writes what came of it.</summary>
internal sealed partial class SimulatedHost
{
    // With its own time-outs a claim is tried so often before it is given up.
    private const int MaxClaimFailures = 20;

    private readonly record struct ClaimMoment(int Term, long Timestamp, DateTimeOffset Now);

    /// <summary>A queue message has come, as <c>DispatchDeliveriesHandler</c> gets it.</summary>
    public void Receive(DeliveryQueue queue, Guid[] ids) =>
        At(
            TimeSpan.Zero,
            () =>
            {
                if (!IsStopping)
                    Claim(queue, ids);
            }
        );

    // DeliveryDispatcher.StartAsync: without a lease nothing is claimed.
    private void Claim(DeliveryQueue queue, Guid[] ids)
    {
        if (!lease.Covers(lease.Term, lease.Margin(TimeSpan.MaxValue)))
            return;
        var claim = random.Id();
        var moment = new ClaimMoment(lease.Term, clock.GetTimestamp(), clock.GetUtcNow());
        Claims.Begin(claim);
        Claim(queue, ids, claim, moment, failures: 0);
    }

    // DeliveryDispatcher.ClaimAsync: the commit's answer may be lost, and the same claim is tried again.
    private void Claim(DeliveryQueue queue, Guid[] ids, Guid claim, ClaimMoment moment, int failures)
    {
        List<ClaimedDelivery> claimed = [];
        var now = clock.GetUtcNow();
        Transact(
            "claim",
            () => claimed = Claim(queue, ids, claim, again: failures > 0, now),
            done =>
            {
                if (done)
                {
                    var calls = claimed.Select(c => (Claimed: c, Done: new TaskCompletionSource<bool>())).ToList();
                    _ = Claims.FinishAsync(claim, calls.Select(c => c.Done.Task));
                    foreach (var call in calls)
                        Call(call.Claimed, moment, call.Done);
                }
                else if (failures < MaxClaimFailures)
                {
                    var wait = TimeSpan.FromMilliseconds(Math.Min(50 << Math.Min(failures, 6), 1000));
                    At(wait, () => Claim(queue, ids, claim, moment, failures + 1));
                }
                else
                {
                    Claims.GiveUp(claim);
                }
            }
        );
    }

    // SliceClaim.ClaimAsync.
    private List<ClaimedDelivery> Claim(DeliveryQueue queue, Guid[] ids, Guid claim, bool again, DateTimeOffset now)
    {
        var rows = again ? store.ClaimedBy(queue, Id, claim) : [];
        if (rows.Count == 0)
            rows = ids[0] == Guid.Empty ? store.ClaimOldest(queue, ids.Length, Id, claim) : store.ClaimNamed(ids, Id, claim);
        var (rules, claimed, late) = (store.Rules, new List<ClaimedDelivery>(), new List<LateDelivery>());
        foreach (var row in rows)
        {
            if (store.Load(row.Notification) is not { } n || !n.Deliveries.TryGetValue(row.Id, out var d))
            {
                store.Remove(row.Id);
                continue;
            }

            var (recipient, print) = (store.RecipientOf(n.Request), Fingerprint(d));
            var quiet = simulation.Planning.QuietOf(n.Request, recipient);
            object? obstacle = CanOpen(n, d) ? null : new DeliverySuppressed(d.Id, Reasons.Unreadable, "key", now);
            var (step, instead) = ClaimDecider.Decide(n, d, recipient, rules, print, obstacle, time => quiet(time) is not null, now);
            if (instead is not null)
                store.Append(row.Notification, instead);
            if (step == ClaimStep.End)
                store.Remove(row.Id);
            else if (step == ClaimStep.Call)
                claimed.Add(Claimed(row, claim, n, d, now));
            else
                late.Add(new LateDelivery(row, n, d, print ?? "device", quiet));
        }

        var counts = store.CountsOf(late.SelectMany(l => CapPlanning.Concerns(l, rules)), now);
        foreach (var (l, what) in CapPlanning.Again(late, rules, counts, now))
        {
            store.Append(l.Row.Notification, what);
            if (what is DeliveryDeferred why)
                store.Put(l.Row.PutOff(why));
            else if (what is CapPlaceMoved)
                claimed.Add(Claimed(l.Row, claim, l.Notification, l.Delivery, now));
            else
                store.Remove(l.Row.Id);
        }

        store.Write(counts);
        foreach (var c in claimed.Where(c => c.Ask is null && !Lanes.RepeatReplacesItself(queue.Lane)))
            store.DeliveryStreams[c.Row.Id] = c.Row.Notification;
        foreach (var c in claimed)
            simulation.Log($"{Name} claims {simulation.Short(c.Row.Id)}#{c.Attempt}{(c.Ask is null ? "" : " to ask")}");
        return claimed;
    }

    // SliceClaim.Claim.
    private ClaimedDelivery Claimed(OpenDelivery row, Guid claim, Notification n, Delivery d, DateTimeOffset now)
    {
        var attempt = ClaimDecider.AttemptOf(row, d);
        var provider = attempt.IsBound
            ? simulation.Providers.FirstOrDefault(p => p.Name == d.Provider)
            : (SimulatedProvider)routes[row.Queue.Lane].Choose(d.Tried ?? [], random.Double());
        var attempted = ClaimDecider.Record(row, attempt, provider?.Name, now);
        if (attempted is not null)
            store.Append(row.Notification, attempted);
        var category = store.Rules.Of(n.Request);
        var message = new OutboundMessage(
            d.Id,
            CanOpen(n, d) ? store.OpenText(d.Contact)! : "",
            new NotificationContent(Body: simulation.TextOf(n)),
            n.Request.Priority,
            n.Request.ExpiresAt
        );
        var basis = LastCheckBasis.Of(n, d.Channel, store.RecipientOf(n.Request), store.Rules, Fingerprint(d));
        return new ClaimedDelivery(
            row,
            claim,
            n,
            d,
            message,
            attempt.Number,
            provider,
            attempt.IsInquiry ? d.AttemptedAt ?? now : null,
            Fingerprint(d),
            ClaimDecider.ResendBefore(n, d, category),
            0,
            attempt.IsInquiry ? null : basis,
            attempted?.At ?? d.AttemptedAt
        );
    }

    private bool CanOpen(Notification n, Delivery d) =>
        store.OpenText(n.Request.Payload.Key) is not null && store.OpenText(d.Contact) is not null;

    private string? Fingerprint(Delivery d) =>
        d.Channel != Channel.Push && store.OpenText(d.Contact) is { } address ? SimulatedPlanning.PrintOf(address) : null;

    // DeliveryDispatcher.CallAsync. A call waits for a free connection first; then its permit is checked, and it leaves.
    private void Call(ClaimedDelivery c, ClaimMoment moment, TaskCompletionSource<bool> done)
    {
        if (c.Ask is { } since)
        {
            At(simulation.Latency(), () => Settle(c, Ask(c, since), clock.GetTimestamp(), done));
            return;
        }

        routes[c.Row.Queue.Lane].Begin(c.Provider!);
        var (began, beganAt) = (clock.GetTimestamp(), clock.GetUtcNow());
        var isOver = false;
        var permit = new SendPermit(
            lease,
            moment.Term,
            clock,
            moment.Timestamp,
            c.Notification.Request.ExpiresAt - moment.Now,
            _ => LookAsync(c)
        );
        At(random.Chance(0.7) ? simulation.Latency() : random.Seconds(0, 25), () => _ = LeaveAsync());

        async Task LeaveAsync()
        {
            try
            {
                if (simulation.Mutation != Mutation.PermitIsIgnored)
                    await permit.CheckAsync(SimulatedProvider.Timeout, CancellationToken.None);
                Leave();
            }
            catch (CallNotMadeException refused)
            {
                simulation.Log($"{Name} does not send {simulation.Short(c.Row.Id)}: {refused.Reason}");
                End(new AttemptOutcome.NotSent(refused.Reason));
            }
#pragma warning disable CA1031 // Whatever goes wrong in a continuation is the simulation's failure.
            catch (Exception e)
#pragma warning restore CA1031
            {
                simulation.Fail(e.ToString());
            }
        }

        void Leave()
        {
            simulation.Leaves(this, c);
            var transit = random.Chance(0.9) ? simulation.Latency() : random.Seconds(0, 5);
            var timesOut = simulation.Time.Now + SimulatedProvider.Timeout;
            var provider = (SimulatedProvider)c.Provider!;
            simulation.Time.In(
                transit,
                () =>
                    provider.Receive(
                        c.Message,
                        answer =>
                            At(
                                TimeSpan.Zero,
                                () =>
                                {
                                    // After a pause the answer lies there and the time-out is over: either may be seen first.
                                    if (simulation.Time.Now < timesOut || random.Chance(0.5))
                                        End(answer);
                                }
                            )
                    )
            );
            At(SimulatedProvider.Timeout + TimeSpan.FromMilliseconds(5), () => End(new AttemptOutcome.Unknown(Reasons.TimedOut)));
        }

        void End(AttemptOutcome outcome)
        {
            if (isOver)
                return;
            isOver = true;
            routes[c.Row.Queue.Lane].End(c.Provider!, outcome, clock.GetElapsedTime(began), beganAt, outcome is not AttemptOutcome.NotSent);
            Settle(c, outcome, began, done);
        }
    }

    // SendPermit's query: LastCheck.IsUnchangedAsync.
    private Task<bool> LookAsync(ClaimedDelivery c)
    {
        var look = new TaskCompletionSource<bool>();
        var now = clock.GetUtcNow();
        Execute(isThere =>
        {
            var isUnchanged = isThere && store.IsUnchanged(c.Claim, c.Row.Id, c.Basis!, now);
            At(
                simulation.Latency(),
                () =>
                {
                    if (isThere)
                        look.SetResult(isUnchanged);
                    else
                        look.SetException(new TimeoutException("The database is away."));
                }
            );
        });
        return look.Task;
    }

    // DeliveryDispatcher.AskAsync.
    private AttemptOutcome Ask(ClaimedDelivery c, DateTimeOffset since)
    {
        if (c.Provider is not AskableProvider provider || provider.Find(c.Message, since) is not { } found)
            return new AttemptOutcome.Unknown(Reasons.TimedOut);
        return store.FirstFree(provider.Name, found, c.Row.Id) is { } mine
            ? new AttemptOutcome.Accepted(mine)
            : new AttemptOutcome.NotFound();
    }

    // DeliveryDispatcher.SettleAsync.
    private void Settle(ClaimedDelivery c, AttemptOutcome outcome, long began, TaskCompletionSource<bool> done)
    {
        if (outcome is AttemptOutcome.Unknown or AttemptOutcome.Retry { Reason: Reasons.TimedOut })
            simulation.Excuse(c.Row.Id);
        if (outcome is AttemptOutcome.Unknown && c.Ask is null && simulation.Mutation == Mutation.UnknownIsRetried)
            outcome = new AttemptOutcome.Retry(Reasons.TimedOut, null);
        var mayMove = c.Ask is null && routes[c.Row.Queue.Lane].HasAnother([.. c.Delivery.Tried ?? [], c.Provider!.Name]);
        var made = AttemptMade.Of(c, outcome, clock.GetElapsedTime(began), null, clock.GetUtcNow(), mayMove);
        simulation.Log($"{Name} {simulation.Short(c.Row.Id)}#{c.Attempt} at {c.Provider?.Name}: {outcome}");
        Settle(made, done, tries: 0);
    }

    // Settlement: an outcome that cannot be written now is kept and tried again.
    private void Settle(AttemptMade made, TaskCompletionSource<bool> done, int tries)
    {
        if (made.Outcome is not AttemptOutcome.Accepted && random.Chance(0.005))
        {
            simulation.Log($"{Name} gives up the claim of {simulation.Short(made.Row.Id)}");
            done.SetResult(false);
            return;
        }

        var now = clock.GetUtcNow();
        Transact(
            "settle",
            () => Settle(made, now),
            written =>
            {
                if (written)
                    done.SetResult(true);
                else
                    At(TimeSpan.FromSeconds(Math.Min(0.5 * Math.Pow(2, Math.Min(tries, 6)), 30)), () => Settle(made, done, tries + 1));
            }
        );
    }

    // Settlement.CommitAsync.
    private void Settle(AttemptMade made, DateTimeOffset now)
    {
        var row = store.Open.GetValueOrDefault(made.Row.Id);
        var isHeld = row is { Data.State: OpenState.InFlight } && row.Claim == made.Claim;
        var isNews = isHeld || simulation.Mutation == Mutation.LostClaimSettles;
        if (!isNews)
        {
            var delivery = store.Load(made.Row.Notification)!.Deliveries[made.Row.Id];
            var late = LateOutcomes.Decide(made, delivery, row is { Data.State: OpenState.Unknown });
            simulation.Log($"{Name} is late with {simulation.Short(made.Row.Id)}: {late}");
            if (late == LateOutcome.Duplicate)
                store.Append(
                    made.Row.Notification,
                    new DuplicateDispatchDetected(
                        made.Row.Id,
                        made.Attempt,
                        made.Provider,
                        ((AttemptOutcome.Accepted)made.Outcome).MessageId,
                        now
                    )
                );
            isNews = late == LateOutcome.Outcome;
        }

        // Settlement.OwnMessagesAsync.
        if (
            isNews
            && !Lanes.RepeatReplacesItself(made.Row.Queue.Lane)
            && made.Outcome is AttemptOutcome.Accepted { MessageId: { } id }
            && store.NoteMessage(made.Provider, id, made.Row.Id, made.Row.Notification)
            && made.WasAsked
        )
            made = made with { Outcome = new AttemptOutcome.Unknown(Reasons.TimedOut) };
        if (!isNews)
            return;

        var (@event, next) = OutcomeDecider.Decide(made, isHeld && row!.HasEnded, simulation.Schedule, now, random.Double());
        if (next is null)
            store.Remove(made.Row.Id);
        else
            store.Put(next);
        if (@event is not null)
            store.Append(made.Row.Notification, @event);
        if (made.Outcome is not AttemptOutcome.Rejected rejected)
            return;
        if (
            rejected.Verdict == AddressVerdict.Dead
            && made is { UserKey: { } user, DeviceId: { } device }
            && store.Recipients.TryGetValue(user, out var recipient)
        )
        {
            var removed = new DeviceRemoved(device, DeviceRemovalReasons.Unregistered, made.Provider, now);
            store.Recipients[user] = Recipient.Evolve(recipient, user, removed);
        }

        if (rejected.Verdict == AddressVerdict.Suppress && made.Fingerprint is { } print)
        {
            var channel = Lanes.ChannelOf(made.Row.Queue.Lane);
            store.Suppress(new AddressToSuppress(channel, print, rejected.Reason, made.Provider, made.Provider), now);
        }
    }
}
