namespace Notify.Dispatch.Due;

/// <summary>A Dispatch host's last heartbeat.</summary>
/// <param name="At">The time that it wrote.</param>
/// <param name="Age">The age of that time by the database's clock.</param>
public readonly record struct SignOfLife(Guid Host, DateTimeOffset At, TimeSpan Age);

/// <summary>
/// Finds stale hosts: those whose heartbeat has not changed for as long as a host may be silent. The silence is counted by this
/// host's monotonic clock, and only over its scans: while the database is unavailable, no host can write a heartbeat. A host that
/// was already silent for so long by the database's clock at the first scan needs to miss only two more heartbeats: after a clock
/// was set forward, every heartbeat looks old, and live hosts write the next one.
/// </summary>
/// <param name="stale">The time that a host may be silent.</param>
/// <param name="beat">The interval of heartbeats and of scans.</param>
public sealed class SignsOfLife(TimeSpan stale, TimeSpan beat, TimeProvider clock)
{
    private Dictionary<Guid, (DateTimeOffset At, TimeSpan Silent)> known = [];
    private long lookedAt = clock.GetTimestamp();

    /// <summary>Looks at the hosts' last signs.</summary>
    /// <returns>The stale hosts.</returns>
    public Guid[] Gone(IReadOnlyCollection<SignOfLife> signs)
    {
        var now = clock.GetTimestamp();
        var passed = clock.GetElapsedTime(lookedAt, now) is var since && since < beat ? since : beat;
        lookedAt = now;
        known = signs.ToDictionary(
            s => s.Host,
            s => (s.At, known.TryGetValue(s.Host, out var k) && k.At == s.At ? k.Silent + passed : TimeSpan.Zero)
        );
        return
        [
            .. signs
                .Where(s => known[s.Host].Silent is var silent && (silent > stale || (s.Age > stale && silent > beat * 2)))
                .Select(s => s.Host),
        ];
    }
}
