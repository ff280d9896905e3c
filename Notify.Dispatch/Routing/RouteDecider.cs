namespace Notify.Dispatch.Routing;

/// <summary>A provider of a route, as it is when one is chosen.</summary>
/// <param name="IsUsable">Its circuit lets a delivery through, and it did not ask to wait.</param>
/// <param name="Weight">Its current weight; ignored where the route is ordered.</param>
/// <param name="HasToken">Its rate leaves room.</param>
public readonly record struct Candidate(string Name, bool IsUsable, double Weight = 1, bool HasToken = true);

/// <summary>Chooses the provider of a delivery. Pure.</summary>
public static class RouteDecider
{
    /// <summary>Chooses the first usable provider of an ordered route, or one by weight; those tried in this round come last.</summary>
    /// <param name="candidates">In the route's order.</param>
    /// <param name="tried">The providers that this delivery has tried in this round.</param>
    /// <param name="random">Uniform in [0, 1).</param>
    /// <returns>Its place; -1 where the route is empty.</returns>
    public static int Choose(IReadOnlyList<Candidate> candidates, bool isWeighted, IReadOnlyCollection<string> tried, double random)
    {
        var usable = Places(candidates, c => c.IsUsable && !tried.Contains(c.Name));
        if (usable.Count == 0)
            usable = Places(candidates, c => c.IsUsable);
        // A circuit diverts; it never strands. Where nobody is usable, deliveries go out with each one's own back-off, so
        // that a lane with one provider works as if there were no circuit, and the first success is seen at once.
        if (usable.Count == 0)
            return Places(candidates, c => !tried.Contains(c.Name)) is [var first, ..] ? first
                : candidates.Count > 0 ? 0
                : -1;
        if (!isWeighted || usable.Count == 1)
            return usable[0];

        // A provider at its limit leaves its share to the others while they have room.
        if (usable.Where(i => candidates[i].HasToken).ToList() is { Count: > 0 } roomy)
            usable = roomy;
        var at = random * usable.Sum(i => candidates[i].Weight);
        foreach (var i in usable)
        {
            at -= candidates[i].Weight;
            if (at < 0)
                return i;
        }

        return usable[^1];
    }

    /// <summary>Whether another one is usable, with room in its rate, that this delivery has not tried in this round.</summary>
    public static bool HasAnother(IReadOnlyList<Candidate> candidates, IReadOnlyCollection<string> tried) =>
        candidates.Any(c => c is { IsUsable: true, HasToken: true } && !tried.Contains(c.Name));

    private static List<int> Places(IReadOnlyList<Candidate> candidates, Func<Candidate, bool> which) =>
        [.. Enumerable.Range(0, candidates.Count).Where(i => which(candidates[i]))];
}
