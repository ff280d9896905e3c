using System.Diagnostics;
using System.Text.Json;
using Marten;
using Notify.Api.Contract;
using Notify.Api.Recipients;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;
using Notify.Projections;
using Notify.Projections.Hosting;
using Notify.Projections.Planning;
using Notify.Projections.Privacy;
using Notify.Projections.QueueBacklog;
using Wolverine.Marten;

namespace Notify.Api.Notifications;

/// <summary>What became of a request.</summary>
public enum AcceptResult
{
    /// <summary>It is durable.</summary>
    Accepted,

    /// <summary>The same request was accepted before.</summary>
    Duplicate,

    /// <summary>Another request was accepted under its event ID.</summary>
    Conflict,
}

/// <summary>
/// Accepts notifications, many in one transaction: duplicates found, recipients loaded, deliveries planned, streams started
/// and queue messages written, all or nothing. What waits while one transaction runs goes into the next: what is critical
/// first, then clients in turn, so that one client's flood is not waited for by others.
/// </summary>
public sealed class Acceptance : IAsyncDisposable
{
    private const int MaxGroup = 250;
    private readonly IDocumentStore store;
    private readonly NotificationIntake intake;
    private readonly MasterKeyRing ring;
    private readonly QueueActivity activity;
    private readonly IServiceScopeFactory scopes;
    private readonly TimeProvider clock;
    private readonly ILogger<Acceptance> log;
    private readonly GroupCommit<Item, Task<AcceptResult>> group; // a task each, so that what fails is one item's alone

    /// <summary>Starts the committers.</summary>
    public Acceptance(
        IDocumentStore store, NotificationIntake intake, MasterKeyRing ring, QueueActivity activity, IServiceScopeFactory scopes, TimeProvider clock, ILogger<Acceptance> log)
    {
        (this.store, this.intake, this.ring, this.activity, this.scopes, this.clock, this.log) = (store, intake, ring, activity, scopes, clock, log);
        group = new GroupCommit<Item, Task<AcceptResult>>(CommitAsync, MaxGroup, committers: 1, pace: TimeSpan.FromMilliseconds(20), clock, BelongsTo);
    }

    /// <summary>Accepts one request; completes when it has been committed, or is known to have been before.</summary>
    /// <param name="received">The request as it was received, before defaults: what «the same request» means.</param>
    /// <param name="template">The template that it names, with the versions that it is accepted with.</param>
    /// <param name="through">See <see cref="NotificationRequested.Through"/>.</param>
    public Task<AcceptResult> AcceptAsync(Client client, RequestNotification request, JsonElement received, ResolvedTemplate? template = null, string? through = null) =>
        group.AddAsync(new Item(NotificationKey.Of(client.ClientId, request.EventId!), client, request, HashOf(received), Activity.Current, template, through)).Unwrap();

    /// <summary>What is known of a request that cannot be accepted now: whether it, or another one under its event ID, was accepted before.</summary>
    public async Task<AcceptResult?> KnownAsync(Client client, RequestNotification request, JsonElement received, CancellationToken cancellation)
    {
        await using var session = store.QuerySession();
        var hash = (await session.QueryAsync<string>("select request_hash from notify.event_ids where key = ?", cancellation, NotificationKey.Of(client.ClientId, request.EventId!))).FirstOrDefault();
        return hash is null ? null : Compare(hash, HashOf(received));
    }

    /// <inheritdoc />
    public ValueTask DisposeAsync() => group.DisposeAsync();

    private static (int Rank, string Owner) BelongsTo(Item item) => item.Request.Priority switch
    {
        Priority.Critical => (0, item.Client.ClientId),
        Priority.Bulk => (1, $"{item.Client.ClientId}:bulk"),
        _ => (1, item.Client.ClientId),
    };

