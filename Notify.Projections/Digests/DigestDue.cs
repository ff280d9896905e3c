using System.Text.Json;
using Marten;
using Notify.Domain.Digests;
using Notify.Domain.Notifications;
using Notify.Domain.Recipients;
using Notify.Domain.Templates;
using Notify.Projections.OpenDeliveries;
using Notify.Projections.Privacy;
using Notify.Projections.Templates;

namespace Notify.Projections.Digests;

/// <summary>What became of a page of due notifications before it is planned.</summary>
/// <param name="Opened">The rows by which digests that were opened wait for their time.</param>
/// <param name="Waiting">The digests that are closed in another transaction.</param>
public sealed record DigestStep(IReadOnlyList<OpenDelivery> Opened, IReadOnlySet<string> Waiting);

/// <summary>
/// Takes up what is due: closes the digests among it, and collects what is to be collected, so that what is left is planned
/// as ever. A digest that is closed is planned like any other notification, in the same transaction.
/// </summary>
public sealed class DigestDue(SubjectKeys subjectKeys, MasterKeyRing ring, TemplateBook book, SmsLimits sms)
{
    // So many members are closed in one transaction, and at least one digest: whoever collects for the same people waits for it.
    private const int MostMembers = DigestRule.MostMembers;

    /// <summary>Takes up a page, in the transaction that plans it and has locked its streams.</summary>
    /// <param name="notifications">By stream key; what is closed or collected is noted in them.</param>
    /// <param name="payloads">What they say; what closed digests say is noted in them.</param>
    /// <param name="keys">The current keys of the requests' subjects.</param>
    public async Task<DigestStep> TakeUpAsync(
        IDocumentSession session, Dictionary<string, Notification> notifications, Dictionary<string, NotificationPayload?> payloads, Dictionary<string, Recipient> recipients, ReachRules rules, KeySet keys,
        DateTimeOffset now, CancellationToken cancellation)
    {
        var due = notifications.Values.Where(n => n.IsToBePlanned && !(n.SendAt > now) && !(n.Request.ExpiresAt <= now)).ToList();
        var digests = due.Where(n => n.Digest is not null).OrderBy(n => n.SendAt).ThenBy(n => n.Key, StringComparer.Ordinal).ToList();
        var candidates = DigestCollecting.Candidates(due.Where(n => n.Digest is null && payloads[n.Key] is not null).Select(n => new DueNotification(n.Key, n.Request, payloads[n.Key]!)), rules, ring);
        if (digests.Count == 0 && candidates.Count == 0) return new DigestStep([], new HashSet<string>());

        var connection = session.Connection!;
        var templates = await TemplatesAsync(digests); // read over another connection, before places are held
        var places = await DigestTable.LockAsync(connection, [.. digests.Select(PlaceOf), .. candidates.Select(c => c.Place)], cancellation);
        var entries = await DigestTable.InAsync(connection, digests.Select(d => d.Key), cancellation);
        var (closing, later) = Split(digests, entries);
        await CloseAsync(session, closing, entries, places, templates, notifications, payloads, recipients, keys, now, cancellation);
        var collection = await DigestCollecting.CollectAsync(session, candidates, places, rules, keys, ring, now, cancellation);
        foreach (var (key, collected) in collection.Collected)
        {
            session.Events.Append(key, collected);
            notifications[key] = Notification.Evolve(notifications[key], key, collected)!;
        }

        await DigestTable.WriteAsync(connection, places, cancellation);
        return new DigestStep(collection.Opened, later);
    }

    private static DigestPlace PlaceOf(Notification digest) => new(digest.Request.ClientId, digest.Request.Category, digest.Digest!.Person);

    private static (List<Notification> Now, HashSet<string> Later) Split(List<Notification> digests, ILookup<string, DigestEntry> entries)
    {
        var (taken, members) = (new List<Notification>(), 0);
        foreach (var digest in digests)
        {
            members += entries[digest.Key].Count();
            if (taken.Count > 0 && members > MostMembers) break;
            taken.Add(digest);
        }

        return (taken, digests.Skip(taken.Count).Select(d => d.Key).ToHashSet(StringComparer.Ordinal));
    }

