namespace Notify.Api.Contract;

using System.Buffers.Text;
using System.Globalization;
using System.Text;

/// <summary>Where the next page of a list begins: after this time and ID. Callers take it as it is.</summary>
public static class PageCursor
{
    public const string Rule = "must be the next of an earlier answer";

    /// <summary>A cursor as callers see it.</summary>
    public static string Of(DateTimeOffset at, string id) =>
        Base64Url.EncodeToString(Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{at.UtcTicks} {id}")));

    /// <summary>Reads a cursor; <c>null</c> if it is none.</summary>
    public static (DateTimeOffset At, string Id)? Read(string text)
    {
        if (!Base64Url.IsValid(text))
            return null;
        var parts = Encoding.UTF8.GetString(Base64Url.DecodeFromChars(text)).Split(' ', 2);
        return
            parts.Length == 2
            && !parts[1].Contains('\0', StringComparison.Ordinal)
            && long.TryParse(parts[0], out var ticks)
            && ticks > 0
            && ticks < DateTimeOffset.MaxValue.UtcTicks
            ? (new DateTimeOffset(ticks, TimeSpan.Zero), parts[1])
            : null;
    }
}
