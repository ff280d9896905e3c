namespace Notify.Delivery.Digests;

using Marten;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.EventStore;
using Notify.Delivery.Payloads;
using Notify.Delivery.Privacy;
using Notify.Delivery.Templates;
using Notify.Domain.Categories;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>The digests of a page of due notifications, before the page is planned.</summary>
/// <param name="Opened">The due rows of the digests that were opened.</param>
/// <param name="Waiting">The digests that are closed in another transaction.</param>
/// <param name="SetAside">The digests none of whose members can be told now, and until when they wait.</param>
public sealed record DigestStep(
    IReadOnlyList<OpenDelivery> Opened,
    IReadOnlySet<string> Waiting,
    IReadOnlyDictionary<string, DateTimeOffset> SetAside
);

/// <summary>
/// Processes due notifications: closes the digests among them and collects those of digest categories, so that only the others
/// remain to be planned. A closed digest is planned like any other notification, in the same transaction.
/// </summary>
/// <remarks>
/// A member whose stream another transaction holds, or that this host cannot read, keeps the others of its digest no longer than
/// <see cref="DigestFollower.Patience"/>: they go, and it is moved to a digest of its own, which is closed a little later.
/// </remarks>
public sealed class DigestDue(SubjectKeys subjectKeys, MasterKeyRing ring, TemplateBook book, SmsLimits sms, StreamFaults streamFaults)
{
    // The most members, and the most stored bytes of them, that one transaction closes, and at least one digest. Transactions that
    // collect for the same people wait for it.
    private const long MostMembers = DigestRule.MostMembers,
        MostBytes = DigestReading.MostBytes;
    private readonly DigestReading reading = new(subjectKeys, streamFaults);

    /// <summary>Processes a page, in the transaction that plans it and has locked its streams.</summary>
    /// <param name="notifications">By stream key; closed and collected ones are updated.</param>
    /// <param name="payloads">Their payloads, by stream key; those of closed digests are added.</param>
    /// <param name="keys">The current keys of the requests' subjects.</param>
    public async Task<DigestStep> TakeUpAsync(
        IDocumentSession session,
        Dictionary<string, Notification> notifications,
        Dictionary<string, NotificationPayload?> payloads,
        Dictionary<string, Recipient> recipients,
        ReachRules rules,
        KeySet keys,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        var due = notifications.Values.Where(n => n.IsToBePlanned && !(n.SendAt > now) && !(n.Request.ExpiresAt <= now)).ToList();
        var digests = due.Where(n => n.Digest is not null).OrderBy(n => n.SendAt).ThenBy(n => n.Key, StringComparer.Ordinal).ToList();
        var candidates = DigestCollecting.Candidates(
            due.Where(n => n.Digest is null && payloads[n.Key] is not null)
                .Select(n => new DueNotification(n.Key, n.Request, payloads[n.Key]!)),
            rules,
            ring
        );
        if (digests.Count == 0 && candidates.Count == 0)
            return new DigestStep([], new HashSet<string>(), new Dictionary<string, DateTimeOffset>());

        var connection = session.Connection!;
        var templates = await TemplatesAsync(digests); // read over another connection, before places are held
        var places = await DigestTable.LockAsync(
            connection,
            [.. digests.Select(PlaceOf), .. candidates.Select(c => c.Place)],
            cancellation
        );
        var (closing, setAside, followers) = await CloseAsync(
            session,
            digests,
            places,
            templates,
            notifications,
            payloads,
            recipients,
            keys,
            now,
            cancellation
        );
        var collection = await DigestCollecting.CollectAsync(session, candidates, places, rules, keys, ring, now, cancellation);
        foreach (var (key, collected) in collection.Collected)
        {
            session.Events.Append(key, collected);
            notifications[key] = Notification.Evolve(notifications[key], key, collected)!;
        }

        await DigestTable.WriteAsync(connection, places, cancellation);
        return new DigestStep(
            [.. collection.Opened, .. followers],
            digests.Skip(closing).Select(d => d.Key).ToHashSet(StringComparer.Ordinal),
            setAside
        );
    }

    private static DigestPlace PlaceOf(Notification digest) => new(digest.Request.ClientId, digest.Request.Category, digest.Digest!.Person);

