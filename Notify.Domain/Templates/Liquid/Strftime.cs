namespace Notify.Domain.Templates.Liquid;

using System.Globalization;
using System.Text;

/// <summary>Writes times as Ruby's <c>strftime</c> does, which Liquid's <c>date</c> is; names are English.</summary>
/// <remarks>Ruby: Formats for Dates and Times (strftime_formatting.rdoc).</remarks>
internal static class Strftime
{
    private static readonly DateTimeFormatInfo Names = CultureInfo.InvariantCulture.DateTimeFormat;

    private readonly record struct Flags(char? Padding, bool IsUnpadded, bool IsUpper, bool IsSwapped, int Colons, int Width);

    /// <summary>A time in a format.</summary>
    public static string Format(DateTimeOffset time, string format)
    {
        var result = new StringBuilder(format.Length * 2);
        for (var i = 0; i < format.Length; i++)
        {
            if (format[i] != '%')
            {
                result.Append(format[i]);
                continue;
            }

            var start = i++;
            var flags = ReadFlags(format, ref i);
            if (i < format.Length && Value(time, format[i], flags) is { } written)
                result.Append(written);
            else
                result.Append(format, start, Math.Min(i + 1, format.Length) - start); // not known: as it is
        }

        return result.ToString();
    }

    private static Flags ReadFlags(string format, ref int i)
    {
        var flags = new Flags();
        for (; i < format.Length; i++)
        {
            switch (format[i])
            {
                case '-':
                    flags = flags with { IsUnpadded = true };
                    continue;
                case '_':
                    flags = flags with { Padding = ' ' };
                    continue;
                case '0' when flags.Width == 0:
                    flags = flags with { Padding = '0' };
                    continue;
                case '^':
                    flags = flags with { IsUpper = true };
                    continue;
                case '#':
                    flags = flags with { IsSwapped = true };
                    continue;
                case ':':
                    flags = flags with { Colons = flags.Colons + 1 };
                    continue;
                case >= '0' and <= '9' and var digit:
                    flags = flags with { Width = Math.Min(99, (flags.Width * 10) + digit - '0') };
                    continue;
                case 'E' or 'O':
                    continue;
            }

            break;
        }

        return flags;
    }

    private static string? Value(DateTimeOffset time, char directive, Flags flags) =>
        directive switch
        {
            'Y' => Number(time.Year, 4, flags),
            'C' => Number(time.Year / 100, 2, flags),
            'y' => Number(time.Year % 100, 2, flags),
            'm' => Number(time.Month, 2, flags),
            'd' => Number(time.Day, 2, flags),
            'e' => Number(time.Day, 2, flags, ' '),
            'j' => Number(time.DayOfYear, 3, flags),
            'H' => Number(time.Hour, 2, flags),
            'k' => Number(time.Hour, 2, flags, ' '),
            'I' => Number(Twelve(time), 2, flags),
            'l' => Number(Twelve(time), 2, flags, ' '),
            'M' => Number(time.Minute, 2, flags),
            'S' => Number(time.Second, 2, flags),
            'L' => Fraction(time, flags.Width == 0 ? 3 : flags.Width),
            'N' => Fraction(time, flags.Width == 0 ? 9 : flags.Width),
            's' => Number(time.ToUnixTimeSeconds(), 1, flags),
            'u' => Number(time.DayOfWeek == DayOfWeek.Sunday ? 7 : (int)time.DayOfWeek, 1, flags),
            'w' => Number((int)time.DayOfWeek, 1, flags),
            'G' => Number(ISOWeek.GetYear(time.DateTime), 4, flags),
            'g' => Number(ISOWeek.GetYear(time.DateTime) % 100, 2, flags),
            'V' => Number(ISOWeek.GetWeekOfYear(time.DateTime), 2, flags),
            'U' => Number((time.DayOfYear + 6 - (int)time.DayOfWeek) / 7, 2, flags),
            'W' => Number((time.DayOfYear + 6 - (((int)time.DayOfWeek + 6) % 7)) / 7, 2, flags),
            'A' => Text(Names.GetDayName(time.DayOfWeek), flags),
            'a' => Text(Names.GetAbbreviatedDayName(time.DayOfWeek), flags),
            'B' => Text(Names.GetMonthName(time.Month), flags),
            'b' or 'h' => Text(Names.GetAbbreviatedMonthName(time.Month), flags),
            'p' => Text(flags.IsSwapped ? Half(time).ToLowerInvariant() : Half(time), flags with { IsSwapped = false }),
            'P' => Text(Half(time).ToLowerInvariant(), flags),
            'z' => Offset(time.Offset, flags),
            'Z' => time.Offset != TimeSpan.Zero ? "" : Text(flags.IsSwapped ? "utc" : "UTC", flags with { IsSwapped = false }),
            '%' => Text("%", flags),
            'n' => Text("\n", flags),
            't' => Text("\t", flags),
            _ => Combined(directive) is { } format ? Text(Format(time, format), flags with { IsSwapped = false }) : null,
        };

    private static string? Combined(char directive) =>
        directive switch
        {
            'c' => "%a %b %e %H:%M:%S %Y",
            'D' or 'x' => "%m/%d/%y",
            'F' => "%Y-%m-%d",
            'v' => "%e-%^b-%Y",
            'T' or 'X' => "%H:%M:%S",
            'r' => "%I:%M:%S %p",
            'R' => "%H:%M",
            '+' => "%a %b %e %H:%M:%S %Z %Y",
            _ => null,
        };

    private static int Twelve(DateTimeOffset time) => (time.Hour + 11) % 12 + 1;

    private static string Half(DateTimeOffset time) => time.Hour < 12 ? "AM" : "PM";

    private static string Number(long number, int width, Flags flags, char padding = '0')
    {
        var text = number.ToString(CultureInfo.InvariantCulture);
        if (flags.IsUnpadded)
            return text;
        var (full, filler) = (flags.Width == 0 ? width : flags.Width, flags.Padding ?? padding);
        return number < 0 && filler == '0' ? $"-{text[1..].PadLeft(full - 1, filler)}" : text.PadLeft(full, filler);
    }

    private static string Text(string text, Flags flags)
    {
        if (flags.IsUpper || flags.IsSwapped)
            text = text.ToUpperInvariant();
        return flags.IsUnpadded ? text : text.PadLeft(flags.Width, flags.Padding ?? ' ');
    }

    // Digits of the second, cut off and not rounded.
    private static string Fraction(DateTimeOffset time, int digits)
    {
        var text = (time.Ticks % TimeSpan.TicksPerSecond).ToString("D7", CultureInfo.InvariantCulture);
        return text.Length >= digits ? text[..digits] : text.PadRight(digits, '0');
    }

    // The hours take what is left of the width.
    private static string Offset(TimeSpan offset, Flags flags)
    {
        var (sign, size) = (offset < TimeSpan.Zero ? '-' : '+', offset.Duration());
        var rest = flags.Colons switch
        {
            0 => $"{size:mm}",
            1 => $":{size:mm}",
            _ => $":{size:mm}:{size:ss}",
        };
        var (hours, width) = (size.Hours.ToString(CultureInfo.InvariantCulture), Math.Max(3, flags.Width - rest.Length));
        return (flags.Padding == ' ' ? $"{sign}{hours}".PadLeft(width) : $"{sign}{hours.PadLeft(width - 1, '0')}") + rest;
    }
}