    private async Task<IReadOnlyList<Task<AcceptResult>>> CommitAsync(IReadOnlyList<Item> items, CancellationToken cancellation)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return [.. (await TryCommitAsync(items, cancellation)).Select(Task.FromResult)];
            }
            catch (Exception e) when (attempt < 5 && DatabaseFaults.IsReusedSequence(e))
            {
                // Only after a crash of the database; the next try draws other numbers.
            }
            catch (Exception e) when (items.Count > 1 && !DatabaseFaults.IsPassing(e) && !cancellation.IsCancellationRequested)
            {
                // One of the group cannot be stored; it must not harm the others.
                log.LogError(e, "A group of {Count} requests failed; they are accepted one by one.", items.Count);
                return await OneByOneAsync(items, cancellation);
            }
        }
    }

    private async Task<IReadOnlyList<Task<AcceptResult>>> OneByOneAsync(IReadOnlyList<Item> items, CancellationToken cancellation)
    {
        var results = new List<Task<AcceptResult>>(items.Count);
        Exception? away = null;
        foreach (var item in items)
        {
            try
            {
                if (away is null) results.AddRange(await CommitAsync([item], cancellation));
                else results.Add(Task.FromException<AcceptResult>(away));
            }
#pragma warning disable CA1031 // Whatever went wrong belongs to who asked for this item.
            catch (Exception e)
#pragma warning restore CA1031
            {
                results.Add(Task.FromException<AcceptResult>(e));
                // When the database goes away meanwhile, the rest need not each wait for it.
                if (DatabaseFaults.IsPassing(e) || cancellation.IsCancellationRequested) away = e;
            }
        }

        return results;
    }

    private async Task<IReadOnlyList<AcceptResult>> TryCommitAsync(IReadOnlyList<Item> items, CancellationToken cancellation)
    {
        using var span = Telemetry.Source.StartActivity(
            "accept group", ActivityKind.Internal, default(ActivityContext), links: items.Where(i => i.Trace is not null).Take(100).Select(i => new ActivityLink(i.Trace!.Context)));
        span?.SetTag("notify.group_size", items.Count);

        var now = clock.GetUtcNow();
        await using var scope = scopes.CreateAsyncScope();
        await using var session = store.LightweightSession();
        await session.BeginTransactionAsync(cancellation);
        var connection = session.Connection!;

        // The first of each key in the group stands for it; its repeats are compared with it.
        var firsts = new Dictionary<string, Item>(StringComparer.Ordinal);
        foreach (var item in items) firsts.TryAdd(item.Key, item);
        var hashes = await NotificationIntake.ClaimAsync(connection, firsts.ToDictionary(f => f.Key, f => f.Value.Hash, StringComparer.Ordinal), cancellation);
        var fresh = firsts.Values.Where(i => !hashes.ContainsKey(i.Key)).ToList();

        if (fresh.Count > 0)
        {
            var queued = await intake.StartAsync(session, [.. fresh.Select(i => IncomingOf(i, now))], now, cancellation);
            await scope.ServiceProvider.GetRequiredService<IMartenOutbox>().CarryAsync(session, queued);
            await session.SaveChangesAsync(cancellation);
            Telemetry.Accepted.Add(fresh.Count);
            Telemetry.Commits.Add(1, new KeyValuePair<string, object?>("kind", "accept"));
            foreach (var queue in queued.GroupBy(d => d.Queue)) activity.Enqueued(queue.Key, queue.Count());
        }

        return [.. items.Select(i => !hashes.TryGetValue(i.Key, out var stored)
            ? ReferenceEquals(firsts[i.Key], i) ? AcceptResult.Accepted : Compare(firsts[i.Key].Hash, i.Hash)
            : Compare(stored, i.Hash))];
    }

    /// <summary>The keyed hash of a request as it was received.</summary>
    public string HashOf(JsonElement received) => ring.Fingerprint("request", CanonicalJson.Of(received).Span);

    private static AcceptResult Compare(string first, string repeat) => first == repeat ? AcceptResult.Duplicate : AcceptResult.Conflict;

    private IncomingNotification IncomingOf(Item item, DateTimeOffset now)
    {
        var r = item.Request;
        return new IncomingNotification(
            item.Key,
            new NotificationRequested(
                item.Client.ClientId, r.EventId!, r.UserId, SubjectOf(r), item.Client.Mode, r.Category ?? item.Template?.Category ?? RequestNotification.DefaultCategory, r.Priority ?? Priority.Normal,
                r.Channels, Sealed.None, r.SendAt, r.ExpiresAt, item.Hash, item.Trace?.Id, now, item.Template?.Pin, item.Through),
            PayloadOf(r));
    }

    private string SubjectOf(RequestNotification r) => r.UserId is { } user ? Recipient.KeyOf(user) : NotificationPlanning.SubjectOf(ToOf(r)!, ring);

    /// <summary>What is personal in a request.</summary>
    public static NotificationPayload PayloadOf(RequestNotification r) => new(
        r.Content is { } c
            ? new NotificationContent(c.Title, c.Body, c.Html, c.Data, c.Url, c.Push, c.Attachments is { Count: > 0 } files ? [.. files.Select(f => f.Kept())] : null, c.Track)
            : new NotificationContent(),
        ToOf(r), r.Metadata, r.Template?.Params);

    private static UnregisteredRecipient? ToOf(RequestNotification r) => r.To is not { } to ? null : new UnregisteredRecipient(
        to.Email, to.Phone is null ? null : ContactRules.ToE164(to.Phone),
        to.Device is { } d ? new DeviceAddress(d.Platform!.Value, Devices.AddressOf(d.Token, d.Subscription)) : null);

    private sealed record Item(string Key, Client Client, RequestNotification Request, string Hash, Activity? Trace, ResolvedTemplate? Template, string? Through);
}
