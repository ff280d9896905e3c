namespace Notify.Domain.Planning;

using System.Globalization;
using NodaTime;
using NodaTime.TimeZones;
using Notify.Domain.Notifications;
using Notify.Domain.Recipients;

/// <summary>Decides whether a person may be disturbed now. Pure.</summary>
public static class QuietHoursDecider
{
    /// <summary>Returns the time until which a notification's deliveries are deferred.</summary>
    /// <param name="recipient"><c>null</c> for a person who is not registered, and so has no preferences.</param>
    /// <param name="rules">The rules of the category: a required one overrides quiet hours.</param>
    /// <param name="zone">The person's time zone; called only where it is needed.</param>
    /// <returns>
    /// The end of the quiet hours, or the notification's expiry where that is earlier, and the rule; <c>null</c>: not deferred.
    /// </returns>
    public static (DateTimeOffset Until, string Rule)? PutOff(
        NotificationRequested request,
        Recipient? recipient,
        ReachRules rules,
        Func<DateTimeZone> zone,
        DateTimeOffset now
    )
    {
        if (recipient is not { IsErased: false, QuietHours: { } quiet } || rules.Of(request).Required)
            return null;
        var where = zone();
        if (quiet.EndAfter(now, where) is not { } end)
            return null;
        var expires = request.ExpiresAt is { } expiresAt && expiresAt < end ? expiresAt : (DateTimeOffset?)null;
        return (
            expires ?? end,
            string.Create(
                CultureInfo.InvariantCulture,
                $"quiet hours {quiet} in {where.Id}, version {recipient.Version}{(expires is null ? "" : "; worth nothing before they end")}"
            )
        );
    }
}
