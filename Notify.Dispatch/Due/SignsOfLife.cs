namespace Notify.Dispatch.Due;

/// <summary>A Dispatch host's last sign of life.</summary>
/// <param name="At">What it wrote then.</param>
/// <param name="Age">How old that is by the database's clock.</param>
public readonly record struct SignOfLife(Guid Host, DateTimeOffset At, TimeSpan Age);

/// <summary>
/// Tells which hosts are gone: those whose sign of life has not changed for as long as a host may be silent. That is counted here,
/// without a clock that somebody may set, and only while there is somebody who looks: when the database was away, nobody could
/// give a sign. What was silent so long by the database's clock when this host first looked need only miss two signs
/// more: a clock that was set forward makes every sign look old, and the living give the next one.
/// </summary>
/// <param name="stale">How long a host may be silent.</param>
/// <param name="beat">How often each gives a sign, and how often is looked.</param>
public sealed class SignsOfLife(TimeSpan stale, TimeSpan beat, TimeProvider clock)
{
    private Dictionary<Guid, (DateTimeOffset At, TimeSpan Silent)> known = [];
    private long lookedAt = clock.GetTimestamp();

    /// <summary>Looks at the hosts' last signs.</summary>
    /// <returns>The hosts that are gone.</returns>
    public Guid[] Gone(IReadOnlyCollection<SignOfLife> signs)
    {
        var now = clock.GetTimestamp();
        var passed = clock.GetElapsedTime(lookedAt, now) is var since && since < beat ? since : beat;
        lookedAt = now;
        known = signs.ToDictionary(s => s.Host, s => (s.At, known.TryGetValue(s.Host, out var k) && k.At == s.At ? k.Silent + passed : TimeSpan.Zero));
        return [.. signs.Where(s => known[s.Host].Silent is var silent && (silent > stale || (s.Age > stale && silent > beat * 2))).Select(s => s.Host)];
    }
}
