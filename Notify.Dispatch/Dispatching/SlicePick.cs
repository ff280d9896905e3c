using Notify.Domain.Notifications;
using Notify.Projections.OpenDeliveries;
using Npgsql;

namespace Notify.Dispatch.Dispatching;

/// <summary>
/// Chooses the deliveries of a slice. Where one client has the queue to itself, they are those that the message names.
/// Where several wait, each has its equal share, the oldest first, whatever the message names: one client's flood delays
/// another's delivery by the other's fair share and no more. So many as the message names are always taken if they are
/// there, so that no delivery is left without a message.
/// </summary>
public sealed class SlicePick(FairTurns turns, HostIdentity host)
{
    /// <summary>Claims in the caller's transaction.</summary>
    /// <param name="ids">What the message names.</param>
    public async Task<List<OpenDelivery>> ClaimAsync(NpgsqlConnection connection, DeliveryQueue queue, Guid[] ids, Guid claim, CancellationToken cancellation)
    {
        var looked = turns.MustLook(queue);
        if (looked) turns.Saw(queue, await FairPick.WaitingAsync(connection, queue, cancellation));
        var clients = turns.Waiting(queue);
        var rows = clients.Count > 1
            ? await FairlyAsync(connection, queue, clients, ids.Length, claim, cancellation)
            : await OpenDeliveryTable.ClaimAsync(connection, ids, host.Id, claim, cancellation);
        if (rows.Count == ids.Length || (looked && clients.Count > 1)) return rows;

        // Somebody else took what was named, or what was known is out of date: others wait in its place.
        clients = await FairPick.WaitingAsync(connection, queue, cancellation);
        turns.Saw(queue, clients);
        rows.AddRange(await FairlyAsync(connection, queue, clients, ids.Length - rows.Count, claim, cancellation));
        return rows;
    }

    // Who has less than their share leaves the rest to the others.
    private async Task<List<OpenDelivery>> FairlyAsync(
        NpgsqlConnection connection, DeliveryQueue queue, IReadOnlyList<string> clients, int places, Guid claim, CancellationToken cancellation)
    {
        var rows = new List<OpenDelivery>(places);
        while (rows.Count < places && clients.Count > 0)
        {
            var shares = FairShares.Divide(places - rows.Count, clients, turns.NextTurn(queue));
            var taken = await FairPick.ClaimAsync(connection, queue, shares, host.Id, claim, cancellation);
            rows.AddRange(taken);
            var counts = taken.CountBy(r => NotificationKey.Parse(r.Notification)!.Value.ClientId).ToDictionary(StringComparer.Ordinal);
            var spent = shares.Where(s => counts.GetValueOrDefault(s.Client) < s.Places).Select(s => s.Client).ToHashSet(StringComparer.Ordinal);
            if (spent.Count == 0) break;
            clients = [.. clients.Where(c => !spent.Contains(c))];
        }

        return rows;
    }
}
