namespace Notify.Dispatch.Dispatching;

using System.Collections.Concurrent;

/// <summary>The claims that this host is working on, and how many it has given up.</summary>
public sealed class ClaimsAtWork
{
    private readonly ConcurrentDictionary<Guid, byte> claims = new();
    private int givenUp;

    /// <summary>Those it is working on.</summary>
    public Guid[] Active => [.. claims.Keys];

    /// <summary>How many it gave up since it started; their deliveries may be in flight with nobody at work on them.</summary>
    public int GivenUp => Volatile.Read(ref givenUp);

    /// <summary>Work on a claim begins.</summary>
    public void Begin(Guid claim) => claims[claim] = 0;

    /// <summary>Works on a claim to its end. A claim that is reported as given up is no longer active.</summary>
    /// <param name="calls">Its calls; each returns whether its outcome was written.</param>
    public async Task FinishAsync(Guid claim, IEnumerable<Task<bool>> calls)
    {
        var isSettled = false;
        try
        {
            isSettled = (await Task.WhenAll(calls)).All(written => written);
        }
        finally
        {
            if (isSettled)
                claims.TryRemove(claim, out _);
            else
                GiveUp(claim);
        }
    }

    /// <summary>Nobody works on a claim any more, and something of it may be left.</summary>
    public void GiveUp(Guid claim)
    {
        claims.TryRemove(claim, out _);
        Interlocked.Increment(ref givenUp);
    }
}
