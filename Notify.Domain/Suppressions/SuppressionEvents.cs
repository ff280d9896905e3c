namespace Notify.Domain.Suppressions;

using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;

// Everything that can happen to an address that must not be used, in the stream s/{channel}:{fingerprint}.

/// <summary>A number or address must not be used any more for any person; or the reason is heavier, or the end is later.</summary>
/// <param name="Fingerprint">Keyed hash of the address, by which it is found again.</param>
/// <param name="Reason">One of <see cref="SuppressionReasons"/>.</param>
/// <param name="Source">The source of the suppression: a provider's name, or <c>api</c>.</param>
/// <param name="ExpiresAt">From then on it may be used again; <c>null</c>: until it is lifted.</param>
/// <param name="Address">The address, encrypted; <c>null</c> when it was not known.</param>
public sealed record AddressSuppressed(
    Channel Channel,
    string Fingerprint,
    string Reason,
    string Source,
    DateTimeOffset? ExpiresAt,
    Sealed? Address,
    string By,
    DateTimeOffset At
);

/// <summary>The number or address may be used again.</summary>
/// <param name="Reason">One of <see cref="LiftReasons"/>.</param>
public sealed record SuppressionLifted(Channel Channel, string Fingerprint, string Reason, string By, DateTimeOffset At);

/// <summary>Why an address must not be used. A delivery that failed for the same reason has the same name for it.</summary>
public static class SuppressionReasons
{
    /// <summary>The person opted out at the provider: STOP, or an unsubscription there. The law; nothing overrides it.</summary>
    public const string OptedOutAtProvider = Reasons.OptedOutAtProvider;

    /// <summary>The person replied STOP. As heavy; START lifts both.</summary>
    public const string OptedOutByReply = Reasons.OptedOutByReply;

    /// <summary>The person called a message unwanted.</summary>
    public const string Complained = Reasons.Complained;

    /// <summary>The mailbox does not exist, or takes no mail.</summary>
    public const string HardBounced = Reasons.HardBounced;

    /// <summary>The provider calls the number or address wrong.</summary>
    public const string BadAddress = Reasons.BadAddress;

    /// <summary>A client asked for it.</summary>
    public const string ByRequest = "ByRequest";

    /// <summary>The receiving side blocks us for now, or the mailbox stays full: it may be tried again after
    /// <see cref="Suppression.SoftFor"/>.</summary>
    public const string Blocked = "Blocked";

    /// <summary>Those that the person takes back by replying START.</summary>
    public static readonly IReadOnlyList<string> LiftedByReply = [OptedOutAtProvider, OptedOutByReply];

    /// <summary>All of them, the heaviest first.</summary>
    public static readonly IReadOnlyList<string> All =
    [
        OptedOutAtProvider,
        OptedOutByReply,
        Complained,
        HardBounced,
        BadAddress,
        ByRequest,
        Blocked,
    ];
}

/// <summary>Why an address may be used again.</summary>
public static class LiftReasons
{
    /// <summary>A client asked for it.</summary>
    public const string ByRequest = "ByRequest";

    /// <summary>The person replied START.</summary>
    public const string OptedInAtProvider = "OptedInAtProvider";
}
