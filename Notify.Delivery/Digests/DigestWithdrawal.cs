namespace Notify.Delivery.Digests;

using Marten;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.EventStore;
using Notify.Domain.Broadcasts;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Npgsql;

/// <summary>
/// Cancels notifications that wait in digests, and digests with all their notifications. This is exact: the closing of a digest waits
/// for this transaction, or the other way round.
/// </summary>
public static class DigestWithdrawal
{
    /// <summary>
    /// Takes a notification out of the digest that it waits in, if that is still open. To be called before its stream is
    /// locked; from here on the digest is closed only after the caller's transaction.
    /// </summary>
    public static async Task TakeOutAsync(NpgsqlConnection connection, string member, CancellationToken cancellation)
    {
        if (await DigestTable.OfAsync(connection, member, cancellation) is not { } entry)
            return;
        var places = await DigestTable.LockAsync(connection, [entry.Place], cancellation);
        await DigestTable.RemoveAsync(connection, [member], cancellation);
        await DigestTable.WriteAsync(connection, places, cancellation);
    }

    /// <summary>Withdraws everything that waits in a digest which is itself being withdrawn before it closed. The caller has locked its
    /// stream.</summary>
    public static async Task WithdrawMembersAsync(
        IDocumentSession session,
        Notification digest,
        string by,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        if (digest.Digest is not { } opened || digest.Members is not null)
            return;
        var connection = session.Connection!;
        var place = new DigestPlace(digest.Request.ClientId, digest.Request.Category, opened.Person);
        var places = await DigestTable.LockAsync(connection, [place], cancellation);
        var members = (await DigestTable.InAsync(connection, [digest.Key], cancellation))[digest.Key].Select(e => e.Member).ToList();
        await NotificationStreams.LockAsync(session, members, cancellation);
        foreach (var member in members)
            session.Events.Append(member, new NotificationCancelled([], by, now));
        await DigestTable.RemoveAsync(connection, members, cancellation);
        if (places[place]?.Key == digest.Key)
            places[place] = null;
        await DigestTable.WriteAsync(connection, places, cancellation);
    }

    /// <summary>Withdraws some of a broadcast's notifications that wait in digests.</summary>
    /// <param name="most">How many at most.</param>
    /// <returns>How many; and whether some are left whose digest or stream another transaction holds.</returns>
    public static async Task<(int Taken, bool AreBusy)> TakeBackAsync(
        IDocumentSession session,
        Broadcast broadcast,
        int most,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        var connection = session.Connection!;
        var (from, to) = BroadcastDeliveries.RangeOf(broadcast);
        var entries = await DigestTable.BetweenAsync(connection, from, to, most, cancellation);
        if (entries.Count == 0)
            return (0, false);
        var places = await DigestTable.LockFreeAsync(connection, entries.Select(e => e.Place), cancellation);
        var free = entries.Where(e => places.ContainsKey(e.Place)).Select(e => e.Member).ToList();
        var busy = await NotificationStreams.LockFreeAsync(session, free, cancellation);
        var taken = await DigestTable.RemoveAsync(connection, [.. free.Where(m => !busy.Contains(m))], cancellation);
        foreach (var member in taken)
            session.Events.Append(member, new NotificationCancelled([], broadcast.ClientId, now));
        await DigestTable.WriteAsync(connection, places, cancellation);
        return (taken.Count, free.Count < entries.Count || busy.Count > 0);
    }

    /// <summary>Notes that a digest closes at another time, for what is collected from now on. The caller has locked its stream.</summary>
    public static async Task MoveAsync(
        NpgsqlConnection connection,
        Notification digest,
        DateTimeOffset closesAt,
        CancellationToken cancellation
    )
    {
        if (digest.Digest is not { } opened)
            return;
        var place = new DigestPlace(digest.Request.ClientId, digest.Request.Category, opened.Person);
        var places = await DigestTable.LockAsync(connection, [place], cancellation);
        if (places[place] is { } open && open.Key == digest.Key)
            places[place] = open with { ClosesAt = closesAt.ToUniversalTime() };
        await DigestTable.WriteAsync(connection, places, cancellation);
    }
}
