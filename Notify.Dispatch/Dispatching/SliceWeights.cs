namespace Notify.Dispatch.Dispatching;

using Notify.Delivery.DeliveryQueue;

/// <summary>
/// The memory budget for notifications that this host has decrypted. A mail's files may be megabytes, and a batch or a
/// page hundreds of notifications: those that do not fit wait until memory is released. A single one is always admitted,
/// at any size, and a light one never waits for a heavy one.
/// </summary>
/// <param name="most">Bytes as stored; decrypted, they take several times as much.</param>
public sealed class SliceWeights(long most = SliceWeights.Most)
{
    /// <summary>So many stored bytes at once: some hundreds of megabytes of memory at worst.</summary>
    public const long Most = 48 * 1024 * 1024;

    /// <summary>Up to so many stored bytes a notification is light: as many as can be under way are a few megabytes.</summary>
    public const long Light = 32 * 1024;

    private long held;

    /// <summary>Bytes that are open now.</summary>
    public long Held => Interlocked.Read(ref held);

    /// <summary>Takes so many bytes if they fit.</summary>
    /// <param name="evenIfHeavy">Whether they are taken even if they do not fit.</param>
    public bool TryTake(long bytes, bool evenIfHeavy = false)
    {
        if (Interlocked.Add(ref held, bytes) <= most || evenIfHeavy)
            return true;
        Interlocked.Add(ref held, -bytes);
        return false;
    }

    /// <summary>Reserves memory for rows, in order, as far as it suffices. A notification counts once for all its deliveries.</summary>
    /// <param name="sizes">The notifications' stored bytes, by stream key.</param>
    /// <param name="inAnyCase">Selects rows that are taken even if they do not fit, besides the first and the light ones.</param>
    /// <returns>The reserved bytes of each taken delivery, by delivery; the caller releases them.</returns>
    public Dictionary<Guid, long> Take(
        IEnumerable<OpenDelivery> rows,
        IReadOnlyDictionary<string, long> sizes,
        Func<OpenDelivery, bool>? inAnyCase = null
    )
    {
        var taken = new Dictionary<Guid, long>();
        var open = new HashSet<string>(StringComparer.Ordinal);
        foreach (var row in rows)
        {
            var size = open.Contains(row.Notification) ? 0 : sizes.GetValueOrDefault(row.Notification);
            if (!TryTake(size, evenIfHeavy: taken.Count == 0 || size <= Light || inAnyCase?.Invoke(row) == true))
                continue;
            taken[row.Id] = size;
            open.Add(row.Notification);
        }

        return taken;
    }

    /// <summary>Gives bytes back.</summary>
    public void Release(long bytes) => Interlocked.Add(ref held, -bytes);
}
