namespace Notify.Projections.Folding;

using JasperFx.Events;
using Marten;
using Notify.Delivery.EventStore;

/// <summary>A stream as a page of events left it.</summary>
/// <param name="Before">As the page found it; <c>null</c> where it began in the page, or where it was not in memory.</param>
/// <param name="Start">As the page found it, also where it was not in memory; <c>null</c> where it began in the page.</param>
public sealed record FoldedStream<T>(string Key, T? Before, T? Start, T After, long Version)
    where T : class;

/// <summary>
/// Folds the streams that a page of events changes, up to that page. The result follows from the events alone: a state
/// is continued where the version before is in memory, else the stream is read from its beginning.
/// </summary>
/// <param name="evolve">Folds an event into a state.</param>
/// <param name="remembered">States kept in memory, at most twice as many; the oldest are removed.</param>
public sealed class StreamFold<T>(Func<T?, IEvent, T?> evolve, int remembered = 20_000)
    where T : class
{
    private Dictionary<string, (long Version, T State)> young = new(StringComparer.Ordinal),
        old = new(StringComparer.Ordinal);

    /// <summary>Folds a page. Pages come one after the other; the same page may come again.</summary>
    /// <param name="events">In the order of their sequence.</param>
    public async Task<List<FoldedStream<T>>> FoldAsync(IQuerySession session, IEnumerable<IEvent> events, CancellationToken cancellation)
    {
        var streams = events.GroupBy(e => e.StreamKey!, StringComparer.Ordinal).Select(g => (g.Key, Events: g.ToList())).ToList();
        var starts = new Dictionary<string, T?>(streams.Count, StringComparer.Ordinal);
        var unknown = new List<string>();
        foreach (var (key, own) in streams)
        {
            var first = own[0].Version;
            var isWhole = own[^1].Version - first == own.Count - 1;
            if (isWhole && first == 1)
                starts[key] = null;
            else if (isWhole && Recall(key) is { } known && known.Version == first - 1)
                starts[key] = known.State;
            else
                unknown.Add(key);
        }

        var read = (unknown.Count == 0 ? [] : await ReadAsync(session, unknown, cancellation)).ToLookup(
            e => e.StreamKey!,
            StringComparer.Ordinal
        );
        var folded = new List<FoldedStream<T>>(streams.Count);
        foreach (var (key, own) in streams)
        {
            var isKnown = starts.TryGetValue(key, out var before);
            var version = own[^1].Version;
            var (start, since) = (before, own);
            if (!isKnown)
            {
                var all = read[key].Where(e => e.Version <= version).OrderBy(e => e.Version).ToLookup(e => e.Version < own[0].Version);
                (start, since) = (all[true].Aggregate(before, evolve), [.. all[false]]);
            }

            var after = since.Aggregate(start, evolve);
            if (after is null)
                continue;
            Remember(key, version, after);
            folded.Add(new FoldedStream<T>(key, before, start, after, version));
        }

        return folded;
    }

    // An event that cannot be read changes nothing here, as in the daemon; see NotifyStore.
    private static async Task<IReadOnlyList<IEvent>> ReadAsync(IQuerySession session, List<string> keys, CancellationToken cancellation) =>
        [.. (await StoredEvents.OfStreamsAsync(session, [.. keys], cancellation)).Select(e => e.AsEvent()).OfType<IEvent>()];

    private (long Version, T State)? Recall(string key) =>
        young.TryGetValue(key, out var state) || old.TryGetValue(key, out state) ? state : null;

    private void Remember(string key, long version, T state)
    {
        if (young.Count >= remembered)
            (old, young) = (young, new Dictionary<string, (long, T)>(StringComparer.Ordinal));
        young[key] = (version, state);
    }
}
