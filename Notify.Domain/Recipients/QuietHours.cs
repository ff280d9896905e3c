namespace Notify.Domain.Recipients;

using System.Globalization;
using NodaTime;
using NodaTime.TimeZones;

/// <summary>
/// The part of each day in which a person is not to be disturbed, in local time. <paramref name="To"/> before <paramref name="From"/>:
/// it spans midnight.
/// </summary>
/// <param name="From">From this time on.</param>
/// <param name="To">Until just before this time; never the same as <paramref name="From"/>.</param>
public sealed record QuietHours(TimeOnly From, TimeOnly To)
{
    // A clock that is put forward over a time shows it as passed. A clock that is put back shows a time twice: quiet hours begin at
    // the first occurrence and end at the second.
    private static readonly ZoneLocalMappingResolver Begins = Resolvers.CreateMappingResolver(
        Resolvers.ReturnEarlier,
        Resolvers.ReturnStartOfIntervalAfter
    );
    private static readonly ZoneLocalMappingResolver Ends = Resolvers.CreateMappingResolver(
        Resolvers.ReturnLater,
        Resolvers.ReturnStartOfIntervalAfter
    );

    /// <summary>When the quiet hours are over in which a moment lies; <c>null</c>: it lies in none.</summary>
    public DateTimeOffset? EndAfter(DateTimeOffset moment, DateTimeZone zone)
    {
        var now = Instant.FromDateTimeOffset(moment);
        Instant? end = null;
        // Where a clock is put back, one night's end may lie in the next night's beginning.
        while (NightOf(end ?? now, zone) is { } next)
            end = next;
        return end?.ToDateTimeOffset();
    }

    private Instant? NightOf(Instant now, DateTimeZone zone)
    {
        var today = now.InZone(zone).Date;
        // Not only yesterday's and today's: zones have skipped whole days, and had others twice.
        for (var day = today.PlusDays(-2); day <= today.PlusDays(1); day = day.PlusDays(1))
        {
            var from = zone.ResolveLocal(day + LocalTime.FromTimeOnly(From), Begins).ToInstant();
            var to = zone.ResolveLocal((To > From ? day : day.PlusDays(1)) + LocalTime.FromTimeOnly(To), Ends).ToInstant();
            if (from <= now && now < to)
                return to;
        }

        return null;
    }

    /// <summary>As people write them: <c>22:00 to 08:00</c>.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{From:HH\\:mm} to {To:HH\\:mm}");
}
