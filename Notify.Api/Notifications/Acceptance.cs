using System.Diagnostics;
using System.Text.Json;
using Marten;
using Notify.Api.Contract;
using Notify.Api.Recipients;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Domain.Recipients;
using Notify.Projections;
using Notify.Projections.Hosting;
using Notify.Projections.OpenDeliveries;
using Notify.Projections.Planning;
using Notify.Projections.Privacy;
using Notify.Projections.QueueBacklog;
using Npgsql;
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
    private readonly SubjectKeys subjectKeys;
    private readonly MasterKeyRing ring;
    private readonly QueueActivity activity;
    private readonly SmsLimits sms;
    private readonly IServiceScopeFactory scopes;
    private readonly TimeProvider clock;
    private readonly ILogger<Acceptance> log;
    private readonly GroupCommit<Item, AcceptResult> group;

    /// <summary>Starts the committers.</summary>
    public Acceptance(
        IDocumentStore store, SubjectKeys subjectKeys, MasterKeyRing ring, QueueActivity activity, SmsLimits sms, IServiceScopeFactory scopes, TimeProvider clock, ILogger<Acceptance> log)
    {
        (this.store, this.subjectKeys, this.ring, this.activity, this.sms, this.scopes, this.clock, this.log) = (store, subjectKeys, ring, activity, sms, scopes, clock, log);
        group = new GroupCommit<Item, AcceptResult>(CommitAsync, MaxGroup, committers: 1, pace: TimeSpan.FromMilliseconds(20), clock, BelongsTo);
    }

    /// <summary>Accepts one request; completes when it has been committed, or is known to have been before.</summary>
    /// <param name="received">The request as it was received, before defaults: what «the same request» means.</param>
    /// <param name="template">The template that it names, with the versions that it is accepted with.</param>
    public Task<AcceptResult> AcceptAsync(Client client, RequestNotification request, JsonElement received, ResolvedTemplate? template = null) =>
        group.AddAsync(new Item(NotificationKey.Of(client.ClientId, request.EventId!), client, request, HashOf(received), Activity.Current, template));

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

    private async Task<IReadOnlyList<AcceptResult>> CommitAsync(IReadOnlyList<Item> items, CancellationToken cancellation)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return await TryCommitAsync(items, cancellation);
            }
            catch (Exception e) when (attempt < 5 && DatabaseFaults.IsReusedSequence(e))
            {
                // Only after a crash of the database; the next try draws other numbers.
            }
            catch (Exception e) when (items.Count > 1 && !DatabaseFaults.IsPassing(e))
            {
                // One of the group cannot be stored; it must not harm the others.
                log.LogError(e, "A group of {Count} requests failed; they are accepted one by one.", items.Count);
                var results = new List<AcceptResult>(items.Count);
                foreach (var item in items) results.Add((await TryCommitAsync([item], cancellation))[0]);
                return results;
            }
        }
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
        var hashes = await ClaimAsync(connection, firsts, cancellation);
        var fresh = firsts.Values.Where(i => !hashes.ContainsKey(i.Key)).ToList();

        if (fresh.Count > 0)
        {
            var queued = await StartStreamsAsync(session, fresh, now, cancellation);
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

    private string HashOf(JsonElement received) => ring.Fingerprint("request", CanonicalJson.Of(received).Span);

    private static AcceptResult Compare(string first, string repeat) => first == repeat ? AcceptResult.Duplicate : AcceptResult.Conflict;

    // Takes the keys that are free, in order; whoever races for one waits here until it is clear who has it.
    // Returns the hashes of those that were taken before.
    private static async Task<Dictionary<string, string>> ClaimAsync(NpgsqlConnection connection, Dictionary<string, Item> firsts, CancellationToken cancellation)
    {
        var keys = firsts.Keys.Order(StringComparer.Ordinal).ToArray();
        var claimed = new HashSet<string>(StringComparer.Ordinal);
        await using (var insert = new NpgsqlCommand(
            "insert into notify.event_ids (key, request_hash) select k, h from unnest($1, $2) as t(k, h) on conflict do nothing returning key", connection))
        {
            insert.Parameters.Add(new NpgsqlParameter { Value = keys });
            insert.Parameters.Add(new NpgsqlParameter { Value = keys.Select(k => firsts[k].Hash).ToArray() });
            await using var reader = await insert.ExecuteReaderAsync(cancellation);
            while (await reader.ReadAsync(cancellation)) claimed.Add(reader.GetString(0));
        }

        var taken = new Dictionary<string, string>(StringComparer.Ordinal);
        if (claimed.Count == keys.Length) return taken;
        await using var select = new NpgsqlCommand("select key, request_hash from notify.event_ids where key = any($1)", connection);
        select.Parameters.Add(new NpgsqlParameter { Value = keys.Where(k => !claimed.Contains(k)).ToArray() });
        await using var rows = await select.ExecuteReaderAsync(cancellation);
        while (await rows.ReadAsync(cancellation)) taken[rows.GetString(0)] = rows.GetString(1);
        return taken;
    }

    private async Task<List<OpenDelivery>> StartStreamsAsync(IDocumentSession session, List<Item> fresh, DateTimeOffset now, CancellationToken cancellation)
    {
        var connection = session.Connection!;
        var requests = fresh.Select(i => (Item: i, Payload: PayloadOf(i.Request), Subject: SubjectOf(i.Request))).ToList();
        var users = fresh.Where(i => i.Request.UserId is not null && !IsLater(i, now)).Select(i => Recipient.KeyOf(i.Request.UserId!)).Distinct().ToArray();
        var recipients = users.Length == 0 ? [] : (await session.LoadManyAsync<Recipient>(cancellation, users)).ToDictionary(r => r.Id, StringComparer.Ordinal);
        var rules = await ReachRulesReader.LoadAsync(
            session, connection, fresh.Select(i => i.Request.Category ?? RequestNotification.DefaultCategory),
            requests.Where(r => !IsLater(r.Item, now)).SelectMany(r => ReachRulesReader.OfPlanning(r.Payload, recipients.GetValueOrDefault(r.Subject), ring)), now, cancellation);
        var keys = await subjectKeys.CurrentAsync(connection, requests.Select(r => r.Subject), cancellation);

        var open = new List<OpenDelivery>(fresh.Count);
        foreach (var (item, payload, subject) in requests)
        {
            var r = item.Request;
            var requested = new NotificationRequested(
                item.Client.ClientId, r.EventId!, r.UserId, subject, item.Client.Mode, r.Category ?? item.Template?.Category ?? RequestNotification.DefaultCategory, r.Priority ?? Priority.Normal,
                r.Channels, keys.SealJson(subject, payload), r.SendAt, r.ExpiresAt, item.Hash, item.Trace?.Id, now, item.Template?.Pin);
            if (IsLater(item, now))
            {
                session.Events.StartStream(item.Key, requested);
                open.Add(OpenDelivery.Planning(item.Key, requested.Priority, now, r.SendAt!.Value));
            }
            else if (r.ExpiresAt <= now)
            {
                session.Events.StartStream(item.Key, requested, new NotificationExpired([], now));
            }
            else
            {
                var recipient = r.UserId is null ? null : recipients.GetValueOrDefault(subject);
                var plan = NotificationPlanning.Plan(item.Key, requested, payload, recipient, rules, keys, ring, now, sms);
                session.Events.StartStream(item.Key, requested, plan);
                open.AddRange(plan.Deliveries.Select(d => OpenDelivery.Planned(item.Key, d, requested.Priority, now)));
            }
        }

        await OpenDeliveryTable.AddAsync(connection, open, cancellation);
        return [.. open.Where(o => o.State == OpenState.Queued)];
    }

    private static bool IsLater(Item item, DateTimeOffset now) => item.Request.SendAt > now;

    private string SubjectOf(RequestNotification r) => r.UserId is { } user ? Recipient.KeyOf(user) : NotificationPlanning.SubjectOf(ToOf(r)!, ring);

    private static NotificationPayload PayloadOf(RequestNotification r) => new(
        r.Content is { } c
            ? new NotificationContent(c.Title, c.Body, c.Html, c.Data, c.Url, c.Push, c.Attachments is { Count: > 0 } files ? [.. files.Select(f => f.Kept())] : null)
            : new NotificationContent(),
        ToOf(r), r.Metadata, r.Template?.Params);

    private static UnregisteredRecipient? ToOf(RequestNotification r) => r.To is not { } to ? null : new UnregisteredRecipient(
        to.Email, to.Phone is null ? null : ContactRules.ToE164(to.Phone),
        to.Device is { } d ? new DeviceAddress(d.Platform!.Value, Devices.AddressOf(d.Token, d.Subscription)) : null);

    private sealed record Item(string Key, Client Client, RequestNotification Request, string Hash, Activity? Trace, ResolvedTemplate? Template);
}
