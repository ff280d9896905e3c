namespace Notify.Dispatch.Providers.Sms.Twilio;

using System.Globalization;
using System.Text.Json;

/// <summary>A page of messages to a number.</summary>
/// <param name="Sids">The messages with the text, the oldest first.</param>
/// <param name="Unclear">The messages that may have had it.</param>
/// <param name="IsComplete">Whether no message without a SID may be it.</param>
/// <param name="Next">The page that follows; <c>null</c>: none that is needed.</param>
public sealed record TwilioPage(IReadOnlyList<string> Sids, IReadOnlyList<string> Unclear, bool IsComplete, string? Next);

/// <summary>Reads pages of <c>GET …/Messages.json?To=…</c> to find a message whose answer was lost. Pure.</summary>
/// <remarks>
/// Twilio: Messages resource, «Read multiple Message resources». An empty answer leads to a repeat. Therefore anything that
/// could be the message, and anything that cannot be read, makes the answer incomplete.
/// </remarks>
public static class TwilioInquiry
{
    /// <summary>
    /// How far Twilio's clock and ours may differ, and how much later than it was recorded a call may begin: rather wide than
    /// narrow, since a message that is missed is sent again, and other deliveries' messages with the same text are recorded
    /// as theirs.
    /// </summary>
    public static readonly TimeSpan ClockSkew = TimeSpan.FromMinutes(2);

    /// <summary>
    /// How far away a message of the same text is still the attempt's: the database's clock, by which attempts are recorded, may have
    /// been an hour wrong.
    /// </summary>
    public static readonly TimeSpan WrongClock = TimeSpan.FromMinutes(65);

    // «Sent from your Twilio trial account - »
    private const string TrialMark = "Twilio";

    /// <summary>Finds the messages in a page that have the text and were made while the attempt was under way.</summary>
    /// <param name="until">When the attempt's time-out ended it.</param>
    /// <returns>The page; <c>null</c> for a malformed one.</returns>
    public static TwilioPage? Read(byte[] body, string text, DateTimeOffset attemptedAt, DateTimeOffset until)
    {
        try
        {
            using var json = ProviderJson.Parse(body);
            var root = json.RootElement;
            if (!root.TryGetProperty("messages", out var messages) || messages.ValueKind != JsonValueKind.Array)
                return null;
            var (found, unclear) = (new List<(DateTimeOffset Made, string Sid)>(), new List<string>());
            var (isComplete, isOlder) = (true, messages.GetArrayLength() > 0);
            foreach (var m in messages.EnumerateArray())
            {
                var made = Time(m, "date_created");
                isOlder &= made < attemptedAt - WrongClock;
                if (IsOutside(made, WrongClock))
                    continue;
                var (match, sid) = (SentText.Compare(Text(m, "body"), text, TrialMark), Text(m, "sid"));
                if (match == TextMatch.Other || (match != TextMatch.Same && IsOutside(made, ClockSkew)))
                    continue;
                if (string.IsNullOrEmpty(sid))
                    isComplete = false;
                else if (match == TextMatch.Same && made is { } at)
                    found.Add((at, sid));
                else
                    unclear.Add(sid);
            }

            var next = root.TryGetProperty("next_page_uri", out var uri) && uri.ValueKind != JsonValueKind.Null ? uri.GetString() : null;
            if (!isOlder && next is { Length: > 0 } && !next.StartsWith('/'))
                return null; // no page of this API's
            return new TwilioPage(
                [.. found.OrderBy(f => f.Made).Select(f => f.Sid)],
                unclear,
                isComplete,
                isOlder || next is { Length: 0 } ? null : next
            );
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException) // the latter: another kind of value
        {
            return null;
        }

        bool IsOutside(DateTimeOffset? made, TimeSpan margin) => made < attemptedAt - margin || made > until + margin;
    }

    private static DateTimeOffset? Time(JsonElement message, string name) =>
        DateTimeOffset.TryParse(Text(message, name), CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var time)
            ? time
            : null;

    private static string? Text(JsonElement element, string name) =>
        element.TryGetProperty(name, out var value) && value.ValueKind != JsonValueKind.Null ? value.GetString() : null;
}
