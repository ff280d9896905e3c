namespace Notify.Dispatch.Dispatching;

using Notify.Delivery.DeliveryQueue;
using Notify.Dispatch.Routing;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Npgsql;

/// <summary>
/// Chooses the deliveries of a batch. Where one client has the queue to itself, they are those that the message names.
/// Where several clients wait, each has its equal share, the oldest first, whichever deliveries the message names: one client's flood
/// delays another's delivery by at most the fair share. Where more clients wait than there are places, they take turns.
/// </summary>
public sealed class SlicePick(FairTurns turns, HostIdentity host)
{
    // Where others claim at the same time, a slice may stay smaller than it could be: a poll finds the rest.
    private const int MaxWindows = 4;

    /// <summary>Claims in the caller's transaction.</summary>
    /// <param name="ids">The deliveries that the message names; <see cref="Guid.Empty"/> stands for any.</param>
    public async Task<List<OpenDelivery>> ClaimAsync(
        NpgsqlConnection connection,
        DeliveryQueue queue,
        Guid[] ids,
        Guid claim,
        CancellationToken cancellation
    )
    {
        var areNamed = !ids.AsSpan().Contains(Guid.Empty);
        var rotation = turns.Rotation(queue);
        var isRead = turns.MustRead(queue, evenAlone: !areNamed);
        if (isRead)
            await ReadAsync(connection, queue, cancellation);
        var byName = areNamed && (turns.AtWork(queue) < 2 || rotation.Count < 2);
        var rows = byName
            ? await OpenDeliveryTable.ClaimAsync(connection, ids, host.Id, claim, cancellation)
            : await FairlyAsync(connection, queue, ids.Length, claim, cancellation);
        if (rows.Count < ids.Length && (byName || !isRead))
        {
            // Another claim took the named deliveries, or the known clients are out of date: others wait in their place.
            await ReadAsync(connection, queue, cancellation);
            rows.AddRange(await FairlyAsync(connection, queue, ids.Length - rows.Count, claim, cancellation));
        }

        turns.CountClaimed(queue, rows.Count);
        return rows;
    }

    // A client with less than its share leaves the rest to the others.
    private async Task<List<OpenDelivery>> FairlyAsync(
        NpgsqlConnection connection,
        DeliveryQueue queue,
        int places,
        Guid claim,
        CancellationToken cancellation
    )
    {
        var rotation = turns.Rotation(queue);
        var rows = new List<OpenDelivery>(places);
        var spent = new HashSet<string>(StringComparer.Ordinal);
        for (var windows = 1; rows.Count < places; )
        {
            var shares = rotation.Take(places - rows.Count, spent);
            if (shares.Count == 0)
            {
                if (rotation.AreAll || windows++ == MaxWindows)
                    break;
                await ReadAsync(connection, queue, cancellation);
                continue;
            }

            var taken = await FairPick.ClaimAsync(connection, queue, shares, host.Id, claim, cancellation);
            rows.AddRange(taken);
            var counts = taken.CountBy(r => NotificationKey.Parse(r.Notification)!.Value.ClientId).ToDictionary(StringComparer.Ordinal);
            spent.UnionWith(shares.Where(s => counts.GetValueOrDefault(s.Client) < s.Places).Select(s => s.Client));
        }

        return rows;
    }

    private async Task ReadAsync(NpgsqlConnection connection, DeliveryQueue queue, CancellationToken cancellation)
    {
        var rotation = turns.Rotation(queue);
        rotation.Read(await FairPick.WaitingAsync(connection, queue, cancellation, rotation.After));
    }
}
