namespace Notify.Api.Contract;

/// <summary>Values in query strings.</summary>
public static class QueryText
{
    public const string TimeRule = "must be a time in ISO 8601, such as 2026-12-01T09:00:00Z";

    /// <summary>A time with its offset; a plus that was not encoded arrives as a blank.</summary>
    public static DateTimeOffset? Time(string text) =>
        DateTimeOffset.TryParse(
            text.Replace(' ', '+'),
            System.Globalization.CultureInfo.InvariantCulture,
            System.Globalization.DateTimeStyles.AssumeUniversal,
            out var time
        )
            ? time.ToUniversalTime()
            : null;
}
