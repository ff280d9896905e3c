using System.Globalization;
using System.Net;
using System.Text.Json;
using Notify.Dispatch.Dispatching;
using Notify.Domain.Notifications;

namespace Notify.Dispatch.Sms.Vonage;

/// <summary>One part of a message, as Vonage answered for it.</summary>
public readonly record struct VonagePart(string Status, string? MessageId);

/// <summary>What Vonage's answers mean. It answers 200 even for failure; the word is in each part's <c>status</c>.</summary>
/// <remarks>Vonage: SMS API, «Troubleshooting failed SMS»; Search API.</remarks>
public static class VonageStatus
{
    /// <summary>How far Vonage's clock may be from ours, and how much later than it was recorded a call may begin; wide, as with Twilio.</summary>
    public static readonly TimeSpan ClockSkew = TimeSpan.FromMinutes(2);

    /// <summary>The outcome of an answer to <c>POST /sms/json</c>.</summary>
    /// <param name="parts">The body's <c>messages</c>; <c>null</c> when it could not be read.</param>
    public static AttemptOutcome Outcome(HttpStatusCode status, IReadOnlyList<VonagePart>? parts, TimeSpan? retryAfter)
    {
        var word = ((int)status).ToString(CultureInfo.InvariantCulture);
        return ((int)status, parts) switch
        {
            (200, { Count: > 0 }) => Of(parts),
            // It took the request and its answer cannot be read.
            (200, _) => new AttemptOutcome.Unknown(Reasons.UnreadableAnswer),
            (420 or 429, _) => new AttemptOutcome.Retry(Reasons.Retry, word, retryAfter),
            // Vonage, SMS API: «status 5, Internal Error: an error has occurred in the platform whilst processing this message». It
            // says so in messages[].status; a 5xx without that is not the SMS API's.
            ( >= 500, { Count: > 0 }) when parts.All(p => p.Status != "0")
                && GatewayAnswers.Of((int)status, true, word, null) is AttemptOutcome.Retry => Of(parts),
            ( >= 500, _) => GatewayAnswers.Of((int)status, hasDocument: false, word, retryAfter),
            (401 or 403 or 404, _) => new AttemptOutcome.Halted(word),
            ( >= 400, _) => new AttemptOutcome.Rejected(Reasons.Rejected, word),
            _ => new AttemptOutcome.Retry(Reasons.Retry, word),
        };

        // Parts go out one by one. When some were taken, sending again would send those twice.
        AttemptOutcome Of(IReadOnlyList<VonagePart> all)
        {
            var refused = all.Where(p => p.Status != "0").ToList();
            if (refused.Count == 0) return new AttemptOutcome.Accepted(all[0].MessageId);
            return refused.Count < all.Count ? new AttemptOutcome.Unknown(Reasons.PartlyAccepted) : Refused(refused[0].Status, retryAfter);
        }
    }

    /// <summary>What a part's <c>status</c> means when nothing was accepted.</summary>
    public static AttemptOutcome Refused(string status, TimeSpan? retryAfter = null) => status switch
    {
        "1" => new AttemptOutcome.Retry(Reasons.Retry, status, retryAfter ?? TimeSpan.FromSeconds(1)), // throttled: messages per second
        "5" or "10" => new AttemptOutcome.Retry(Reasons.Retry, status, retryAfter),                     // internal error; too many binds
        "4" or "8" or "9" or "11" or "14" => new AttemptOutcome.Halted(status),                          // credentials, barred, quota, no HTTP, signature
        "33" => new AttemptOutcome.Rejected(Reasons.BadAddress, status),                                 // number de-activated
        _ => new AttemptOutcome.Rejected(Reasons.Rejected, status),
    };

    /// <summary>Reads the parts; <c>null</c> for a malformed body, or where one part is.</summary>
    public static IReadOnlyList<VonagePart>? Read(byte[] body)
    {
        try
        {
            using var json = JsonDocument.Parse(body);
            if (json.RootElement.ValueKind != JsonValueKind.Object || !json.RootElement.TryGetProperty("messages", out var messages) || messages.ValueKind != JsonValueKind.Array) return null;
            var parts = new List<VonagePart>();
            foreach (var part in messages.EnumerateArray())
            {
                if (part.ValueKind != JsonValueKind.Object || Text(part, "status") is not { } status) return null;
                parts.Add(new VonagePart(status, Text(part, "message-id")));
            }

            return parts;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException) // the latter: half a surrogate pair
        {
            return null;
        }
    }

    /// <summary>The IDs of the messages with this text that Vonage received while the attempt was under way, the oldest first; <c>null</c> when it cannot be told.</summary>
    public static IReadOnlyList<string>? Find(byte[] body, string text, DateTimeOffset from, DateTimeOffset to)
    {
        try
        {
            using var json = JsonDocument.Parse(body);
            if (json.RootElement.ValueKind != JsonValueKind.Object || !json.RootElement.TryGetProperty("items", out var items) || items.ValueKind != JsonValueKind.Array) return null;
            var found = new List<(DateTimeOffset At, string Id)>();
            foreach (var item in items.EnumerateArray())
            {
                if (item.ValueKind != JsonValueKind.Object || Text(item, "body") != text || Text(item, "message-id") is not { } id) continue;
                if (!DateTimeOffset.TryParseExact(Text(item, "date-received"), "yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var at)) return null;
                if (at >= from - ClockSkew && at <= to + ClockSkew) found.Add((at, id));
            }

            return [.. found.OrderBy(f => f.At).Select(f => f.Id)];
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return null;
        }
    }

    private static string? Text(JsonElement element, string name) =>
        element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
}
