namespace Notify.Delivery.DeliveryQueue;

using Notify.Domain.Planning;

/// <summary>Waiting clients in the order of their turns.</summary>
/// <param name="Clients">The clients whose turn comes next, the first of them first.</param>
/// <param name="AreAll">Whether no other client waits.</param>
public sealed record WaitingClients(IReadOnlyList<string> Clients, bool AreAll)
{
    /// <summary>No client waits.</summary>
    public static readonly WaitingClients None = new([], AreAll: true);
}

/// <summary>
/// Gives places to clients in turn. It knows a window of the waiting clients; where more clients wait than the window
/// contains, each of them gets one place, and the next window begins after the last client that was served.
/// </summary>
/// <remarks>
/// Safe for concurrent use. The order is that of the client IDs, round and round; no client is served twice before all others
/// had a turn.
/// </remarks>
public sealed class ClientRotation
{
    private readonly Lock gate = new();
    private WaitingClients window = WaitingClients.None;
    private int next;
    private string after = "";

    /// <summary>The client that had the last turn; the window is read from the client behind it on.</summary>
    public string After
    {
        get
        {
            lock (gate)
                return after;
        }
    }

    /// <summary>The number of clients in the window.</summary>
    public int Count
    {
        get
        {
            lock (gate)
                return window.Clients.Count;
        }
    }

    /// <summary>Whether the window contains all waiting clients.</summary>
    public bool AreAll
    {
        get
        {
            lock (gate)
                return window.AreAll;
        }
    }

    /// <summary>Whether every client of the window had its turn while others wait behind it.</summary>
    public bool IsUsedUp
    {
        get
        {
            lock (gate)
                return !window.AreAll && next >= window.Clients.Count;
        }
    }

    /// <summary>Replaces the window.</summary>
    public void Read(WaitingClients waiting)
    {
        lock (gate)
            (window, next) = (waiting, 0);
    }

    /// <summary>Divides places among the clients whose turn it is.</summary>
    /// <param name="places">How many places there are.</param>
    /// <param name="spent">Clients that have nothing left.</param>
    /// <returns>Each client's share. Fewer places than asked for mean that the window is used up.</returns>
    public IReadOnlyList<FairShare> Take(int places, IReadOnlySet<string> spent)
    {
        lock (gate)
            return window.AreAll ? Divide(places, spent) : TakeNext(places, spent);
    }

    private IReadOnlyList<FairShare> Divide(int places, IReadOnlySet<string> spent)
    {
        var count = window.Clients.Count;
        var clients = Enumerable.Range(next, count).Select(i => window.Clients[i % count]).Where(c => !spent.Contains(c)).ToList();
        var shares = FairShares.Divide(places, clients, 0);
        if (clients.Count == 0)
            return shares;
        // The first clients get what cannot be divided; the turn goes on behind them.
        if (places % clients.Count is > 0 and var rest)
        {
            after = clients[rest - 1];
            next = (IndexOf(after) + 1) % count;
        }

        return shares;
    }

    private List<FairShare> TakeNext(int places, IReadOnlySet<string> spent)
    {
        var shares = new List<FairShare>(Math.Min(places, window.Clients.Count - next));
        for (; shares.Count < places && next < window.Clients.Count; next++)
        {
            after = window.Clients[next];
            if (!spent.Contains(after))
                shares.Add(new FairShare(after, 1));
        }

        return shares;
    }

    private int IndexOf(string client)
    {
        for (var i = 0; i < window.Clients.Count; i++)
        {
            if (string.Equals(window.Clients[i], client, StringComparison.Ordinal))
                return i;
        }

        return 0;
    }
}
