namespace Notify.Domain.Categories;

using Notify.Domain.Channels;

/// <summary>The period of a cap. The names are stored: permanently stable.</summary>
public enum CapPeriod : short
{
    /// <summary>From one full hour to the next, UTC.</summary>
    Hour = 0,

    /// <summary>From midnight to midnight, UTC.</summary>
    Day = 1,

    /// <summary>From Monday to Monday at midnight, UTC.</summary>
    Week = 2,
}

/// <summary>The treatment of deliveries over a cap. The names are stored: permanently stable.</summary>
public enum CapExceeding
{
    /// <summary>The delivery is deferred to the next window with a free slot, and takes it.</summary>
    Defer,

    /// <summary>The delivery is skipped.</summary>
    Suppress,
}

/// <summary>How many notifications of a category a person may get on a channel in one window; however many devices one goes to, it counts
/// once.</summary>
/// <param name="Limit">At least 1.</param>
/// <param name="Per">How long a window is.</param>
public sealed record Cap(Channel Channel, int Limit, CapPeriod Per, CapExceeding Exceeding);

/// <summary>The windows of caps: one after the other without gaps, the same for all people.</summary>
public static class CapWindows
{
    private const long DaySeconds = 86_400;
    private const long MondayShift = 3 * DaySeconds; // 1970-01-01 was a Thursday

    /// <summary>The number of the window that a time lies in.</summary>
    /// <param name="time">Not before 1970.</param>
    public static long Of(CapPeriod per, DateTimeOffset time) => (time.ToUnixTimeSeconds() + Shift(per)) / Seconds(per);

    /// <summary>When a window begins, which is when the one before it ends.</summary>
    public static DateTimeOffset StartOf(CapPeriod per, long window) =>
        DateTimeOffset.FromUnixTimeSeconds((window * Seconds(per)) - Shift(per));

    private static long Seconds(CapPeriod per) =>
        per switch
        {
            CapPeriod.Hour => 3600,
            CapPeriod.Day => DaySeconds,
            _ => 7 * DaySeconds,
        };

    private static long Shift(CapPeriod per) => per == CapPeriod.Week ? MondayShift : 0;
}
