namespace Notify.Api.Notifications;

using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json;
using Marten;
using Notify.Api.Contract;
using Notify.Delivery.Messaging;
using Notify.Delivery.Monitoring;
using Notify.Delivery.Planning;
using Notify.Delivery.Privacy;
using Notify.Delivery.Telemetry;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;
using Notify.Infrastructure.Postgres;
using Wolverine.Marten;

/// <summary>The result of a request.</summary>
public enum AcceptResult
{
    /// <summary>It is stored durably.</summary>
    Accepted,

    /// <summary>The same request was accepted before.</summary>
    Duplicate,

    /// <summary>Another request was accepted under its event ID.</summary>
    Conflict,
}

/// <summary>The identity of a request as received.</summary>
/// <param name="Hash">The keyed hash of its canonical form, before defaults. Requests with equal hashes are the same.</param>
/// <param name="Bytes">Its size.</param>
/// <param name="Formers">The same hash under former peppers that are in use.</param>
public readonly record struct ReceivedRequest(string Hash, long Bytes, IReadOnlyList<string> Formers)
{
    /// <summary>Whether a hash that is kept is that of this request.</summary>
    public bool IsThatOf(string kept) => kept == Hash || Formers.Contains(kept);
}

/// <summary>
/// Accepts notifications, many in one transaction: duplicates found, recipients loaded, deliveries planned, streams started
/// and queue messages written, all or nothing. Requests that wait while one transaction runs go into the next: critical ones
/// first, then clients in turn, so that one client's flood is not waited for by others.
/// </summary>
public sealed class Acceptance : IAsyncDisposable
{
    private const int MaxGroup = 250;
    private const long MaxGroupBytes = 8 * 1024 * 1024;
    private readonly IDocumentStore store;
    private readonly NotificationIntake intake;
    private readonly MasterKeyRing ring;
    private readonly UserReferences users;
    private readonly QueueActivity activity;
    private readonly IServiceScopeFactory scopes;
    private readonly TimeProvider clock;
    private readonly GroupCommit<Item, AcceptResult> group;

    /// <summary>Starts the committers.</summary>
    public Acceptance(
        IDocumentStore store,
        NotificationIntake intake,
        MasterKeyRing ring,
        UserReferences users,
        QueueActivity activity,
        IServiceScopeFactory scopes,
        AcceptOptions limits,
        TimeProvider clock,
        ILogger<Acceptance> log
    )
    {
        (this.store, this.intake, this.ring, this.users) = (store, intake, ring, users);
        (this.activity, this.scopes, this.clock) = (activity, scopes, clock);
        group = new GroupCommit<Item, AcceptResult>(
            CommitAsync,
            new GroupCommitOptions<Item>
            {
                MaxItems = MaxGroup,
                MaxBytes = MaxGroupBytes,
                Pace = TimeSpan.FromMilliseconds(20),
                BelongsTo = BelongsTo,
                KeyOf = i => i.Key,
                BytesOf = i => i.Received.Bytes,
                MaxWaiting = limits.MaxWaiting,
                MaxWait = limits.Timeout,
                StatementTimeout = limits.Timeout,
                CommitTimeout = 3 * limits.Timeout, // several statements, of which each may take long
                OnIsolated = (items, fault) =>
                    log.LogWarning(
                        "{Count} requests are accepted apart from the others ({Reason}).",
                        items.Count,
                        fault.GetBaseException().Message.Split('\n')[0]
                    ),
            },
            clock
        );
    }

    /// <summary>How long the oldest request waits for its commit, apart from those of <see cref="WaitingApart"/>.</summary>
    public TimeSpan OldestWait => group.OldestWait;

    /// <summary>Requests whose event ID another transaction has locked: they wait apart from the others.</summary>
    public int WaitingApart => group.Aside;

    /// <summary>Requests that wait for their commit or are being committed.</summary>
    public int Waiting => group.Waiting;

    /// <summary>Whether so many more requests of a client may wait.</summary>
    public bool HasRoomFor(Client client, int count) => group.HasRoomFor(count, 1, client.ClientId);

