namespace Notify.Delivery.Digests;

using Marten;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.EventStore;
using Notify.Delivery.Payloads;
using Notify.Delivery.Privacy;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Domain.Privacy;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>The contents of a digest that closes.</summary>
/// <param name="Closing">The decision about each notification that waited in it, without their contents.</param>
/// <param name="Items">The members with contents, decrypted: the first whole, because it may be the only one, the others shortened.</param>
public sealed record DigestContents(DigestClosing Closing, IReadOnlyList<ToldMember> Items)
{
    /// <summary>The streams of members that this host cannot read: the digest closes without them.</summary>
    public IReadOnlyList<string> Unreadable { get; init; } = [];
}

/// <summary>
/// Reads the notifications of closing digests, part by part: the contents of a thousand may be hundreds of megabytes, and a
/// digest needs a title, a text and an address of each. Other contents are not kept in memory.
/// </summary>
/// <param name="most">So many stored bytes are read at once.</param>
public sealed class DigestReading(SubjectKeys subjectKeys, StreamFaults streamFaults, long most = DigestReading.MostBytes)
{
    /// <summary>So many stored bytes at once; opened, they take several times as much.</summary>
    public const long MostBytes = 16 * 1024 * 1024;

    /// <summary>Reads closing digests, in a transaction that has locked the streams of all that is read.</summary>
    /// <param name="digests">The digests that close.</param>
    /// <param name="entries">The notifications that wait in them, in order of arrival.</param>
    /// <param name="sizes">The stored bytes of the waiting notifications, by stream key.</param>
    /// <returns>By the digest's stream key; a digest with a member whose text this host cannot decrypt is absent.</returns>
    public async Task<Dictionary<string, DigestContents>> ReadAsync(
        IDocumentSession session,
        IReadOnlyList<Notification> digests,
        ILookup<string, DigestEntry> entries,
        IReadOnlyDictionary<string, long> sizes,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        var byKey = digests.ToDictionary(d => d.Key, StringComparer.Ordinal);
        var parts = digests.ToDictionary(d => d.Key, _ => new List<DigestContents>(), StringComparer.Ordinal);
        var (locked, unreadable) = (new HashSet<string>(StringComparer.Ordinal), new HashSet<string>(StringComparer.Ordinal));
        foreach (var part in WeightedBatches.Of([.. digests.SelectMany(d => entries[d.Key])], e => sizes.GetValueOrDefault(e.Member), most))
        {
            var loaded = await NotificationStreams.LoadAsync(session, [.. part.Select(e => e.Member)], cancellation);
            await streamFaults.NoteAsync(session.Connection!, loaded, now, cancellation);
            var members = loaded.States;
            unreadable.UnionWith(loaded.Faults.Keys);
            var keys = await subjectKeys.ForAsync(session.Connection!, members.Values.Select(m => m.Request.Payload.Key), cancellation);
            locked.UnionWith(
                part.Where(e => members.TryGetValue(e.Member, out var m) && keys.IsLocked(m.Request.Payload.Key)).Select(e => e.Digest)
            );
            var payloads = await PayloadTable.OpenAsync(
                session.Connection!,
                members.Values.Where(m => !keys.IsLocked(m.Request.Payload.Key)),
                keys,
                cancellation
            );
            foreach (var own in part.GroupBy(e => e.Digest, StringComparer.Ordinal).Where(o => !locked.Contains(o.Key)))
            {
                var told = parts[own.Key].Sum(p => p.Items.Count);
                var readable = own.Where(e => !unreadable.Contains(e.Member)).Select(e => members[e.Member]);
                parts[own.Key].Add(Read(byKey[own.Key], [.. readable], told, payloads, now));
            }
        }

        return parts
            .Where(p => !locked.Contains(p.Key))
            .ToDictionary(
                p => p.Key,
                p => new DigestContents(DigestClosing.Of([.. p.Value.Select(c => c.Closing)]), [.. p.Value.SelectMany(c => c.Items)])
                {
                    Unreadable = [.. entries[p.Key].Select(e => e.Member).Where(unreadable.Contains)],
                },
                StringComparer.Ordinal
            );
    }

    // told: the number of members that earlier parts list one by one.
    private static DigestContents Read(
        Notification digest,
        IReadOnlyList<Notification> members,
        int told,
        Dictionary<string, NotificationPayload?> payloads,
        DateTimeOffset now
    )
    {
        var waiting = members.Where(m => m.IsInOpenDigest).ToList();
        var closing = DigestDecider.Close(
            digest.Request.EventId,
            waiting.Select(m => new DigestMember(
                m with
                {
                    Request = m.Request with { Payload = SealedPayload.None },
                },
                payloads[m.Key] is not null
            )),
            now
        );
        var items = new List<ToldMember>();
        foreach (var member in closing.Told.Take(digest.Digest!.Rule.MaxItems - told))
        {
            var item = new ToldMember(member.Notification.Request, payloads[member.Notification.Key]!);
            items.Add(told + items.Count == 0 ? item : item.AsTold());
        }

        return new DigestContents(closing, items);
    }
}
