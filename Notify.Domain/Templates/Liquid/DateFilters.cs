namespace Notify.Domain.Templates.Liquid;

using System.Globalization;
using System.Text.RegularExpressions;
using Fluid;
using Fluid.Values;
using NodaTime;
using Notify.Domain.Recipients;

/// <summary>The filters for dates. Time zones are those of the database that comes with this program, as for quiet hours.</summary>
/// <remarks>Shopify: Liquid reference, date. <c>time_zone</c> is not of Liquid's own.</remarks>
internal static partial class DateFilters
{
    // A text of fewer digits is no time that a message shows in a zone.
    private const int MinDigits = 9;

    /// <summary>The filters.</summary>
    public static IEnumerable<Filter> All =>
        [
            new(
                "date",
                (input, given, context) =>
                    given.At(0).ToStringValue() is { Length: > 0 } format && Read(input, context) is { } date
                        ? TextFilters.Text(Strftime.Format(date, format))
                        : input
            ),
            new(
                "time_zone",
                (input, given, context) =>
                    Read(input, context, MinDigits) is not { } date ? NilValue.Instance
                    : TimeZoneNames.Find(given.At(0).ToStringValue()) is { } zone
                        ? new DateTimeValue(Instant.FromDateTimeOffset(date).InZone(zone).ToDateTimeOffset())
                    : throw new RenderStopped("names a time zone that is not one of IANA's, such as Europe/Berlin")
            ),
        ];

    private static DateTimeOffset? Read(FluidValue value, RenderContext context, int minDigits = 1)
    {
        if (value is NumberValue && value.ToNumberValue() is var number)
            return number.Scale == 0 ? Unix(number) : null;
        if (value is DateTimeValue)
            return (DateTimeOffset)value.ToObjectValue();
        if (value is not StringValue || value.ToStringValue() is not { Length: > 0 } text)
            return null;
        if (text.Length >= minDigits && text.All(char.IsAsciiDigit))
            return text.Length <= 18 ? Unix(decimal.Parse(text, CultureInfo.InvariantCulture)) : null;
        return text.ToUpperInvariant() is "NOW" or "TODAY" ? context.Now() : ReadText(text, context);
    }

    // Missing parts are those of the template's own now, not of this machine's clock.
    private static DateTimeOffset? ReadText(string text, RenderContext context)
    {
        const DateTimeStyles Utc = DateTimeStyles.AssumeUniversal | DateTimeStyles.AllowWhiteSpaces;
        var now = context.Now().ToUniversalTime();
        if (
            DateTimeOffset.TryParseExact(
                string.Create(CultureInfo.InvariantCulture, $"{text.Trim()} {now:yyyy}"),
                DaysWithYear,
                CultureInfo.InvariantCulture,
                Utc,
                out var day
            )
        )
            return day;
        var clock = text is ['T' or 't', >= '0' and <= '9', ..] ? text[1..] : text;
        var onThisDay = string.Create(CultureInfo.InvariantCulture, $"{now:yyyy-MM-dd} {clock}");
        if (
            DateTime.TryParse(
                clock,
                CultureInfo.InvariantCulture,
                DateTimeStyles.NoCurrentDateDefault | DateTimeStyles.RoundtripKind,
                out var time
            )
            && time.Date == DateTime.MinValue.Date
            && DateTimeOffset.TryParse(onThisDay, CultureInfo.InvariantCulture, Utc, out var today)
        )
            return today;
        if (!Year().IsMatch(text))
            return null;
        // As in Ruby the day comes first in front of a year of four digits.
        return new StringValue(DayFirst().Replace(text, "$3-$2-$1")).TryGetDateTimeInput(context, out var date) ? date : null;
    }

    private static readonly string[] DaysWithYear = ["d MMM yyyy", "d MMMM yyyy", "MMM d yyyy", "MMMM d yyyy"];

    [GeneratedRegex("[0-9]{4}")]
    private static partial Regex Year();

    [GeneratedRegex("^([0-9]{1,2})[-/.]([0-9]{1,2})[-/.]([0-9]{4})(?![0-9])")]
    private static partial Regex DayFirst();

    private static DateTimeOffset? Unix(decimal seconds) =>
        seconds >= DateTimeOffset.MinValue.ToUnixTimeSeconds() && seconds <= DateTimeOffset.MaxValue.ToUnixTimeSeconds()
            ? DateTimeOffset.FromUnixTimeSeconds((long)seconds)
            : null;
}
