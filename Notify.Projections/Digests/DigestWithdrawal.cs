using Marten;
using Notify.Domain.Broadcasts;
using Notify.Domain.Digests;
using Notify.Domain.Notifications;
using Notify.Projections.OpenDeliveries;
using Npgsql;

namespace Notify.Projections.Digests;

/// <summary>Withdraws what waits in digests, and digests with all that waits in them: exact, since whoever closes a digest waits for this, or the other way round.</summary>
public static class DigestWithdrawal
{
    /// <summary>
    /// Takes a notification out of the digest that it waits in, if that is still open. To be called before its stream is
    /// locked; from here on the digest is closed only after the caller's transaction.
    /// </summary>
    public static async Task TakeOutAsync(NpgsqlConnection connection, string member, CancellationToken cancellation)
    {
        if (await DigestTable.OfAsync(connection, member, cancellation) is not { } entry) return;
        var places = await DigestTable.LockAsync(connection, [entry.Place], cancellation);
        await DigestTable.RemoveAsync(connection, [member], cancellation);
        await DigestTable.WriteAsync(connection, places, cancellation);
    }

    /// <summary>Withdraws everything that waits in a digest which is itself being withdrawn before it closed. The caller has locked its stream.</summary>
    public static async Task WithdrawMembersAsync(IDocumentSession session, Notification digest, string by, DateTimeOffset now, CancellationToken cancellation)
    {
        if (digest.Digest is not { } opened || digest.Members is not null) return;
        var connection = session.Connection!;
        var place = new DigestPlace(digest.Request.ClientId, digest.Request.Category, opened.Person);
        var places = await DigestTable.LockAsync(connection, [place], cancellation);
        var members = (await DigestTable.InAsync(connection, [digest.Key], cancellation))[digest.Key].Select(e => e.Member).ToList();
        await NotificationStreams.LockAsync(session, members, cancellation);
        foreach (var member in members) session.Events.Append(member, new NotificationCancelled([], by, now));
        await DigestTable.RemoveAsync(connection, members, cancellation);
        if (places[place]?.Key == digest.Key) places[place] = null;
        await DigestTable.WriteAsync(connection, places, cancellation);
    }

    /// <summary>Withdraws some of a broadcast's notifications that wait in digests.</summary>
    /// <param name="most">How many at most.</param>
    /// <returns>Whether there were any; more may be left.</returns>
    public static async Task<bool> TakeBackAsync(IDocumentSession session, Broadcast broadcast, int most, DateTimeOffset now, CancellationToken cancellation)
    {
        var connection = session.Connection!;
        var (from, to) = BroadcastDeliveries.RangeOf(broadcast);
        var entries = await DigestTable.BetweenAsync(connection, from, to, most, cancellation);
        if (entries.Count == 0) return false;
        var places = await DigestTable.LockAsync(connection, entries.Select(e => e.Place), cancellation);
        var taken = await DigestTable.RemoveAsync(connection, [.. entries.Select(e => e.Member)], cancellation);
        await NotificationStreams.LockAsync(session, taken, cancellation);
        foreach (var member in taken) session.Events.Append(member, new NotificationCancelled([], broadcast.ClientId, now));
        await DigestTable.WriteAsync(connection, places, cancellation);
        return true;
    }

    /// <summary>Notes that a digest closes at another time, for what is collected from now on. The caller has locked its stream.</summary>
    public static async Task MoveAsync(NpgsqlConnection connection, Notification digest, DateTimeOffset closesAt, CancellationToken cancellation)
    {
        if (digest.Digest is not { } opened) return;
        var place = new DigestPlace(digest.Request.ClientId, digest.Request.Category, opened.Person);
        var places = await DigestTable.LockAsync(connection, [place], cancellation);
        if (places[place] is { } open && open.Key == digest.Key) places[place] = open with { ClosesAt = closesAt.ToUniversalTime() };
        await DigestTable.WriteAsync(connection, places, cancellation);
    }
}
