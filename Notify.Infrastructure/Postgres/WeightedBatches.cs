namespace Notify.Infrastructure.Postgres;

/// <summary>Divides a list into batches that are bounded by weight, such as bytes.</summary>
public static class WeightedBatches
{
    /// <summary>Divides items, in their order, into batches of at most this weight; a heavier item is a batch of its own.</summary>
    public static IEnumerable<IReadOnlyList<T>> Of<T>(IReadOnlyList<T> all, Func<T, long> weightOf, long max)
    {
        for (var next = 0; next < all.Count; )
        {
            var batch = FirstOf(all.Skip(next), weightOf, max);
            yield return batch;
            next += batch.Count;
        }
    }

    /// <summary>Returns the first items that weigh at most this together, and at least one item.</summary>
    public static List<T> FirstOf<T>(IEnumerable<T> all, Func<T, long> weightOf, long max)
    {
        var (taken, weight) = (new List<T>(), 0L);
        foreach (var one in all)
        {
            weight += weightOf(one);
            if (taken.Count > 0 && weight > max)
                break;
            taken.Add(one);
        }

        return taken;
    }
}