    // Returns how many of them were closed or set aside, in their order, and the rows by which those wait that follow.
    private async Task<(int Count, Dictionary<string, DateTimeOffset> SetAside, List<OpenDelivery> Followers)> CloseAsync(
        IDocumentSession session,
        List<Notification> all,
        Dictionary<DigestPlace, OpenDigest?> places,
        Dictionary<string, CurrentTemplate?> templates,
        Dictionary<string, Notification> notifications,
        Dictionary<string, NotificationPayload?> payloads,
        Dictionary<string, Recipient> recipients,
        KeySet keys,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        if (all.Count == 0)
            return (0, [], []);
        var connection = session.Connection!;
        var (digests, entries, sizes) = await FirstAsync(connection, all, cancellation);
        var busy = await NotificationStreams.LockFreeAsync(
            session,
            digests.SelectMany(d => entries[d.Key]).Select(e => e.Member),
            cancellation
        );
        var free = digests
            .SelectMany(d => entries[d.Key])
            .Where(e => !busy.Contains(e.Member))
            .ToLookup(e => e.Digest, StringComparer.Ordinal);
        var contents = await reading.ReadAsync(session, digests, free, sizes, now, cancellation);
        var ready = await book.PinnedAsync(session, contents.Values.SelectMany(c => c.Items).Select(i => i.Request.Template), cancellation);
        var (batch, followers, setAside) = (new PayloadBatch(now), new DigestFollowers(), new Dictionary<string, DateTimeOffset>());
        var told = new List<string>();
        foreach (var digest in digests)
        {
            var left = DigestFollower.Of(digest, entries[digest.Key], busy, contents.GetValueOrDefault(digest.Key));
            if (left.MustWait(payloads[digest.Key] is not null, now))
            {
                setAside[digest.Key] = left.Until(now);
                continue;
            }

            var (closing, items) = contents[digest.Key];
            foreach (var (key, @event) in closing.Events)
                session.Events.Append(key, @event);
            if (left.Members.Count > 0)
                followers.Add(session, left, payloads[digest.Key]!, batch, keys, ring, now);
            told.AddRange(entries[digest.Key].Select(e => e.Member).Except(left.Members));

            var locale = keys.DetailsOf(recipients.Of(digest.Request))?.Locale;
            var said = Say(digest, closing, items, templates, ready, locale, now);
            var closed = new DigestClosed(
                [.. closing.Told.Select(m => m.Notification.Request.EventId)],
                closing.LeftOut,
                closing.Priority,
                said?.Channels,
                said?.Template,
                closing.ExpiresAt,
                said is null
                    ? (SealedPayload?)null
                    : batch.Seal(keys, digest.Request.Subject, SealedPlace.OfDigest(digest.Key), said.Payload),
                said?.Fault,
                now
            );
            session.Events.Append(digest.Key, closed);
            notifications[digest.Key] = Notification.Evolve(digest, digest.Key, closed)!;
            payloads[digest.Key] = said?.Payload;
            if (places[PlaceOf(digest)]?.Key == digest.Key)
                places[PlaceOf(digest)] = null;
        }

        await PayloadTable.AddAsync(connection, batch.Rows, cancellation);
        await DigestTable.RemoveAsync(connection, told, cancellation);
        return (digests.Count, setAside, await followers.WriteAsync(connection, cancellation));
    }

    // As many as may be closed at once, and what waits in them.
    private static async Task<(
        List<Notification> Digests,
        ILookup<string, DigestEntry> Entries,
        Dictionary<string, long> Sizes
    )> FirstAsync(NpgsqlConnection connection, List<Notification> all, CancellationToken cancellation)
    {
        var counts = await DigestTable.CountAsync(connection, all.Select(d => d.Key), cancellation);
        var few = WeightedBatches.FirstOf(all, d => counts.GetValueOrDefault(d.Key), MostMembers);
        var entries = await DigestTable.InAsync(connection, few.Select(d => d.Key), cancellation);
        var sizes = await NotificationStreams.WeighAsync(
            connection,
            few.SelectMany(d => entries[d.Key]).Select(e => e.Member),
            cancellation
        );
        return (WeightedBatches.FirstOf(few, d => entries[d.Key].Sum(e => sizes.GetValueOrDefault(e.Member)), MostBytes), entries, sizes);
    }

    private DigestWords? Say(
        Notification digest,
        DigestClosing closing,
        IReadOnlyList<ToldMember> items,
        Dictionary<string, CurrentTemplate?> templates,
        IReadOnlyDictionary<string, ReadyTemplate> ready,
        string? locale,
        DateTimeOffset now
    )
    {
        if (closing.Told.Count == 0)
            return null;
        var rule = digest.Digest!.Rule;
        var current = rule.Template is { } key ? templates.GetValueOrDefault(key) : null;
        var composer = new DigestComposer(
            digest.Request.Category,
            rule,
            current,
            pin => ready.GetValueOrDefault(TemplateBook.NameOf(pin))?.Template,
            locale,
            sms,
            digest.SendAt ?? now
        );
        return composer.Compose([.. closing.Told.Select(m => m.Notification.Request)], items);
    }

    private async Task<Dictionary<string, CurrentTemplate?>> TemplatesAsync(List<Notification> digests)
    {
        var found = new Dictionary<string, CurrentTemplate?>(StringComparer.Ordinal);
        foreach (var key in digests.Select(d => d.Digest!.Rule.Template).OfType<string>().Distinct())
            found[key] = await book.CurrentAsync(key);
        return found;
    }
}
