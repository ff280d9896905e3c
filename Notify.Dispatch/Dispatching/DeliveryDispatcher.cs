namespace Notify.Dispatch.Dispatching;

using System.Diagnostics;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.Monitoring;
using Notify.Delivery.Privacy;
using Notify.Delivery.Telemetry;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Routing;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Messages;
using Notify.Domain.Notifications;
using Notify.Infrastructure.Hosting;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>
/// Works through one queue message: claims slices no larger than what can be in flight, calls the provider, and hands each
/// outcome to the settlement as it arrives. No database connection is held while a provider is waited for.
/// </summary>
public sealed class DeliveryDispatcher(
    SliceClaim slices,
    SliceWeights weights,
    FairTurns turns,
    ProviderRegistry providers,
    Settlement settlement,
    HostLease lease,
    ProviderActivity activity,
    NpgsqlDataSource database,
    MasterKeyRing ring,
    IHostApplicationLifetime lifetime,
    TimeProvider clock,
    ILogger<DeliveryDispatcher> log
)
{
    /// <summary>How long one message is worked on before what has not been started goes back to the queue.</summary>
    public static readonly TimeSpan Budget = TimeSpan.FromSeconds(15);

    // With the budget, less than the time-out of a message's handler.
    private static readonly TimeSpan OutcomeWait = TimeSpan.FromSeconds(40);

    /// <summary>Slices are at least so large, where there is enough to do: a claim costs a commit.</summary>
    private const int SmallestSlice = 25;

    /// <summary>The claims that this host works on.</summary>
    public ClaimsAtWork Claims { get; } = new();

    /// <summary>Waits until nothing that this host has claimed is under way or waits to be written.</summary>
    public async Task DrainAsync(CancellationToken cancellation)
    {
        while (Claims.Active.Length > 0 && !cancellation.IsCancellationRequested)
            await Task.Delay(TimeSpan.FromMilliseconds(50), clock, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    /// <summary>Dispatches the deliveries of a message.</summary>
    /// <returns>The deliveries that were not started in time; they must be sent to the queue again.</returns>
    public async Task<DispatchDeliveries?> DispatchAsync(DispatchDeliveries message, CancellationToken cancellation)
    {
        var queue = new DeliveryQueue(message.Lane, message.Priority);
        turns.Enter(queue);
        try
        {
            return await DispatchAsync(message, queue, cancellation);
        }
        finally
        {
            turns.Leave(queue);
        }
    }

    private async Task<DispatchDeliveries?> DispatchAsync(DispatchDeliveries message, DeliveryQueue queue, CancellationToken cancellation)
    {
        var gate = providers.Gates[message.Lane];
        // Critical deliveries start with any free capacity. For others a claim must be large enough to justify its commit, up to half
        // of a small gate.
        var least = message.Priority == Priority.Critical ? 1 : Math.Clamp(gate.Size / 2, 1, SmallestSlice);
        using var budget = new CancellationTokenSource(Budget, clock);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(budget.Token, lifetime.ApplicationStopping, cancellation);
        var remaining = new ArraySegment<Guid>(message.Deliveries);
        var running = new List<Task>();
        while (remaining.Count > 0 && !stop.IsCancellationRequested && !ring.Format.IsOutdated)
        {
            int permits;
            try
            {
                await lease.WaitAsync(stop.Token);
                await settlement.WaitForRoomAsync(stop.Token);
                permits = await gate.TakeAsync(message.Priority, Math.Min(least, remaining.Count), remaining.Count, stop.Token);
            }
            catch (OperationCanceledException)
            {
                break;
            }

            var slice = remaining[..permits].ToArray();
            remaining = remaining[permits..];
            running.Add(await StartAsync(queue, slice, gate, cancellation));
        }

        // Calls end by their own time-outs. Outcomes that cannot be written now are kept, and the message does not wait for them.
        await Task.WhenAny(Task.WhenAll(running), Task.Delay(OutcomeWait, clock, CancellationToken.None)).Unwrap();
        return remaining.Count > 0 ? message with { Deliveries = [.. remaining] } : null;
    }

    private async Task<Task> StartAsync(DeliveryQueue queue, Guid[] ids, DispatchGate gate, CancellationToken cancellation)
    {
        var claim = Guid.NewGuid();
        var moment = new ClaimMoment(lease.Term, clock.GetTimestamp(), clock.GetUtcNow());
        Claims.Begin(claim);
        var owed = ids.Length;
        try
        {
            IReadOnlyList<ClaimedDelivery> claimed;
            try
            {
                claimed = await ClaimAsync(queue, ids, claim, cancellation);
            }
            finally
            {
                gate.Chosen(ids.Length);
            }

            gate.Release(owed - claimed.Count);
            owed = claimed.Count;
            var calls = SharedCalls
                .Of(claimed)
                .Select(call => Task.Run(() => CallAsync(call, moment, gate), CancellationToken.None))
                .ToArray();
            owed = 0;
            return Claims.FinishAsync(claim, calls);
        }
        catch
        {
            gate.Release(owed);
            Claims.GiveUp(claim);
            throw;
        }
    }

    // The commit's answer may be lost with the connection: the same claim is requested again until its result is known.
    private async Task<IReadOnlyList<ClaimedDelivery>> ClaimAsync(
        DeliveryQueue queue,
        Guid[] ids,
        Guid claim,
        CancellationToken cancellation
    )
    {
        for (var failures = 0; ; failures++)
        {
            try
            {
                return await slices.ClaimAsync(queue, ids, claim, again: failures > 0, cancellation);
            }
            catch (Exception e) when (failures < 20 && !cancellation.IsCancellationRequested && DatabaseFaults.IsPassing(e))
            {
                if (failures == 0)
                    log.LogWarning("A slice could not be claimed ({Reason}); it is tried again.", e.Message.Split('\n')[0]);
                await Task.Delay(TimeSpan.FromMilliseconds(Math.Min(50 << Math.Min(failures, 6), 1000)), clock, cancellation);
            }
        }
    }

    // A running call is never cancelled: its own time-out limits it, and its answer is worth more than a quick stop.
    // Returns whether its outcome was written.
    private async Task<bool> CallAsync(IReadOnlyList<ClaimedDelivery> call, ClaimMoment moment, DispatchGate gate)
    {
        var c = call[0];
        var lane = c.Row.Queue.Lane;
        var provider = c.Provider;
        var asked = provider as IAnswersInquiries;
        var route = c.Ask is null && provider is not null ? providers.RouteOf(lane, c.Notification.Request.Mode) : null;
        foreach (var _ in call)
            route?.Begin(provider!);
        var (began, beganAt) = (clock.GetTimestamp(), clock.GetUtcNow());
        foreach (var delivery in call)
            settlement.Recent.Begin(delivery, beganAt);
        IReadOnlyList<AttemptOutcome> outcomes;
        using var total = new CancellationTokenSource(provider?.TotalTimeout ?? Timeout.InfiniteTimeSpan, clock);
        var permit = c.Ask is null ? PermitOf(call, moment) : null;
        permit?.Enter();
        using (
            var span = Telemetry.Source.StartActivity(
                c.Ask is null ? $"send {lane}" : $"ask {lane}",
                ActivityKind.Client,
                Telemetry.ContextOf(c.Notification.Request.TraceParent),
                links: Activity.Current is { } batch ? [new ActivityLink(batch.Context)] : null
            )
        )
        {
            span?.SetTag("notify.delivery", c.Row.Id)
                .SetTag("notify.provider", provider?.Name)
                .SetTag("notify.attempt", c.Attempt)
                .SetTag("notify.deliveries", call.Count);
            try
            {
                outcomes = (c.Ask, provider) switch
                {
                    ({ } since, _) =>
                    [
                        asked is null
                            ? new AttemptOutcome.Unknown(Reasons.TimedOut)
                            : await AskAsync(asked, provider!.Name, c, since, total.Token),
                    ],
                    (null, null) => [new AttemptOutcome.Rejected(Reasons.NoProvider, null)],
                    (null, ISendsMany many) when call.Count > 1 => await many.SendManyAsync([.. call.Select(d => d.Message)], total.Token),
                    _ => [await provider.SendAsync(c.Message, total.Token)],
                };
                outcomes = [.. outcomes.Select(StorableWords.Of)];
                if (permit is { WasChecked: false } && outcomes.Any(o => o is AttemptOutcome.Accepted))
                    log.LogCritical(
                        "The adapter {Provider} sends past its permit: make its calls by ProviderCall.CreateClient.",
                        provider?.Name
                    );
                if (outcomes.Count != call.Count)
                    throw new InvalidOperationException($"{outcomes.Count} outcomes for {call.Count} deliveries.");
            }
#pragma warning disable CA1031 // An adapter's bug is these deliveries' trouble alone, and their outcome is unknown.
            catch (Exception e)
#pragma warning restore CA1031
            {
                log.LogError(
                    e,
                    "The adapter {Provider} failed for delivery {Delivery} and {Others} others.",
                    provider?.Name,
                    c.Row.Id,
                    call.Count - 1
                );
                outcomes = [.. call.Select(_ => new AttemptOutcome.Unknown(Reasons.ConnectionLost))];
            }

            span?.SetTag("notify.outcome", outcomes[0].GetType().Name);
        }

        var latency = clock.GetElapsedTime(began);
        // One call counts once for the provider, however many deliveries it had; a delivery that only waited for a call does not count.
        var words = new HashSet<string>(StringComparer.Ordinal);
        var counted = outcomes
            .Select(o => o is not (AttemptOutcome.NotSent or AttemptOutcome.Retry { IsCall: false }) && words.Add(o.GetType().Name))
            .ToList();
        for (var i = 0; i < outcomes.Count; i++)
            route?.End(provider!, outcomes[i], latency, beganAt, counted[i]);
        gate.Release(call.Count);
        weights.Release(call.Sum(d => d.Weight));
        return (await Task.WhenAll(call.Select((delivery, i) => SettleAsync(delivery, outcomes[i], route, latency, counted[i])))).All(
            written => written
        );
    }

    // Deliveries of one call are sent together or not at all. The next claim finds the one that prevented it.
    private SendPermit PermitOf(IReadOnlyList<ClaimedDelivery> call, ClaimMoment moment)
    {
        var checks = call.Select(d => (d.Row.Id, d.Basis!)).ToList();
        return new SendPermit(
            lease,
            moment.Term,
            clock,
            moment.Timestamp,
            call.Min(d => d.Notification.Request.ExpiresAt) - moment.Now,
            stop => LastCheck.IsUnchangedAsync(database, call[0].Claim, checks, clock.GetUtcNow(), stop)
        );
    }

    private Task<bool> SettleAsync(ClaimedDelivery c, AttemptOutcome outcome, ProviderRoute? route, TimeSpan latency, bool counts)
    {
        var (provider, canBeAsked) = (c.Provider, c.Provider is IAnswersInquiries);
        Telemetry.ProviderCall.Record(latency.TotalSeconds, Telemetry.Tags(c.Row.Queue));
        if (counts && (c.Ask is null || canBeAsked))
            CountCall(provider, c, outcome, latency);
        if (outcome is AttemptOutcome.Halted halted)
            LogHalted(provider!.Name, halted.Code, c.Notification.Request.Mode);
        if (outcome is AttemptOutcome.Retry { Reason: Reasons.AppNotConfigured })
            LogMissingApp(provider!.Name, c.Message.App?.Name);
        return settlement.SettleAsync(
            AttemptMade.Of(
                c,
                outcome,
                latency,
                ContentHash(c),
                clock.GetUtcNow(),
                route?.HasAnother([.. c.Delivery.Tried ?? [], provider!.Name]) == true
            )
        );
    }

    private void CountCall(IDeliveryProvider? provider, ClaimedDelivery c, AttemptOutcome outcome, TimeSpan latency)
    {
        Telemetry.CountProviderCall(provider?.Name ?? CallCounts.NoProvider, outcome.GetType().Name);
        if (c.Notification.Request.Mode != ClientMode.Live)
            return; // the sandbox's troubles wake nobody
        var (kind, reason, code) = CallOutcomes.Of(outcome);
        activity.Count(provider?.Name ?? CallCounts.NoProvider, c.Row.Queue, kind, reason, code, provider is null ? null : latency);
    }

    // A found message belongs to this delivery only if no other delivery has it: the same text may go to the same number twice.
    private async Task<AttemptOutcome> AskAsync(
        IAnswersInquiries provider,
        string name,
        ClaimedDelivery c,
        DateTimeOffset since,
        CancellationToken total
    )
    {
        if (await provider.AskAsync(c.Message, since, total) is not { } answer)
            return new AttemptOutcome.Unknown(Reasons.TimedOut);
        if (await FreeAsync(answer.MessageIds) is { } mine)
            return new AttemptOutcome.Accepted(mine);
        return answer.IsComplete && await FreeAsync(answer.Unclear) is null
            ? new AttemptOutcome.NotFound()
            : new AttemptOutcome.Unknown(Reasons.TimedOut);

        async Task<string?> FreeAsync(IReadOnlyList<string> ids) =>
            ids.Count == 0 ? null : await ProviderMessages.FirstFreeAsync(database, name, ids, c.Row.Id, CancellationToken.None);
    }

    private string? ContentHash(ClaimedDelivery c) =>
        c.Ask is null ? ring.Fingerprint("content", ContentFingerprint.TextOf(c.Message.Content)) : null;

    // Taken before the claim: its lease, and what its last checks see, are no younger.
    private readonly record struct ClaimMoment(int Term, long Timestamp, DateTimeOffset Now);

    private long lastHalted,
        lastMissing;

    private void LogHalted(string provider, string code, ClientMode mode)
    {
        if (!IsFirstOfMinute(ref lastHalted))
            return;
        log.LogError(
            "{Provider} refuses our configuration ({Code}); its deliveries wait and nothing is lost. Check {Section}:{Provider}.",
            provider,
            code,
            mode == ClientMode.Test ? "TestProviders" : "Providers",
            provider
        );
    }

    private void LogMissingApp(string provider, string? app)
    {
        if (!IsFirstOfMinute(ref lastMissing))
            return;
        log.LogError(
            "{Provider} has no settings for the app {App}; its deliveries wait, and become dead letters. Add it under Providers:Apns:Apps.",
            provider,
            app
        );
    }

    private bool IsFirstOfMinute(ref long at)
    {
        var now = clock.GetTimestamp();
        var last = Interlocked.Read(ref at);
        if (last != 0 && clock.GetElapsedTime(last, now) < TimeSpan.FromMinutes(1))
            return false;
        return Interlocked.CompareExchange(ref at, now, last) == last;
    }
}