    /// <summary>Accepts one request; completes when it has been committed, or is known to have been before.</summary>
    /// <param name="received">See <see cref="ReceivedOf"/>.</param>
    /// <param name="template">The template that it names, with the versions that it is accepted with.</param>
    /// <param name="through">See <see cref="NotificationRequested.Through"/>.</param>
    /// <param name="aborted">Tells that nobody waits for the answer any more.</param>
    /// <exception cref="CommitBusyException">Too many requests are waiting.</exception>
    /// <exception cref="CommitWaitException">It was not committed in time; it may be committed all the same.</exception>
    public Task<AcceptResult> AcceptAsync(
        Client client,
        RequestNotification request,
        ReceivedRequest received,
        ResolvedTemplate? template = null,
        string? through = null,
        CancellationToken aborted = default
    )
    {
        var payload = PayloadOf(request);
        // The payload already contains these parts; they are not kept twice while the request waits.
        var item = new Item(
            NotificationKey.Of(client.ClientId, request.EventId!),
            client,
            request with
            {
                Content = null,
                Metadata = null,
                Template = null,
                Channels = request.Channels ?? client.Sending.Channels,
            },
            payload,
            received,
            Activity.Current,
            template,
            through
        );
        return group.AddAsync(item, aborted);
    }

    /// <summary>Finds out whether a request that cannot be accepted now, or another one under its event ID, was accepted before.</summary>
    public async Task<AcceptResult?> KnownAsync(
        Client client,
        RequestNotification request,
        ReceivedRequest received,
        CancellationToken cancellation
    )
    {
        await using var session = store.QuerySession();
        var hash = (
            await session.QueryAsync<string>(
                "select request_hash from notify.event_ids where key = ?",
                cancellation,
                NotificationKey.Of(client.ClientId, request.EventId!)
            )
        ).FirstOrDefault();
        return hash is null ? null : Compare(hash, received);
    }

    /// <inheritdoc />
    public ValueTask DisposeAsync() => group.DisposeAsync();

    private static (int Rank, string Owner) BelongsTo(Item item) =>
        item.Request.Priority switch
        {
            Priority.Critical => (0, item.Client.ClientId),
            Priority.Bulk => (1, $"{item.Client.ClientId}:bulk"),
            _ => (1, item.Client.ClientId),
        };

    private async Task<IReadOnlyList<AcceptResult>> CommitAsync(
        IReadOnlyList<Item> items,
        CommitLimits limits,
        CancellationToken cancellation
    )
    {
        using var span = Telemetry.Source.StartActivity(
            "accept group",
            ActivityKind.Internal,
            default(ActivityContext),
            links: items.Where(i => i.Trace is not null).Take(100).Select(i => new ActivityLink(i.Trace!.Context))
        );
        span?.SetTag("notify.group_size", items.Count);

        var now = clock.GetUtcNow();
        await using var scope = scopes.CreateAsyncScope();
        await using var session = store.LightweightSession();
        await session.BeginTransactionAsync(cancellation);
        var connection = session.Connection!;
        await limits.ApplyAsync(connection, cancellation);

        // The first of each key in the group represents it; its repeats are compared with it.
        var firsts = new Dictionary<string, Item>(StringComparer.Ordinal);
        foreach (var item in items)
            firsts.TryAdd(item.Key, item);
        var hashes = await NotificationIntake.ClaimAsync(
            connection,
            firsts.ToDictionary(f => f.Key, f => f.Value.Received.Hash, StringComparer.Ordinal),
            cancellation
        );
        var fresh = firsts.Values.Where(i => !hashes.ContainsKey(i.Key)).ToList();

        if (fresh.Count > 0)
        {
            var refs = await users.FindAsync(connection, fresh.Select(i => i.Request.UserId).OfType<string>(), cancellation);
            var prints = await ring.ReadAsync(connection, fresh.SelectMany(i => HashedText.Of(i.Payload.To)), cancellation);
            var queued = await intake.StartAsync(session, [.. fresh.Select(i => IncomingOf(i, refs, prints, now))], now, cancellation);
            await scope.ServiceProvider.GetRequiredService<IMartenOutbox>().CarryAsync(session, queued);
            await session.SaveChangesAsync(cancellation);
            Telemetry.Accepted.Add(fresh.Count);
            Telemetry.Commits.Add(1, new KeyValuePair<string, object?>("kind", "accept"));
            foreach (var queue in queued.GroupBy(d => d.Queue))
                activity.Enqueued(queue.Key, queue.Count());
        }

        return
        [
            .. items.Select(i =>
                !hashes.TryGetValue(i.Key, out var stored)
                    ? ReferenceEquals(firsts[i.Key], i)
                        ? AcceptResult.Accepted
                        : Compare(firsts[i.Key].Received.Hash, i.Received)
                    : Compare(stored, i.Received)
            ),
        ];
    }

