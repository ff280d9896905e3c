namespace Notify.Api.Contract;

/// <summary>
/// The bytes of request bodies that this host has in memory. A body's bytes are reserved before it is read and released when its
/// request is answered; a request without free bytes is answered 503 at once.
/// </summary>
/// <remarks>Large bodies leave a quarter to the others, so that a few mails with files do not keep urgent requests out.</remarks>
public sealed class BodyBudget(AcceptOptions options)
{
    private const long Large = 64 * 1024,
        Least = 16L * 1024 * 1024,
        Most = 256L * 1024 * 1024;
    private readonly long limit =
        options.MaxBytes > 0 ? options.MaxBytes : Math.Clamp(GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 32, Least, Most);
    private long held;

    /// <summary>The bytes that are reserved.</summary>
    public long Held => Interlocked.Read(ref held);

    /// <summary>Reserves bytes for a body; one alone has room, however large it is.</summary>
    /// <param name="bytes">The bytes to reserve now.</param>
    /// <param name="size">The bytes of the whole body, as far as they are known.</param>
    public bool TryReserve(long bytes, long size)
    {
        var most = size > Large ? limit - (limit / 4) : limit;
        var total = Interlocked.Add(ref held, bytes);
        if (total <= most || total == size)
            return true;
        Interlocked.Add(ref held, -bytes);
        return false;
    }

    /// <summary>Gives bytes back.</summary>
    public void Release(long bytes) => Interlocked.Add(ref held, -bytes);
}

/// <summary>The bytes that are reserved for one body, until its request is answered.</summary>
public sealed class BodyLease : IDisposable
{
    private const long Step = 16 * 1024;
    private readonly BodyBudget? budget;
    private long bytes;

    private BodyLease(BodyBudget? budget) => this.budget = budget;

    /// <summary>Reserves the bytes of a request's body, as far as its header states them.</summary>
    /// <returns><c>null</c>: there are none left.</returns>
    public static BodyLease? Of(HttpRequest request)
    {
        var lease = new BodyLease(request.HttpContext.RequestServices?.GetService<BodyBudget>());
        request.HttpContext.Response.RegisterForDispose(lease);
        return lease.Covers(request.ContentLength ?? Step) ? lease : null;
    }

    /// <summary>Reserves the difference to a number of bytes.</summary>
    /// <returns>Whether there were enough left.</returns>
    public bool Covers(long size)
    {
        if (budget is null || size <= bytes)
            return true;
        var missing = Math.Max(size - bytes, bytes == 0 ? size : Step);
        if (!budget.TryReserve(missing, bytes + missing))
            return false;
        bytes += missing;
        return true;
    }

    /// <inheritdoc />
    public void Dispose()
    {
        budget?.Release(bytes);
        bytes = 0;
    }
}
