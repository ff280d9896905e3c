namespace Notify.Delivery.Planning;

using Microsoft.Extensions.Configuration;
using NodaTime;
using Notify.Delivery.Privacy;
using Notify.Domain.Recipients;

/// <summary>In which time zone a person lives, by the database that comes with this program.</summary>
/// <param name="Default">That of people who gave none.</param>
/// <remarks>Setting: <c>Notify:DefaultTimeZone</c> (an IANA name; UTC).</remarks>
public sealed record TimeZones(DateTimeZone Default)
{
    /// <summary>Reads the default from configuration; a fault is added to <paramref name="faults"/>.</summary>
    public static TimeZones Read(IConfiguration configuration, ICollection<string> faults)
    {
        if (configuration["Notify:DefaultTimeZone"] is not { Length: > 0 } name)
            return new TimeZones(DateTimeZone.Utc);
        if (TimeZoneNames.Find(name) is { } zone)
            return new TimeZones(zone);
        faults.Add($"Notify:DefaultTimeZone is \"{name}\"; give an IANA time zone such as Europe/Berlin");
        return new TimeZones(DateTimeZone.Utc);
    }

    /// <summary>The zone of a name; the default, where there is none of that name.</summary>
    public DateTimeZone Of(string? name) => (name is null ? null : TimeZoneNames.Find(name)) ?? Default;

    /// <summary>A recipient's zone.</summary>
    /// <param name="keys">Those of their details.</param>
    public DateTimeZone Of(Recipient? recipient, KeySet keys) => Of(keys.DetailsOf(recipient)?.TimeZone);
}
