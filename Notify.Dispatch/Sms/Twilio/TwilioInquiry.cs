using System.Globalization;
using System.Text.Json;

namespace Notify.Dispatch.Sms.Twilio;

/// <summary>Reads pages of <c>GET …/Messages.json?To=…</c> to find a message whose answer was lost. Pure.</summary>
/// <remarks>
/// Twilio: Messages resource, «Read multiple Message resources». An empty answer leads to a repeat. Therefore anything that
/// could be the message, and anything that cannot be read, makes the answer incomplete.
/// </remarks>
public static class TwilioInquiry
{
    /// <summary>
    /// How far Twilio's clock and ours may differ, and how much later than it was recorded a call may begin: rather wide than
    /// narrow, since a message that is overlooked is sent again, and other deliveries' messages with the same words are known
    /// as theirs.
    /// </summary>
    public static readonly TimeSpan ClockSkew = TimeSpan.FromMinutes(2);

    /// <summary>
    /// How far away a message of the same text is still the attempt's: the database's clock, by which attempts are recorded, may have
    /// been an hour wrong.
    /// </summary>
    public static readonly TimeSpan WrongClock = TimeSpan.FromMinutes(65);

    /// <summary>Finds the messages in a page that contain the text and were made while the attempt was under way.</summary>
    /// <param name="until">When the attempt's time-out ended it.</param>
    /// <returns>
    /// Their SIDs, the oldest first; whether another message may be it, too; and the page that follows. <c>null</c> for a
    /// malformed page.
    /// </returns>
    public static (IReadOnlyList<string> Sids, bool IsUnclear, string? Next)? Read(
        byte[] body, string text, DateTimeOffset attemptedAt, DateTimeOffset until)
    {
        try
        {
            using var json = JsonDocument.Parse(body);
            var root = json.RootElement;
            if (!root.TryGetProperty("messages", out var messages) || messages.ValueKind != JsonValueKind.Array) return null;
            var (found, isUnclear, isOlder) = (new List<(DateTimeOffset Made, string Sid)>(), false, messages.GetArrayLength() > 0);
            foreach (var m in messages.EnumerateArray())
            {
                var made = Time(m, "date_created");
                isOlder &= made < attemptedAt - WrongClock;
                if (IsOutside(made, WrongClock)) continue;
                var match = SentText.Compare(Text(m, "body"), text);
                if (match == TextMatch.Contains && made is { } at && Text(m, "sid") is { Length: > 0 } sid) found.Add((at, sid));
                else isUnclear |= match != TextMatch.Other && !IsOutside(made, ClockSkew);
            }

            var next = root.TryGetProperty("next_page_uri", out var uri) && uri.ValueKind != JsonValueKind.Null ? uri.GetString() : null;
            if (!isOlder && next is { Length: > 0 } && !next.StartsWith('/')) return null; // no page of this API's
            return ([.. found.OrderBy(f => f.Made).Select(f => f.Sid)], isUnclear, isOlder || next is { Length: 0 } ? null : next);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException) // the latter: another kind of value
        {
            return null;
        }

        bool IsOutside(DateTimeOffset? made, TimeSpan margin) => made < attemptedAt - margin || made > until + margin;
    }

    private static DateTimeOffset? Time(JsonElement message, string name) =>
        DateTimeOffset.TryParse(Text(message, name), CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var time)
            ? time : null;

    private static string? Text(JsonElement element, string name) =>
        element.TryGetProperty(name, out var value) && value.ValueKind != JsonValueKind.Null ? value.GetString() : null;
}
