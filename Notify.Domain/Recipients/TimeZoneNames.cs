namespace Notify.Domain.Recipients;

using System.Collections.Frozen;
using NodaTime;

/// <summary>Time zones by IANA's names, of the database that comes with this program: the machine's own may be old, or absent.</summary>
/// <remarks>NodaTime's provider also makes zones of names that are none of IANA's, such as <c>UTC+09:00</c>.</remarks>
public static class TimeZoneNames
{
    private static readonly FrozenSet<string> Names = DateTimeZoneProviders.Tzdb.Ids.ToFrozenSet(StringComparer.Ordinal);

    /// <summary>The zone; <c>null</c> for a name that is none of IANA's.</summary>
    public static DateTimeZone? Find(string name) => Names.Contains(name) ? DateTimeZoneProviders.Tzdb[name] : null;
}
