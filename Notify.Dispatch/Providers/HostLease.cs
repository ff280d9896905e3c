namespace Notify.Dispatch.Providers;

/// <summary>
/// The time for which this host may send what it has claimed. Other hosts take its deliveries over no sooner than it ends.
/// </summary>
/// <remarks>
/// A heartbeat renews it from the moment before the heartbeat was sent: others count from when they see it, which is later.
/// Time is the clock's timestamps, which go on while the machine sleeps or the process is stopped. A lease that ended before
/// its renewal was answered begins a new term: claims of an earlier term may have been taken over, and stay refused.
/// </remarks>
/// <param name="hostTimeout">How long a host may be silent before its deliveries are taken over.</param>
public sealed class HostLease(TimeSpan hostTimeout, TimeProvider clock)
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(50);

    private readonly Lock gate = new();
    private long validFrom;
    private int term;

    /// <summary>The present term; 0 before the first heartbeat. It may have ended.</summary>
    public int Term
    {
        get
        {
            lock (gate)
                return term;
        }
    }

    /// <summary>Renews the lease, once a heartbeat has been answered.</summary>
    /// <param name="sentAt">The clock's timestamp before the heartbeat was sent.</param>
    public void Renew(long sentAt)
    {
        lock (gate)
        {
            if (term == 0 || clock.GetElapsedTime(validFrom) >= hostTimeout)
                term++;
            else if (sentAt <= validFrom)
                return;
            validFrom = sentAt;
        }
    }

    /// <summary>Whether deliveries that were claimed in a term may still be sent.</summary>
    /// <param name="claimedIn">The term.</param>
    /// <param name="margin">How long the lease must last from now on.</param>
    public bool Covers(int claimedIn, TimeSpan margin)
    {
        lock (gate)
            return term != 0 && claimedIn == term && clock.GetElapsedTime(validFrom) + margin < hostTimeout;
    }

    /// <summary>How long the lease must last when a request leaves: the request's time-out, and at most a third of the host's.</summary>
    /// <remarks>
    /// Heartbeats come five times in the host's time-out. A longer margin would refuse sends whenever one of them is late.
    /// </remarks>
    public TimeSpan Margin(TimeSpan requestTimeout) => requestTimeout < hostTimeout / 3 ? requestTimeout : hostTimeout / 3;

    /// <summary>Waits until the lease is valid. Deliveries claimed without one could not be sent.</summary>
    public async Task WaitAsync(CancellationToken cancellation)
    {
        while (!Covers(Term, Margin(TimeSpan.MaxValue)))
            await Task.Delay(Poll, clock, cancellation);
    }
}
