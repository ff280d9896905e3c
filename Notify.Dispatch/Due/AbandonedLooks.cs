namespace Notify.Dispatch.Due;

/// <summary>
/// Decides when to scan for orphaned deliveries. The scan reads every open delivery, so it is worth its
/// cost only when one may be orphaned: at the start, when a host has gone stale, and when a claim
/// was given up. It is then repeated a few times, since locked rows are skipped. Unnoticed cases are
/// found by the scan that follows after <paramref name="longest"/> at the latest.
/// </summary>
/// <param name="longest">The longest time without a scan.</param>
public sealed class AbandonedLooks(TimeSpan longest, TimeProvider clock)
{
    /// <summary>How many looks follow what may have abandoned something.</summary>
    public const int Repeats = 3;

    private HashSet<Guid> alive = [];
    private int owed = Repeats;
    private int givenUp;
    private long lookedAt = clock.GetTimestamp();

    /// <summary>Whether to look now.</summary>
    /// <param name="hosts">The hosts that are alive.</param>
    /// <param name="claimsGivenUp">How many claims this host has given up since it started.</param>
    public bool IsDue(IEnumerable<Guid> hosts, int claimsGivenUp)
    {
        var now = hosts.ToHashSet();
        if (!now.IsSupersetOf(alive) || claimsGivenUp != givenUp)
            owed = Repeats;
        (alive, givenUp) = (now, claimsGivenUp);
        return owed > 0 || clock.GetElapsedTime(lookedAt) >= longest;
    }

    /// <summary>Reports a completed scan; a failed one is still due.</summary>
    public void Looked()
    {
        owed = Math.Max(0, owed - 1);
        lookedAt = clock.GetTimestamp();
    }
}
