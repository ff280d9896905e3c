namespace Notify.Delivery.Digests;

using System.Text.Json;
using Marten;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.Payloads;
using Notify.Delivery.Privacy;
using Notify.Domain.Categories;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Domain.Privacy;
using Notify.Infrastructure.Json;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>A notification whose time has come.</summary>
/// <param name="Key">Its stream.</param>
/// <param name="Payload">Its open payload.</param>
public sealed record DueNotification(string Key, NotificationRequested Request, NotificationPayload Payload);

/// <summary>The notifications that a transaction collects into digests.</summary>
/// <param name="Collected">The events for the collected notifications, by stream key; the others are sent by themselves.</param>
/// <param name="Opened">The due rows of the digests that were opened.</param>
public sealed record DigestCollection(IReadOnlyDictionary<string, NotificationCollected> Collected, IReadOnlyList<OpenDelivery> Opened)
{
    /// <summary>No collected notifications.</summary>
    public static readonly DigestCollection None = new(new Dictionary<string, NotificationCollected>(), []);
}

/// <summary>Collects notifications of digest categories into digests, set-based. Other notifications cost nothing.</summary>
public static class DigestCollecting
{
    /// <summary>
    /// Collects, in the transaction that keeps the notifications. Digests that are opened are notifications of their own,
    /// which wait for their time as others do.
    /// </summary>
    /// <param name="due">In the order of their coming; none of them is a digest.</param>
    /// <param name="keys">The current keys of the requests' subjects.</param>
    public static async Task<DigestCollection> CollectAsync(
        IDocumentSession session,
        IEnumerable<DueNotification> due,
        ReachRules rules,
        KeySet keys,
        IFingerprints ring,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        var candidates = Candidates(due, rules, ring);
        if (candidates.Count == 0)
            return DigestCollection.None;
        var places = await DigestTable.LockAsync(session.Connection!, candidates.Select(c => c.Place), cancellation);
        var collected = await CollectAsync(session, candidates, places, rules, keys, ring, now, cancellation);
        await DigestTable.WriteAsync(session.Connection!, places, cancellation);
        return collected;
    }

    /// <summary>Those that are to be collected, and where.</summary>
    internal static List<(DueNotification Due, DigestRule Rule, DigestPlace Place)> Candidates(
        IEnumerable<DueNotification> due,
        ReachRules rules,
        IFingerprints ring
    ) =>
        [
            .. from d in due
            let rule = DigestDecider.RuleFor(d.Request, d.Payload.Content, rules.Of(d.Request))
            where rule is not null
            select (d, rule!, new DigestPlace(d.Request.ClientId, d.Request.Category, PersonOf(d, ring))),
        ];

    /// <summary>Collects into digests whose keys the transaction has locked; newly opened digests are added there.</summary>
    internal static async Task<DigestCollection> CollectAsync(
        IDocumentSession session,
        List<(DueNotification Due, DigestRule Rule, DigestPlace Place)> candidates,
        Dictionary<DigestPlace, OpenDigest?> places,
        ReachRules rules,
        KeySet keys,
        IFingerprints ring,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        var collected = new Dictionary<string, NotificationCollected>(StringComparer.Ordinal);
        var entries = new List<DigestEntry>(candidates.Count);
        var (opened, payloads) = (new List<(string Key, NotificationRequested Request)>(), new PayloadBatch(now));
        foreach (var (due, rule, place) in candidates)
        {
            var category = rules.Of(due.Request);
            var (digest, isNew) = DigestDecider.Join(places[place], rule, () => KeyOf(due, ring), now);
            if (isNew)
            {
                var request = RequestOf(digest, due, payloads, keys, ring, now);
                session.Events.StartStream(digest.Key, request, new DigestOpened(place.Person, rule, category.Version, now));
                opened.Add((digest.Key, request));
            }

            places[place] = digest;
            entries.Add(new DigestEntry(due.Key, digest.Key, place));
            collected[due.Key] = DigestDecider.Collected(digest, rule, category, now);
        }

        await PayloadTable.AddAsync(session.Connection!, payloads.Rows, cancellation);
        await NoteAsync(session.Connection!, opened, cancellation);
        await DigestTable.AddAsync(session.Connection!, entries, cancellation);
        return new DigestCollection(
            collected,
            [.. opened.Select(o => OpenDelivery.Planning(o.Key, o.Request.Priority, now, o.Request.SendAt!.Value))]
        );
    }

    // People who are not registered are known by all that was given to reach them: a digest goes where each of its members would.
    private static string PersonOf(DueNotification due, IFingerprints ring) =>
        due.Request.UserRef is not null
            ? due.Request.Subject
            : "a/" + ring.Fingerprint("digest", JsonSerializer.SerializeToUtf8Bytes(due.Payload.To, NotifyJson.Options));

    // Follows from its first member, which begins no other one; no client can choose it, since an event ID has no =.
    private static string KeyOf(DueNotification first, IFingerprints ring) =>
        NotificationKey.Of(first.Request.ClientId, $"digest={ring.Fingerprint("digest", first.Key)}");

    private static NotificationRequested RequestOf(
        OpenDigest digest,
        DueNotification first,
        PayloadBatch payloads,
        KeySet keys,
        IFingerprints ring,
        DateTimeOffset now
    ) =>
        new(
            first.Request.ClientId,
            NotificationKey.Parse(digest.Key)!.Value.EventId,
            first.Request.UserRef,
            first.Request.Subject,
            first.Request.Mode,
            first.Request.Category,
            DigestDecider.PriorityOf(first.Request.Priority),
            null,
            payloads.Seal(
                keys,
                first.Request.Subject,
                SealedPlace.OfPayload(digest.Key),
                new NotificationPayload(new NotificationContent(), first.Payload.To)
            ),
            digest.ClosesAt,
            null,
            ring.Fingerprint("request", digest.Key),
            first.Request.TraceParent,
            now,
            OptOutsHold: first.Request.OptOutsHold
        );

    // Every notification's key is recorded permanently, and `verify` finds the stream by it.
    internal static async Task NoteAsync(
        NpgsqlConnection connection,
        List<(string Key, NotificationRequested Request)> opened,
        CancellationToken cancellation
    )
    {
        if (opened.Count == 0)
            return;
        await using var command = SqlCommands.Create(
            connection,
            "insert into notify.event_ids (key, request_hash) select * from unnest($1, $2)",
            opened.Select(o => o.Key).ToArray(),
            opened.Select(o => o.Request.RequestHash).ToArray()
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }
}