    private async Task CloseAsync(
        IDocumentSession session, List<Notification> digests, ILookup<string, DigestEntry> entries, Dictionary<DigestPlace, OpenDigest?> places, Dictionary<string, CurrentTemplate?> templates,
        Dictionary<string, Notification> notifications, Dictionary<string, NotificationPayload?> payloads, Dictionary<string, Recipient> recipients, KeySet keys, DateTimeOffset now, CancellationToken cancellation)
    {
        if (digests.Count == 0) return;
        var connection = session.Connection!;
        var waiting = digests.SelectMany(d => entries[d.Key]).Select(e => e.Member).ToList();
        await NotificationStreams.LockAsync(session, waiting, cancellation);
        var members = await NotificationStreams.LoadAsync(session, waiting, cancellation);
        var memberKeys = await subjectKeys.ForAsync(connection, members.Values.Select(m => m.Request.Payload), cancellation);
        var ready = await book.PinnedAsync(session, members.Values.Select(m => m.Request.Template), cancellation);
        foreach (var digest in digests)
        {
            var closing = DigestDecider.Close(
                digest.Request.EventId, entries[digest.Key].Select(e => members[e.Member]).Where(m => m.IsInOpenDigest).Select(m => new DigestMember(m, memberKeys.Has(m.Request.Payload))), now);
            foreach (var (key, @event) in closing.Events) session.Events.Append(key, @event);

            var locale = recipients.Of(digest.Request)?.Details is { } details ? keys.OpenJson<ContactDetails>(details)?.Locale : null;
            var said = Say(digest, closing, templates, m => memberKeys.OpenJson<NotificationPayload>(m.Request.Payload)!, ready, locale, now);
            var closed = new DigestClosed(
                [.. closing.Told.Select(m => m.Notification.Request.EventId)], closing.LeftOut, closing.Priority, said?.Channels, said?.Template, closing.ExpiresAt,
                said is null ? (Domain.Privacy.Sealed?)null : keys.SealJson(digest.Request.Subject, said.Payload), said?.Fault, now);
            session.Events.Append(digest.Key, closed);
            notifications[digest.Key] = Notification.Evolve(digest, digest.Key, closed)!;
            payloads[digest.Key] = said?.Payload;
            if (places[PlaceOf(digest)]?.Key == digest.Key) places[PlaceOf(digest)] = null;
        }

        await DigestTable.RemoveAsync(connection, waiting, cancellation);
    }

    private DigestWords? Say(
        Notification digest, DigestClosing closing, Dictionary<string, CurrentTemplate?> templates, Func<Notification, NotificationPayload> open,
        IReadOnlyDictionary<string, ReadyTemplate> ready, string? locale, DateTimeOffset now)
    {
        if (closing.Told.Count == 0) return null;
        var rule = digest.Digest!.Rule;
        var told = closing.Told.Take(rule.MaxItems).Select(m => new ToldMember(m.Notification.Request, open(m.Notification))).ToList();
        var current = rule.Template is { } key ? templates.GetValueOrDefault(key) : null;
        var composer = new DigestComposer(digest.Request.Category, rule, current, pin => ready.GetValueOrDefault(TemplateBook.NameOf(pin))?.Template, locale, sms, digest.SendAt ?? now);
        return composer.Compose([.. closing.Told.Select(m => m.Notification.Request)], told);
    }

    private async Task<Dictionary<string, CurrentTemplate?>> TemplatesAsync(List<Notification> digests)
    {
        var found = new Dictionary<string, CurrentTemplate?>(StringComparer.Ordinal);
        foreach (var key in digests.Select(d => d.Digest!.Rule.Template).OfType<string>().Distinct()) found[key] = await book.CurrentAsync(key);
        return found;
    }
}
