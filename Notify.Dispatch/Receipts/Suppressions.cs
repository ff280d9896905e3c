using Marten;
using Notify.Domain.Notifications;
using Notify.Domain.Recipients;
using Notify.Projections;

namespace Notify.Dispatch.Receipts;

/// <summary>An address that a receipt judged: not to be used any more, or again.</summary>
/// <param name="Fingerprint">Keyed hash of it.</param>
/// <param name="UserKey">The user whose address it is, where that is known; else whoever has it.</param>
/// <param name="Source">The provider.</param>
public sealed record JudgedAddress(Channel Channel, string Fingerprint, string? UserKey, string Reason, string Source, bool IsLifted = false);

/// <summary>Suppresses and releases addresses in the caller's transaction; said again, it is no event.</summary>
public static class Suppressions
{
    /// <summary>Appends what follows. Locks users' streams, which come after notifications' in the order of locks.</summary>
    public static async Task ApplyAsync(IDocumentSession session, IReadOnlyList<JudgedAddress> judged, DateTimeOffset now, CancellationToken cancellation)
    {
        if (judged.Count == 0) return;
        var owners = new List<(string Key, JudgedAddress Address)>();
        foreach (var address in judged)
        {
            if (address.UserKey is { } known) owners.Add((known, address));
            else if (address.Channel == Channel.Sms)
                owners.AddRange((await session.Query<Recipient>().Where(r => r.PhoneFingerprint == address.Fingerprint).Select(r => r.Id).ToListAsync(cancellation)).Select(id => (id, address)));
        }

        if (owners.Count == 0) return;
        await NotificationStreams.LockAsync(session, owners.Select(o => o.Key), cancellation);
        var recipients = (await session.LoadManyAsync<Recipient>(cancellation, owners.Select(o => o.Key).Distinct())).ToDictionary(r => r.Id, StringComparer.Ordinal);
        foreach (var (key, address) in owners)
        {
            if (!recipients.TryGetValue(key, out var recipient) || recipient.SuppressedFingerprints.Contains(address.Fingerprint) != address.IsLifted) continue;
            object @event = address.IsLifted
                ? new SuppressionLifted(address.Channel, address.Fingerprint, address.Reason, address.Source, now)
                : new AddressSuppressed(address.Channel, address.Fingerprint, address.Reason, address.Source, now);
            session.Events.Append(key, @event);
            recipients[key] = Recipient.Evolve(recipient, key, @event);
        }
    }
}
