namespace Notify.Dispatch.Providers;

/// <summary>The outcome of one provider call, in terms that all providers share.</summary>
public abstract record AttemptOutcome
{
    private AttemptOutcome() { }

    /// <summary>The provider accepted it.</summary>
    /// <param name="MessageId">The provider's ID of it.</param>
    /// <param name="RefusedParts">Parts of an SMS that it refused while it took others; <c>null</c>: it took all.</param>
    public sealed record Accepted(string? MessageId, int? RefusedParts = null) : AttemptOutcome;

    /// <summary>A transient failure: the delivery is tried again.</summary>
    /// <param name="Code">The provider's own code.</param>
    /// <param name="After">The pause that the provider asked for; a lower bound.</param>
    /// <param name="IsCall">Whether a call was made; if not, the failure is no measure of the provider.</param>
    /// <param name="ConcernsAddress">Whether the failure concerns this address alone, and is no measure of the provider.</param>
    public sealed record Retry(string Reason, string? Code, TimeSpan? After = null, bool IsCall = true, bool ConcernsAddress = false)
        : AttemptOutcome;

    /// <summary>A permanent failure of this message or its address.</summary>
    /// <param name="Reason">One of <see cref="Domain.Notifications.Reasons"/>.</param>
    /// <param name="Verdict">The consequence for the address.</param>
    /// <param name="Since">The time since which the provider has known this; a device registered later is not affected.</param>
    public sealed record Rejected(string Reason, string? Code, AddressVerdict Verdict = AddressVerdict.None, DateTimeOffset? Since = null)
        : AttemptOutcome;

    /// <summary>
    /// The provider rejects our account, not the message: an operator must change the configuration. Deliveries wait, none is deleted.
    /// </summary>
    /// <param name="Code">The provider's own code.</param>
    /// <param name="IsAttempt">
    /// Whether it counts as one of the delivery's attempts, so that the waiting ends. Set where the rejection may concern this
    /// address alone, and then no change of the configuration would help.
    /// </param>
    public sealed record Halted(string Code, bool IsAttempt = false) : AttemptOutcome;

    /// <summary>The provider may or may not have accepted it.</summary>
    public sealed record Unknown(string Reason) : AttemptOutcome;

    /// <summary>
    /// No call was made: the host's lease, the notification's expiry or a change since the last check forbade it at the last
    /// moment.
    /// </summary>
    /// <remarks>
    /// It says nothing about the provider and is no attempt. The delivery goes back to its queue, if the claim is still this
    /// host's.
    /// </remarks>
    /// <param name="Reason">One of the constants.</param>
    public sealed record NotSent(string Reason) : AttemptOutcome
    {
        /// <summary>The host's lease had ended, or was about to: another host may have the delivery.</summary>
        public const string LeaseEnded = "lease ended";

        /// <summary>The notification had expired.</summary>
        public const string Expired = "expired";

        /// <summary>The last check was too old, and its basis has changed since or could not be read.</summary>
        public const string CheckOutdated = "check outdated";
    }

    /// <summary>The provider was asked and has no record of it.</summary>
    public sealed record NotFound : AttemptOutcome;
}

/// <summary>The consequence of a rejection for the address.</summary>
public enum AddressVerdict
{
    /// <summary>No consequence.</summary>
    None,

    /// <summary>The token is invalid and is removed.</summary>
    Dead,

    /// <summary>The address is suppressed and not used again.</summary>
    Suppress,
}