    /// <summary>Returns the identity of a request.</summary>
    public ReceivedRequest ReceivedOf(JsonElement received)
    {
        using var canonical = CanonicalJson.Rent(received);
        var (peppers, hashes) = (ring.Peppers, new List<string>(1));
        foreach (var pepper in peppers.InUse)
            hashes.Add(peppers.FingerprintUnder(pepper, "request", canonical.Written));
        return new ReceivedRequest(hashes[0], JsonMarshal.GetRawUtf8Value(received).Length, hashes[1..]);
    }

    private static AcceptResult Compare(string first, ReceivedRequest repeat) =>
        repeat.IsThatOf(first) ? AcceptResult.Duplicate : AcceptResult.Conflict;

    private static IncomingNotification IncomingOf(
        Item item,
        IReadOnlyDictionary<string, string> refs,
        IFingerprints prints,
        DateTimeOffset now
    )
    {
        var r = item.Request;
        var userRef = r.UserId is null ? null : refs[r.UserId];
        var subject = userRef is null ? NotificationPlanning.SubjectOf(item.Payload.To!, prints) : Recipient.KeyOf(userRef);
        return new IncomingNotification(
            item.Key,
            new NotificationRequested(
                item.Client.ClientId,
                r.EventId!,
                userRef,
                subject,
                item.Client.Mode,
                r.Category ?? item.Template?.Category ?? RequestNotification.DefaultCategory,
                r.Priority ?? Priority.Normal,
                r.Channels,
                Sealed.None,
                r.SendAt,
                r.ExpiresAt,
                item.Received.Hash,
                item.Trace?.Id,
                now,
                item.Template?.Pin,
                item.Through,
                !item.Client.Sending.Required
            ),
            item.Payload,
            r.UserId
        );
    }

    /// <summary>Returns the personal part of a request.</summary>
    public static NotificationPayload PayloadOf(RequestNotification r) =>
        new(
            r.Content is { } c
                ? new NotificationContent(
                    c.Title,
                    c.Body,
                    c.Html,
                    c.Data,
                    c.Url,
                    c.Push,
                    c.Attachments is { Count: > 0 } files ? [.. files.Select(f => f.Kept())] : null,
                    c.Track
                )
                : new NotificationContent(),
            ToOf(r),
            r.Metadata,
            r.Template?.Params
        );

    private static UnregisteredRecipient? ToOf(RequestNotification r) =>
        r.To is not { } to
            ? null
            : new UnregisteredRecipient(
                to.Email,
                to.Phone is null ? null : ContactRules.ToE164(to.Phone),
                to.Device is { } d
                    ? new DeviceAddress(
                        d.Platform!.Value,
                        DeviceAddresses.Of(d.Platform!.Value, d.Token, d.Subscription),
                        DeviceApp.Of(d.App, d.Environment)
                    )
                    : null
            );

    private sealed record Item(
        string Key,
        Client Client,
        RequestNotification Request,
        NotificationPayload Payload,
        ReceivedRequest Received,
        Activity? Trace,
        ResolvedTemplate? Template,
        string? Through
    );
}
