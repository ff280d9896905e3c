using Fluid;
using Fluid.Values;
using NodaTime;

namespace Notify.Domain.Templates.Liquid;

/// <summary>The filters for dates. Time zones are those of the database that comes with this program, as for quiet hours.</summary>
/// <remarks>Shopify: Liquid reference, date. <c>time_zone</c> is not of Liquid's own.</remarks>
internal static class DateFilters
{
    // A text of fewer digits is no time that a message shows in a zone.
    private const int MinDigits = 9;

    /// <summary>The filters.</summary>
    public static IEnumerable<Filter> All =>
    [
        new("date", (input, given, context) => given.At(0).ToStringValue() is { Length: > 0 } format && Read(input, context) is { } date
            ? TextFilters.Text(Strftime.Format(date, format)) : input),
        new("time_zone", (input, given, context) => Read(input, context, MinDigits) is not { } date ? NilValue.Instance
            : DateTimeZoneProviders.Tzdb.GetZoneOrNull(given.At(0).ToStringValue()) is { } zone
                ? new DateTimeValue(Instant.FromDateTimeOffset(date).InZone(zone).ToDateTimeOffset())
            : throw new RenderStopped("names a time zone that is not one of IANA's, such as Europe/Berlin")),
    ];

    private static DateTimeOffset? Read(FluidValue value, RenderContext context, int minDigits = 1)
    {
        if (value is NumberValue && value.ToNumberValue() is var number) return number.Scale == 0 ? Unix(number) : null;
        if (value is DateTimeValue) return (DateTimeOffset)value.ToObjectValue();
        if (value is not StringValue || value.ToStringValue() is not { Length: > 0 } text) return null;
        if (text.Length >= minDigits && text.All(char.IsAsciiDigit)) return text.Length <= 18
            ? Unix(decimal.Parse(text, System.Globalization.CultureInfo.InvariantCulture)) : null;
        return new StringValue(text.ToUpperInvariant() is "NOW" or "TODAY" ? "now" : text).TryGetDateTimeInput(context, out var date)
            ? date : null;
    }

    private static DateTimeOffset? Unix(decimal seconds) =>
        seconds >= DateTimeOffset.MinValue.ToUnixTimeSeconds() && seconds <= DateTimeOffset.MaxValue.ToUnixTimeSeconds()
            ? DateTimeOffset.FromUnixTimeSeconds((long)seconds) : null;
}
