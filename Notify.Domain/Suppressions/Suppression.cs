namespace Notify.Domain.Suppressions;

using System.Globalization;
using Notify.Domain.Channels;
using Notify.Domain.Privacy;

/// <summary>An address that somebody learned must not be used.</summary>
/// <param name="Fingerprint">Keyed hash of the address.</param>
/// <param name="ExpiresAt">Until when; <c>null</c>: until it is lifted.</param>
/// <param name="Address">The address, encrypted; <c>null</c> when it is not known.</param>
public sealed record AddressToSuppress(
    Channel Channel,
    string Fingerprint,
    string Reason,
    string Source,
    string By,
    DateTimeOffset? ExpiresAt = null,
    Sealed? Address = null
)
{
    /// <summary>See <see cref="Suppression.IdOf"/>.</summary>
    public string Id => Suppression.IdOf(Channel, Fingerprint);
}

/// <summary>The suppression of an address, active or ended; one row of <c>notify.suppressions</c>, folded from its stream.</summary>
/// <param name="Since">When its present reason and expiry were learned.</param>
/// <param name="LiftedAt">When it was lifted; <c>null</c> while it is not.</param>
public sealed record Suppression(
    Channel Channel,
    string Fingerprint,
    string Reason,
    string Source,
    string By,
    DateTimeOffset Since,
    DateTimeOffset? ExpiresAt,
    Sealed? Address,
    DateTimeOffset? LiftedAt = null
)
{
    /// <summary>The time for which a soft reason applies.</summary>
    public static readonly TimeSpan SoftFor = TimeSpan.FromDays(30);

    /// <summary>The ID by which callers know it: <c>{channel}_{fingerprint}</c>.</summary>
    public string Id => IdOf(Channel, Fingerprint);

    /// <summary>The rule that leaves a delivery out, with what it rests upon.</summary>
    public string Rule =>
        string.Create(
            CultureInfo.InvariantCulture,
            $"suppression: {Reason}, says {Source}, since {Since.UtcDateTime:yyyy-MM-dd HH:mm:ss}Z"
        );

    /// <summary>The ID of an address's suppression; follows from the address.</summary>
    public static string IdOf(Channel channel, string fingerprint) => $"{Lanes.NameOf(channel)}_{fingerprint}";

    /// <summary>The stream key of an address's suppression; also the subject whose key encrypts an address that a client gave.</summary>
    public static string KeyOf(Channel channel, string fingerprint) => $"s/{Lanes.NameOf(channel)}:{fingerprint}";

    /// <summary>Whether the address must not be used at a time.</summary>
    public bool StandsAt(DateTimeOffset now) => LiftedAt is null && !(ExpiresAt <= now);

    /// <summary>
    /// Returns when a reason expires by itself: soft ones at the end of a day, so that many at once have the same expiry; <c>null</c>:
    /// never.
    /// </summary>
    public static DateTimeOffset? ExpiryOf(string reason, DateTimeOffset now) =>
        reason == SuppressionReasons.Blocked
            ? new DateTimeOffset(now.UtcDateTime.Date, TimeSpan.Zero) + SoftFor + TimeSpan.FromDays(1)
            : null;

    /// <summary>
    /// Decides whether a reported fact changes the suppression of an address. An active suppression changes only to a heavier reason or a
    /// later end. It never gets lighter or shorter, so the order of the reports does not matter.
    /// </summary>
    /// <returns>The event, or <c>null</c>.</returns>
    public static AddressSuppressed? Suppress(Suppression? current, AddressToSuppress wanted, DateTimeOffset now)
    {
        if (current is null || !current.StandsAt(now))
            return new(wanted.Channel, wanted.Fingerprint, wanted.Reason, wanted.Source, wanted.ExpiresAt, wanted.Address, wanted.By, now);
        var heavier = Weight(wanted.Reason) > Weight(current.Reason);
        var longer = current.ExpiresAt is { } end && (wanted.ExpiresAt is null || wanted.ExpiresAt > end);
        if (!heavier && !longer)
            return null;
        return new(
            wanted.Channel,
            wanted.Fingerprint,
            heavier ? wanted.Reason : current.Reason,
            heavier ? wanted.Source : current.Source,
            longer ? wanted.ExpiresAt : current.ExpiresAt,
            current.Address ?? wanted.Address,
            wanted.By,
            now
        );
    }

    /// <summary>Decides whether there is something to lift.</summary>
    /// <param name="only">The reasons for which alone it may be lifted; <c>null</c>: any.</param>
    /// <returns>The event, or <c>null</c>.</returns>
    public static SuppressionLifted? Lift(
        Suppression? current,
        string reason,
        string by,
        DateTimeOffset now,
        IReadOnlyCollection<string>? only = null
    ) =>
        current?.StandsAt(now) == true && (only?.Contains(current.Reason) ?? true)
            ? new(current.Channel, current.Fingerprint, reason, by, now)
            : null;

    /// <summary>Folds one event into a suppression.</summary>
    public static Suppression? Evolve(Suppression? state, object @event) =>
        @event switch
        {
            AddressSuppressed e => new(e.Channel, e.Fingerprint, e.Reason, e.Source, e.By, e.At, e.ExpiresAt, e.Address),
            SuppressionLifted e => state is null ? null : state with { LiftedAt = e.At, Address = null },
            _ => state,
        };

    private static int Weight(string reason)
    {
        for (var i = 0; i < SuppressionReasons.All.Count; i++)
        {
            if (SuppressionReasons.All[i] == reason)
                return SuppressionReasons.All.Count - i;
        }

        return 0;
    }
}
