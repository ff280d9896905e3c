namespace Notify.Dispatch.Providers;

/// <summary>A request that was not made: its permit was refused before anything of it had left.</summary>
/// <param name="reason">One of <see cref="AttemptOutcome.NotSent"/>'s.</param>
public sealed class CallNotMadeException(string reason) : Exception($"The request was not made: {reason}.")
{
    /// <summary>The reason; one of <see cref="AttemptOutcome.NotSent"/>'s.</summary>
    public string Reason { get; } = reason;
}

/// <summary>
/// The right to send the deliveries of one call. It is checked where each of the call's requests leaves: the host's lease, the
/// expiry, and whether the last check before the call is still fresh or what it saw is unchanged.
/// </summary>
/// <remarks>All times are the clock's timestamps, so that a pause of the process or the machine counts.</remarks>
public sealed class SendPermit
{
    /// <summary>The time for which the last check is valid without another query.</summary>
    public static readonly TimeSpan Fresh = TimeSpan.FromSeconds(1);

    private static readonly AsyncLocal<SendPermit?> Holder = new();

    private readonly HostLease lease;
    private readonly int term;
    private readonly TimeProvider clock;
    private readonly long checkedAt;
    private readonly TimeSpan? lifetime;
    private readonly Func<CancellationToken, Task<bool>> isUnchanged;
    private long freshFrom;

    /// <summary>Makes a permit that <see cref="Current"/> does not hold yet.</summary>
    /// <param name="term">The lease's term in which the deliveries were claimed.</param>
    /// <param name="checkedAt">The clock's timestamp before the last check.</param>
    /// <param name="lifetime">From then on, how long until the first of the deliveries expires; <c>null</c>: none does.</param>
    /// <param name="isUnchanged">Looks whether the last check would come out the same and the claim is still this host's.</param>
    public SendPermit(
        HostLease lease,
        int term,
        TimeProvider clock,
        long checkedAt,
        TimeSpan? lifetime,
        Func<CancellationToken, Task<bool>> isUnchanged
    )
    {
        (this.lease, this.term, this.clock, this.lifetime, this.isUnchanged) = (lease, term, clock, lifetime, isUnchanged);
        this.checkedAt = freshFrom = checkedAt;
    }

    /// <summary>
    /// The permit of the call that is being made in this flow of control; <c>null</c> where nothing of a delivery is sent, as
    /// in an inquiry.
    /// </summary>
    public static SendPermit? Current => Holder.Value;

    /// <summary>Whether it was checked at all. A provider that accepts a call without that was called past the permit.</summary>
    public bool WasChecked { get; private set; }

    /// <summary>Makes it the current one, until the caller's flow of control ends.</summary>
    public void Enter() => Holder.Value = this;

    /// <summary>Checks everything; to be called at the last moment before the request leaves.</summary>
    /// <param name="requestTimeout">How long the request may take.</param>
    /// <exception cref="CallNotMadeException">The request must not leave.</exception>
    public async ValueTask CheckAsync(TimeSpan requestTimeout, CancellationToken cancellation)
    {
        WasChecked = true;
        CheckLease(lease.Margin(requestTimeout));
        var now = clock.GetTimestamp();
        if (clock.GetElapsedTime(Interlocked.Read(ref freshFrom), now) <= Fresh)
            return;
        if (!await IsUnchangedAsync(cancellation))
            throw new CallNotMadeException(AttemptOutcome.NotSent.CheckOutdated);
        Interlocked.Exchange(ref freshFrom, now);
        CheckLease(lease.Margin(requestTimeout)); // the look took its time
    }

    /// <summary>Checks the lease and the expiry alone, between the parts of a request that takes long to leave.</summary>
    /// <exception cref="CallNotMadeException">The rest must not leave.</exception>
    public void CheckLease(TimeSpan margin = default)
    {
        if (!lease.Covers(term, margin))
            throw new CallNotMadeException(AttemptOutcome.NotSent.LeaseEnded);
        if (lifetime <= clock.GetElapsedTime(checkedAt))
            throw new CallNotMadeException(AttemptOutcome.NotSent.Expired);
    }

    // A database that cannot be asked does not say that nothing has changed.
    private async Task<bool> IsUnchangedAsync(CancellationToken cancellation)
    {
        try
        {
            return await isUnchanged(cancellation);
        }
#pragma warning disable CA1031 // Whatever keeps the database from being asked: nothing has left, and the delivery goes back to its queue.
        catch (Exception)
#pragma warning restore CA1031
        {
            return false;
        }
    }
}
