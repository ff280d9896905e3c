using System.Globalization;
using System.Net;
using System.Text.Json;
using Notify.Dispatch.Dispatching;
using Notify.Domain.Notifications;

namespace Notify.Dispatch.Sms.Twilio;

/// <summary>What Twilio's answers mean.</summary>
/// <remarks>Twilio: Messages resource; Error and warning dictionary.</remarks>
public static class TwilioStatus
{
    /// <summary>The outcome of an answer to <c>POST …/Messages.json</c>.</summary>
    /// <param name="code">The body's <c>code</c>.</param>
    /// <param name="sid">The body's <c>sid</c>.</param>
    public static AttemptOutcome Outcome(HttpStatusCode status, int? code, string? sid, TimeSpan? retryAfter)
    {
        var word = (code ?? (int)status).ToString(CultureInfo.InvariantCulture);
        return ((int)status, code) switch
        {
            ( >= 200 and < 300, _) => new AttemptOutcome.Accepted(sid),
            (429, _) => new AttemptOutcome.Retry(Reasons.Retry, word, retryAfter),
            // Twilio, «Twilio's Response»: errors come as an exception document of status, message, code and more_info; «500 Server
            // Error: we couldn't return the representation due to an internal server error». Without a code it is not Twilio's.
            ( >= 500, _) => GatewayAnswers.Of((int)status, code is not null, word, retryAfter),
            (400, 21610) => new AttemptOutcome.Rejected(Reasons.OptedOutAtProvider, word, AddressVerdict.Suppress),
            (400, 21211 or 21614) => new AttemptOutcome.Rejected(Reasons.BadAddress, word),
            // Sender or account, not the message: wrong From, wrong credentials, unknown or suspended account.
            (400, 21212 or 21603 or 21606 or 21659 or 21660) => new AttemptOutcome.Halted(word),
            (401 or 403 or 404, _) => new AttemptOutcome.Halted(word),
            ( >= 400, _) => new AttemptOutcome.Rejected(Reasons.Rejected, word),
            _ => new AttemptOutcome.Retry(Reasons.Retry, word),
        };
    }

    /// <summary>Reads <c>code</c> and <c>sid</c>; a malformed body says nothing.</summary>
    public static (int? Code, string? Sid) Read(byte[] body)
    {
        try
        {
            using var json = JsonDocument.Parse(body);
            var root = json.RootElement;
            if (root.ValueKind != JsonValueKind.Object) return default;
            int? code = root.TryGetProperty("code", out var c) && c.ValueKind == JsonValueKind.Number && c.TryGetInt32(out var number) ? number : null;
            return (code, root.TryGetProperty("sid", out var s) && s.ValueKind == JsonValueKind.String ? s.GetString() : null);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException) // the latter: half a surrogate pair
        {
            return default;
        }
    }

    /// <summary>
    /// How far Twilio's clock and ours may differ, and how much later than it was recorded a call may begin: rather wide than
    /// narrow, since what is overlooked is sent again, and other deliveries' messages with the same words are known as theirs.
    /// </summary>
    public static readonly TimeSpan ClockSkew = TimeSpan.FromMinutes(2);

    /// <summary>Finds messages in a page of <c>GET …/Messages.json</c>: same text, made while the attempt was under way.</summary>
    /// <param name="until">When the attempt's time-out ended it.</param>
    /// <returns>Their SIDs, the oldest first; <c>null</c> for a malformed page.</returns>
    public static IReadOnlyList<string>? Find(byte[] body, string text, DateTimeOffset attemptedAt, DateTimeOffset until)
    {
        try
        {
            using var json = JsonDocument.Parse(body);
            if (!json.RootElement.TryGetProperty("messages", out var messages) || messages.ValueKind != JsonValueKind.Array) return null;
            var found = new List<(DateTimeOffset Made, string Sid)>();
            foreach (var m in messages.EnumerateArray())
            {
                if (m.TryGetProperty("body", out var b) && b.GetString() == text
                    && m.TryGetProperty("date_created", out var d) && DateTimeOffset.TryParse(d.GetString(), CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var made)
                    && made >= attemptedAt - ClockSkew && made <= until + ClockSkew
                    && m.TryGetProperty("sid", out var sid) && sid.GetString() is { } id)
                    found.Add((made, id));
            }

            return [.. found.OrderBy(f => f.Made).Select(f => f.Sid)];
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return null;
        }
    }

    /// <summary>Where a page that could be read goes on; <c>null</c> when it is the last, or all that follows is older than the attempt.</summary>
    public static string? NextPage(byte[] body, DateTimeOffset attemptedAt)
    {
        using var json = JsonDocument.Parse(body);
        var root = json.RootElement;
        if (!root.TryGetProperty("next_page_uri", out var uri) || uri.ValueKind != JsonValueKind.String || uri.GetString() is not { } next || !next.StartsWith('/')) return null;
        var messages = root.GetProperty("messages");
        return messages.GetArrayLength() > 0 && messages[messages.GetArrayLength() - 1].TryGetProperty("date_created", out var d) && d.ValueKind == JsonValueKind.String
            && DateTimeOffset.TryParse(d.GetString(), CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var oldest) && oldest < attemptedAt - ClockSkew
            ? null : next;
    }
}
