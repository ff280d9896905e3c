namespace Notify.Delivery.Digests;

using Marten;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.EventStore;
using Notify.Delivery.Payloads;
using Notify.Delivery.Privacy;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Npgsql;

/// <summary>The members of a digest that closes which cannot be told now: they follow in a digest of their own.</summary>
/// <param name="Digest">The digest that closes.</param>
/// <param name="Members">Their streams.</param>
/// <param name="IsLocked">Whether other transactions hold all of them; else some cannot be read by this host.</param>
/// <param name="CanTell">Whether other members can be told.</param>
/// <param name="CanOpen">Whether this host can open the texts of the digest's members.</param>
public sealed record DigestFollower(Notification Digest, IReadOnlyList<string> Members, bool IsLocked, bool CanTell, bool CanOpen)
{
    /// <summary>How long a digest waits for members whose streams other transactions hold; most locks are let go within that
    /// time.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    /// <summary>Divides the members of a digest.</summary>
    /// <param name="busy">The streams that other transactions hold.</param>
    /// <param name="contents">The contents of the others; <c>null</c>: this host cannot decrypt their texts.</param>
    public static DigestFollower Of(
        Notification digest,
        IEnumerable<DigestEntry> entries,
        IReadOnlySet<string> busy,
        DigestContents? contents
    )
    {
        var all = entries.Select(e => e.Member).ToList();
        var left = all.Where(m => busy.Contains(m) || contents?.Unreadable.Contains(m) == true).ToList();
        return new DigestFollower(digest, left, left.TrueForAll(busy.Contains), left.Count < all.Count, contents is not null);
    }

    /// <summary>Whether the digest waits as a whole.</summary>
    /// <param name="isOpen">Whether its own payload can be read, which names the person.</param>
    public bool MustWait(bool isOpen, DateTimeOffset now) =>
        !CanOpen || (Members.Count > 0 && (!CanTell || !isOpen || (IsLocked && now - DueAt < Patience)));

    /// <summary>Until when the digest, or what follows it, waits.</summary>
    public DateTimeOffset Until(DateTimeOffset now) =>
        now + (CanOpen && IsLocked ? LoadedStreams.LockWaitOf(DueAt, now) : LoadedStreams.WaitOf(DueAt, now));

    private DateTimeOffset DueAt => Digest.SendAt ?? Digest.Request.At;
}

/// <summary>The digests by which members follow, in one transaction.</summary>
public sealed class DigestFollowers
{
    private readonly List<(string Key, NotificationRequested Request, IReadOnlyList<string> Members)> opened = [];

    /// <summary>Opens a digest for the members that are left; nothing else is collected in it.</summary>
    /// <param name="payload">The open payload of the digest that closes.</param>
    public void Add(
        IDocumentSession session,
        DigestFollower left,
        NotificationPayload payload,
        PayloadBatch payloads,
        KeySet keys,
        MasterKeyRing ring,
        DateTimeOffset now
    )
    {
        var (digest, rule) = (left.Digest, left.Digest.Digest!);
        // Follows from the digest that closes, which does so once.
        var key = NotificationKey.Of(digest.Request.ClientId, $"digest={ring.Fingerprint("digest", digest.Key)}");
        var request = digest.Request with
        {
            EventId = NotificationKey.Parse(key)!.Value.EventId,
            SendAt = left.Until(now),
            RequestHash = ring.Fingerprint("request", key),
            At = now,
            Payload = payloads.Seal(
                keys,
                digest.Request.Subject,
                SealedPlace.OfPayload(key),
                new NotificationPayload(new NotificationContent(), payload.To)
            ),
        };
        session.Events.StartStream(key, request, rule with { At = now });
        opened.Add((key, request, left.Members));
    }

    /// <summary>Writes what belongs to them beside their streams.</summary>
    /// <returns>The rows by which they wait for their time.</returns>
    public async Task<List<OpenDelivery>> WriteAsync(NpgsqlConnection connection, CancellationToken cancellation)
    {
        await DigestCollecting.NoteAsync(connection, [.. opened.Select(o => (o.Key, o.Request))], cancellation);
        foreach (var (key, _, members) in opened)
            await DigestTable.MoveAsync(connection, members, key, cancellation);
        return [.. opened.Select(o => OpenDelivery.Planning(o.Key, o.Request.Priority, o.Request.At, o.Request.SendAt!.Value))];
    }
}
