namespace Notify.Dispatch.Dispatching;

using Marten;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.EventStore;
using Notify.Delivery.Payloads;
using Notify.Delivery.Planning;
using Notify.Delivery.Privacy;
using Notify.Delivery.Snapshots;
using Notify.Delivery.Telemetry;
using Notify.Delivery.Templates;
using Notify.Delivery.Tracking;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Routing;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;
using Notify.Domain.Suppressions;
using Notify.Domain.Templates;
using Notify.Infrastructure.Hosting;
using Notify.Infrastructure.Postgres;
using Npgsql;
using SessionOptions = Marten.Services.SessionOptions;

/// <summary>A claimed delivery, ready for its provider.</summary>
/// <param name="Provider">The provider to call, chosen once; for an inquiry, the one that was called; <c>null</c> without one.</param>
/// <param name="Ask">Set when the provider is to be asked about an earlier attempt instead: that attempt's time.</param>
/// <param name="Fingerprint">Keyed hash of the number or address; <c>null</c> for devices.</param>
/// <param name="ResendBefore">See <see cref="AttemptMade"/>.</param>
/// <param name="Weight">The bytes that <see cref="SliceWeights"/> reserves for it until its call has ended.</param>
/// <param name="AttemptedAt">See <see cref="AttemptMade"/>.</param>
/// <param name="Basis">The state that its last check was decided on; <c>null</c> for an inquiry, which has none.</param>
/// <param name="SuppressedAddress">The number or address, encrypted for a suppression that may follow; <c>null</c> for devices.</param>
public sealed record ClaimedDelivery(
    OpenDelivery Row,
    Guid Claim,
    Notification Notification,
    Delivery Delivery,
    OutboundMessage Message,
    int Attempt,
    IDeliveryProvider? Provider,
    DateTimeOffset? Ask,
    string? Fingerprint = null,
    DateTimeOffset? ResendBefore = null,
    long Weight = 0,
    LastCheckBasis? Basis = null,
    DateTimeOffset? AttemptedAt = null,
    Sealed? SuppressedAddress = null
);

