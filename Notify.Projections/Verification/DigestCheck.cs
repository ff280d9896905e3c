using Marten;
using Notify.Domain.Notifications;
using Notify.Projections.Digests;
using Npgsql;

namespace Notify.Projections.Verification;

/// <summary>
/// Proves that whatever was collected is in exactly one digest: while that is open, in the table from which it is closed;
/// afterwards, among what it tells.
/// </summary>
/// <param name="waiting">What waits in digests, by stream key.</param>
internal sealed class DigestCheck(Dictionary<string, DigestEntry> waiting)
{
    /// <summary>Notifications that a digest has told.</summary>
    public long Digested { get; private set; }

    private long told;

    /// <summary>Reads what waits.</summary>
    public static async Task<DigestCheck> BeginAsync(NpgsqlConnection connection, CancellationToken cancellation) =>
        new((await DigestTable.AllAsync(connection, cancellation)).ToDictionary(e => e.Member, StringComparer.Ordinal));

    /// <summary>Checks a page of notifications.</summary>
    /// <param name="fault">Takes each fault.</param>
    public async Task CheckAsync(IQuerySession session, IReadOnlyCollection<Notification> page, Action<string> fault, CancellationToken cancellation)
    {
        var digested = page.Where(n => n.IsDigested).ToList();
        var (digests, unreadable) = await NotificationStreams.LoadAsync(session, [.. digested.Select(DigestOf).Distinct()], cancellation);
        foreach (var n in digested)
        {
            Digested++;
            if (!unreadable.ContainsKey(DigestOf(n)) && digests.GetValueOrDefault(DigestOf(n))?.Members?.Contains(n.Request.EventId) != true) fault($"{n.Key}: told by {n.CollectedIn}, which does not tell it");
        }

        foreach (var n in page)
        {
            var isWaiting = waiting.Remove(n.Key, out var entry);
            if (n.IsInOpenDigest && entry?.Digest != DigestOf(n)) fault($"{n.Key}: waits in {n.CollectedIn}, which does not have it");
            else if (isWaiting && !n.IsInOpenDigest) fault($"{n.Key}: ended, but still waits in {entry!.Digest}");
            if (n.Members is null) continue;
            told += n.Members.Count;
            if (n.Members.Distinct(StringComparer.Ordinal).Count() != n.Members.Count) fault($"{n.Key}: tells the same twice");
        }
    }

    /// <summary>Checks what no page had.</summary>
    public void End(Action<string> fault)
    {
        foreach (var entry in waiting.Values) fault($"{entry.Member}: waits in {entry.Digest}, but has no stream");
        if (told != Digested) fault($"digests tell {told} notifications, and {Digested} were told");
    }

    private static string DigestOf(Notification member) => NotificationKey.Of(member.Request.ClientId, member.CollectedIn!);
}
