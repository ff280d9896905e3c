namespace Notify.Domain.Planning;

/// <summary>A client's part of the next few places.</summary>
public readonly record struct FairShare(string Client, int Places);

/// <summary>Divides places among the clients that wait for them: none gets more than one above any other. Pure.</summary>
public static class FairShares
{
    /// <summary>Divides places among clients.</summary>
    /// <param name="places">The number of places; 0 or more.</param>
    /// <param name="clients">The clients that wait; each once.</param>
    /// <param name="turn">Selects the client that comes first, so that the remainder rotates; increases with each division.</param>
    /// <returns>The clients that get any.</returns>
    public static IReadOnlyList<FairShare> Divide(int places, IReadOnlyList<string> clients, uint turn)
    {
        if (clients.Count == 0 || places <= 0)
            return [];
        var (each, rest) = Math.DivRem(places, clients.Count);
        var first = (int)(turn % (uint)clients.Count);
        var shares = new List<FairShare>(Math.Min(places, clients.Count));
        for (var i = 0; i < clients.Count; i++)
        {
            var share = each + (i < rest ? 1 : 0);
            if (share > 0)
                shares.Add(new FairShare(clients[(first + i) % clients.Count], share));
        }

        return shares;
    }
}