/// <summary>
/// Claims a batch of deliveries in one short transaction: from then on no other host changes them. The last check is made
/// here, and where a repeat would reach the person twice, the attempt is recorded here, before any call.
/// </summary>
public sealed class SliceClaim(
    IDocumentStore store,
    NpgsqlDataSource database,
    Snapshots snapshots,
    SubjectKeys keys,
    MasterKeyRing ring,
    ProviderRegistry providers,
    SlicePick pick,
    TemplateBook templates,
    UnsubscribeLinks links,
    TrackedLinks tracked,
    SliceWeights weights,
    TimeZones zones,
    StreamFaults faults,
    TimeProvider clock,
    HostIdentity host,
    FailoverMonitor failover,
    ILogger<SliceClaim> log
)
{
    // A database that is slow with everything is not the rows' fault.
    private const int MaxTimeOuts = 3;
    private static readonly TimeSpan HeavyWait = TimeSpan.FromSeconds(1);

    /// <summary>Claims as many deliveries as are named, those or others whose turn it is, and ends what must not be sent any
    /// more.</summary>
    /// <param name="claim">Names the slice.</param>
    /// <param name="again">The answer to this claim's commit was lost: if it was made, the same slice is returned again.</param>
    public async Task<IReadOnlyList<ClaimedDelivery>> ClaimAsync(
        DeliveryQueue queue,
        Guid[] ids,
        Guid claim,
        bool again,
        CancellationToken cancellation
    )
    {
        var taken = new Dictionary<Guid, long>();
        var tried = new List<OpenDelivery>();
        IReadOnlyList<ClaimedDelivery> claimed = [];
        try
        {
            return claimed = await ClaimAsync(queue, ids, claim, again ? Choice.Claimed : Choice.Fair, taken, tried, cancellation);
        }
        catch (Exception e) when (tried.Count > 0 && !cancellation.IsCancellationRequested && DatabaseFaults.MayBeOfOneRow(e))
        {
            return claimed = await OneByOneAsync(queue, tried, claim, taken, cancellation);
        }
        finally
        {
            weights.Release(taken.Values.Sum() - claimed.Sum(c => c.Weight));
        }
    }

    // A delivery that cannot be claimed alone either is set aside, so that it keeps no other waiting.
    private async Task<IReadOnlyList<ClaimedDelivery>> OneByOneAsync(
        DeliveryQueue queue,
        List<OpenDelivery> rows,
        Guid claim,
        Dictionary<Guid, long> taken,
        CancellationToken cancellation
    )
    {
        weights.Release(taken.Values.Sum());
        taken.Clear();
        var claimed = new List<ClaimedDelivery>();
        var timeOuts = 0;
        foreach (var row in rows)
        {
            try
            {
                claimed.AddRange(await ClaimAsync(queue, [row.Id], claim, Choice.Named, taken, [], cancellation));
            }
            catch (Exception e)
                when (!cancellation.IsCancellationRequested
                    && DatabaseFaults.MayBeOfOneRow(e)
                    && !(DatabaseFaults.IsTimeOut(e) && ++timeOuts == MaxTimeOuts)
                )
            {
                await SetAsideAsync(row, claim, e, cancellation);
            }
        }

        return claimed;
    }

    private async Task SetAsideAsync(OpenDelivery row, Guid claim, Exception fault, CancellationToken cancellation)
    {
        var now = clock.GetUtcNow();
        var isLocked = DatabaseFaults.IsTimeOut(fault);
        await using var connection = await database.OpenConnectionAsync(cancellation);
        await using var transaction = await connection.BeginTransactionAsync(cancellation);
        var own = await OpenDeliveryTable.ClaimAsync(connection, [row.Id], host.Id, claim, cancellation);
        var wait = isLocked ? LoadedStreams.LockWaitOf(row.EnqueuedAt, now) : LoadedStreams.WaitOf(row.EnqueuedAt, now);
        var reason = isLocked ? Reasons.StreamLocked : Reasons.StreamUnreadable;
        await OpenDeliveryTable.PutAsync(connection, [.. own.Select(r => r.SetAside(now + wait, reason))], cancellation);
        await transaction.CommitAsync(cancellation);
        log.LogError(
            "{Delivery} cannot be claimed ({Fault}); it is tried again in {Seconds:0} s and keeps nothing else waiting.",
            row.Id,
            DatabaseFaults.Describe(fault),
            wait.TotalSeconds
        );
    }

    /// <summary>How the deliveries of a slice are chosen.</summary>
    private enum Choice
    {
        /// <summary>As <see cref="SlicePick"/> chooses.</summary>
        Fair,

        /// <summary>Those that the claim has already, if its commit was made.</summary>
        Claimed,

        /// <summary>Only those that are named.</summary>
        Named,
    }

    // People who are not registered are known to caps by the address, or by the token.
    private static IEnumerable<HashedText> HashedTextsOf(Lane lane, string? address) =>
        HashedText.Of(Lanes.ChannelOf(lane), address).DefaultIfEmpty(new HashedText("device", address ?? ""));

    private async Task<IReadOnlyList<ClaimedDelivery>> ClaimAsync(
        DeliveryQueue queue,
        Guid[] ids,
        Guid claim,
        Choice choice,
        Dictionary<Guid, long> taken,
        List<OpenDelivery> tried,
        CancellationToken cancellation
    )
    {
        var now = clock.GetUtcNow();
        await using var connection = await database.OpenConnectionAsync(cancellation);
        await using var transaction = await connection.BeginTransactionAsync(cancellation);
        await using var session = store.LightweightSession(SessionOptions.ForTransaction(transaction));

        await NotificationStreams.LimitLockWaitsAsync(connection, cancellation);

        // In the claim's transaction: on a server that has just been promoted, attempts of this host may be missing.
        if (!Lanes.RepeatReplacesItself(queue.Lane) && !failover.IsSettled(await TimelineAsync(connection, cancellation)))
            throw new TimeoutException("PostgreSQL has failed over, and the attempts that it lacks are being written again");

        var rows = choice switch
        {
            Choice.Claimed => await FairPick.ClaimedAsync(connection, queue, host.Id, claim, cancellation),
            Choice.Named => await OpenDeliveryTable.ClaimAsync(connection, ids, host.Id, claim, cancellation),
            _ => [],
        };
        if (rows.Count == 0 && choice != Choice.Named)
            rows = await pick.ClaimAsync(connection, queue, ids, claim, cancellation);
        if (rows.Count == 0)
            return [];
        tried.AddRange(rows);
        rows = await WithinWeightAsync(connection, rows, taken, now, cancellation);
        var loaded = await NotificationStreams.LoadAsync(session, [.. rows.Select(r => r.Notification).Distinct()], cancellation);
        rows = await faults.SetAsideAsync(connection, rows, loaded, now, cancellation);
        var notifications = loaded.States;
        var (recipients, categories) = await snapshots.OfAsync(connection, [.. notifications.Values.Select(n => n.Request)], cancellation);
        var ready = await templates.PinnedAsync(session, notifications.Values.Select(n => n.Request.Template), cancellation);
        var opened = await keys.ForAsync(
            connection,
            notifications
                .Values.SelectMany(SealedIn)
                .Concat(
                    recipients
                        .Values.Where(r => r.QuietHours is not null || queue.Lane is Lane.Sms or Lane.Email)
                        .Select(r => r.Details)
                        .OfType<Domain.Privacy.Sealed>()
                ),
            cancellation
        );
        rows = await faults.SetAsideAsync(connection, rows, r => LockedBy(notifications, recipients, opened, r), now, cancellation);
        var deliveries = rows.Where(r => notifications.TryGetValue(r.Notification, out var n) && n.Deliveries.ContainsKey(r.Id))
            .ToDictionary(
                r => r.Id,
                r =>
                    notifications[r.Notification] is var n
                        ? Readdressing.Of(n, n.Deliveries[r.Id], recipients.Of(n.Request), opened, ring, now)
                        : default
            );
        // Once each: a notification may have deliveries to many devices, and files of megabytes.
        var payloads = await PayloadTable.OpenAsync(
            connection,
            rows.Select(r => r.Notification).Distinct().Where(notifications.ContainsKey).Select(k => notifications[k]),
            opened,
            cancellation
        );
        var messages = rows.ToDictionary(
            r => r.Id,
            r =>
                deliveries.TryGetValue(r.Id, out var d)
                    ? Open(notifications[r.Notification], d.Delivery, payloads[r.Notification], opened, ready)
                    : default
        );
        var prints = await ring.ReadAsync(
            connection,
            rows.SelectMany(r => HashedTextsOf(r.Queue.Lane, messages[r.Id].Message?.Address)),
            cancellation
        );
        var fingerprints = rows.ToDictionary(r => r.Id, r => prints.Of(Lanes.ChannelOf(r.Queue.Lane), messages[r.Id].Message?.Address));
        var unregistered = rows.Where(r =>
                notifications.TryGetValue(r.Notification, out var n) && n.Request.UserRef is null && fingerprints[r.Id] is not null
            )
            .Select(r => (Lanes.ChannelOf(r.Queue.Lane), fingerprints[r.Id]!));
        var rules = await ReachRulesReader.LoadAsync(
            categories,
            connection,
            SuppressionIds(queue, fingerprints.Values),
            unregistered,
            now,
            cancellation
        );

        var claimed = new List<ClaimedDelivery>(rows.Count);
        var ended = new List<Guid>();
        var late = new List<LateDelivery>();
        var followed = new List<TrackedLink>();
        var events = new List<(string Key, object Event)>();
        foreach (var row in rows)
        {
            if (!deliveries.TryGetValue(row.Id, out var found))
            {
                ended.Add(row.Id);
                continue;
            }

            var (n, d) = (notifications[row.Notification], found.Delivery);
            var recipient = recipients.Of(n.Request);
            var (message, fault, _) = messages[row.Id];
            if (fault is null && message is null)
                LogUnreadable(n, d, opened);
            object? obstacle =
                fault is not null ? new NotificationFailed(d.Id, d.Attempts, Reasons.TemplateFailed, null, fault.Place, now)
                : message is null
                    ? new DeliverySuppressed(d.Id, opened.Has(n.Request.Payload.Key) ? Reasons.Unreadable : Reasons.Erased, "key", now)
                : SameDevice.Find(n, d, recipient, x => x.Contact is { } c ? opened.OpenText(c, n.AddressPlaceOf(x)) : null, now);
            var quiet = NotificationPlanning.QuietOf(n.Request, recipient, rules, opened, zones);
            var (step, instead) = ClaimDecider.Decide(
                n,
                d,
                recipient,
                rules,
                fingerprints[row.Id],
                obstacle,
                time => quiet(time) is not null,
                now
            );
            if (instead is not null)
                events.Add((row.Notification, instead));
            if (step == ClaimStep.End)
                ended.Add(row.Id);
            else if (step == ClaimStep.Call)
                Claim(row);
            else
                late.Add(new LateDelivery(row, n, d, fingerprints[row.Id] ?? prints.Fingerprint("device", message?.Address ?? ""), quiet));
        }

        void Claim(OpenDelivery row)
        {
            var (n, (d, readdressed)) = (notifications[row.Notification], deliveries[row.Id]);
            var (message, _, destinations) = messages[row.Id];
            // An erased person's unknown outcome can still be asked for, but not matched: the address is not known.
            message ??= new OutboundMessage(d.Id, "", new NotificationContent(), n.Request.Priority, n.Request.ExpiresAt);
            var category = rules.Of(n.Request);
            if (category.Required)
                message = message with { HasOneClick = false }; // it would promise what is not kept
            if (category.Email is { } sender)
                message = message with { FromName = sender.FromName, ReplyTo = sender.ReplyTo };
            var attempt = ClaimDecider.AttemptOf(row, d);
            // Only the called provider knows the outcome of the call, wherever it is now in the route.
            var provider = attempt.IsBound
                ? providers.Named(d.Provider, n.Request.Mode)
                : providers.RouteOf(row.Queue.Lane, n.Request.Mode)?.Choose(d.Tried ?? [], Random.Shared.NextDouble());
            if (readdressed is not null)
                events.Add((row.Notification, readdressed));
            var attempted = ClaimDecider.Record(row, attempt, provider?.Name, now);
            if (attempted is not null)
                events.Add((row.Notification, attempted));
            if (destinations is not null)
                followed.AddRange(
                    destinations.Select(
                        (to, i) =>
                            new TrackedLink(
                                tracked.TokenOf(d.Id, i),
                                d.Id,
                                row.Notification,
                                i,
                                opened.Seal(n.Request.Subject, SealedPlace.OfLink(row.Notification, d.Id, i), to),
                                n.Request.At
                            )
                    )
                );
            claimed.Add(
                new ClaimedDelivery(
                    row,
                    claim,
                    n,
                    d,
                    message,
                    attempt.Number,
                    provider,
                    attempt.IsInquiry ? d.AttemptedAt ?? now : null,
                    fingerprints[row.Id],
                    ClaimDecider.ResendBefore(n, d, category),
                    taken.GetValueOrDefault(row.Id),
                    attempt.IsInquiry ? null : LastCheckBasis.Of(n, d.Channel, recipients.Of(n.Request), rules, fingerprints[row.Id]),
                    attempted?.At ?? d.AttemptedAt,
                    fingerprints[row.Id] is { } print ? opened.SuppressedAddressOf(n, d, print) : null
                )
            );
        }

        var busy = await NotificationStreams.LockFreeAsync(
            session,
            events.Select(e => e.Key).Concat(late.Select(l => l.Row.Notification)),
            cancellation
        );
        var putOff = rows.Where(r => busy.Contains(r.Notification))
            .Select(r => r.SetAside(now + LoadedStreams.LockWaitOf(r.EnqueuedAt, now), Reasons.StreamLocked))
            .ToList();
        if (busy.Count > 0)
            LeaveOut(busy);

        void LeaveOut(HashSet<string> streams)
        {
            claimed.RemoveAll(c => streams.Contains(c.Row.Notification));
            events.RemoveAll(e => streams.Contains(e.Key));
            late.RemoveAll(l => streams.Contains(l.Row.Notification));
            followed.RemoveAll(f => streams.Contains(f.Notification));
            ended.RemoveAll(putOff.Select(r => r.Id).ToHashSet().Contains);
        }

        foreach (var (l, what) in late.Count == 0 ? [] : await CapPlanning.AgainAsync(connection, late, rules, now, cancellation))
        {
            events.Add((l.Row.Notification, what));
            if (what is DeliveryDeferred why)
                putOff.Add(l.Row.PutOff(why));
            else if (what is CapPlaceMoved)
                Claim(l.Row);
            else
                ended.Add(l.Row.Id);
        }

        // Before the call: a receipt may come before its answer.
        await DeliveryStreams.NoteAsync(
            connection,
            claimed.Where(c => c.Ask is null && !Lanes.RepeatReplacesItself(c.Row.Queue.Lane)).Select(c => (c.Row.Id, c.Row.Notification)),
            cancellation
        );
        await TrackedLinks.NoteAsync(connection, followed, cancellation);
        await OpenDeliveryTable.PutAsync(connection, putOff, cancellation);
        await OpenDeliveryTable.RemoveAsync(connection, [.. ended], cancellation);
        if (events.Count > 0)
        {
            foreach (var stream in events.GroupBy(e => e.Key))
                session.Events.Append(stream.Key, stream.Select(e => e.Event));
            await session.SaveChangesAsync(cancellation);
        }

        await transaction.CommitAsync(cancellation);
        Telemetry.Commits.Add(1, new KeyValuePair<string, object?>("kind", "claim"));
        return claimed;
    }

    // verify reports it too; a message with a foreign text could not be recalled.
    private void LogUnreadable(Notification n, Delivery d, KeySet opened)
    {
        if (d.Contact is not { } contact || !opened.Has(contact) || !opened.Has(n.Request.Payload.Key))
            return;
        log.LogError(
            "{Delivery} of {Stream} is not sent: its key exists, but its address or payload does not open at its place. "
                + "It was changed or moved in the database, or is no longer kept; run verify.",
            d.Id,
            n.Key
        );
    }

    private static async Task<string> TimelineAsync(NpgsqlConnection connection, CancellationToken cancellation)
    {
        await using var command = new NpgsqlCommand($"select {FailoverMonitor.Timeline}", connection);
        return (string)(await command.ExecuteScalarAsync(cancellation))!;
    }

    // A notification that exceeds the memory budget together with the others returns to its queue for a moment.
    private async Task<List<OpenDelivery>> WithinWeightAsync(
        NpgsqlConnection connection,
        List<OpenDelivery> rows,
        Dictionary<Guid, long> taken,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        var sizes = await NotificationStreams.WeighAsync(connection, rows.Select(r => r.Notification), cancellation);
        foreach (var (id, size) in weights.Take(rows, sizes, inAnyCase: r => r.Queue.Priority == Priority.Critical))
            taken[id] = size;

        // Only what is to be asked about has a reason in its queue.
        var back = rows.Where(r => !taken.ContainsKey(r.Id))
            .Select(r => r with { State = r.Reason is null ? OpenState.Queued : OpenState.Asking, DueAt = now + HeavyWait });
        await OpenDeliveryTable.PutAsync(connection, [.. back], cancellation);
        return [.. rows.Where(r => taken.ContainsKey(r.Id))];
    }

    private static string? LockedBy(
        Dictionary<string, Notification> notifications,
        Dictionary<string, Recipient> recipients,
        KeySet opened,
        OpenDelivery row
    )
    {
        if (!notifications.TryGetValue(row.Notification, out var n) || !n.Deliveries.TryGetValue(row.Id, out var delivery))
            return null;
        Domain.Privacy.Sealed?[] texts = [n.Request.Payload.Key, delivery.Contact, recipients.Of(n.Request)?.Details];
        return texts.OfType<Domain.Privacy.Sealed>().Select(opened.MasterKeyOf).FirstOrDefault(k => k is not null);
    }

    private static IEnumerable<Domain.Privacy.Sealed> SealedIn(Notification n) =>
        n.Deliveries.Values.Where(d => d.Contact is not null).Select(d => d.Contact!.Value).Prepend(n.Request.Payload.Key);

    private static IEnumerable<string> SuppressionIds(DeliveryQueue queue, IEnumerable<string?> fingerprints) =>
        fingerprints.OfType<string>().Select(f => Suppression.IdOf(Lanes.ChannelOf(queue.Lane), f));

    private (OutboundMessage? Message, TemplateFault? Fault, IReadOnlyList<string>? Destinations) Open(
        Notification n,
        Delivery d,
        NotificationPayload? said,
        KeySet opened,
        IReadOnlyDictionary<string, ReadyTemplate> templates
    )
    {
        if (d.Contact is not { } contact || opened.OpenText(contact, n.AddressPlaceOf(d)) is not { } address || said is not { } payload)
            return (null, null, null);
        var (content, fault) = ContentRendering.Of(n, d.Channel, payload, templates);
        if (content is null)
            return (null, fault, null);
        var sent = tracked.Of(d.Id, d.Channel, content);
        var message = new OutboundMessage(
            d.Id,
            address,
            sent.Content,
            n.Request.Priority,
            n.Request.ExpiresAt,
            links.Of(d.Id, d.Lane, n.Request.Priority),
            sent.Addresses,
            App: d.App
        );
        return (message, null, sent.Destinations);
    }
}
