namespace Notify.Dispatch.Providers.Sms.Vonage;

using System.Globalization;
using System.Net;
using System.Text.Json;
using Notify.Domain.Notifications;

/// <summary>One part of a message, as Vonage answered for it.</summary>
public readonly record struct VonagePart(string Status, string? MessageId)
{
    /// <summary>The <c>status</c> of a part that was taken.</summary>
    public const string Taken = "0";

    /// <summary>Whether it was taken: the answer says so and names it.</summary>
    public bool IsTaken => Status == Taken && MessageId is { Length: > 0 };

    /// <summary>Whether it was refused. A part whose status cannot be read is neither.</summary>
    public bool IsRefused => Status is { Length: > 0 } and not Taken;
}

/// <summary>The meanings of Vonage's answers. It answers 200 even for failure; each part has a <c>status</c> of its own.</summary>
/// <remarks>Vonage: SMS API 1.2 (OpenAPI), «Troubleshooting failed SMS»; Reports API 2.2.</remarks>
public static class VonageStatus
{
    /// <summary>The outcome of an answer to <c>POST /sms/json</c>.</summary>
    /// <param name="parts">The body's <c>messages</c>; <c>null</c> when it could not be read.</param>
    public static AttemptOutcome Outcome(HttpStatusCode status, IReadOnlyList<VonagePart>? parts, TimeSpan? retryAfter)
    {
        var word = ((int)status).ToString(CultureInfo.InvariantCulture);
        // Parts are sent one by one. An answer with one accepted part is an acceptance: sending again would send that part twice.
        if (parts?.FirstOrDefault(p => p.IsTaken) is { MessageId: { } id })
            return new AttemptOutcome.Accepted(id, parts.Count(p => !p.IsTaken) is > 0 and var refused ? refused : null);
        var isRefusal = parts is { Count: > 0 } && parts.All(p => p.IsRefused);
        return (int)status switch
        {
            200 or (>= 400 and < 500) when isRefusal => Refused(parts![0].Status, retryAfter),
            420 => new AttemptOutcome.Retry(Reasons.Retry, word, retryAfter),
            // Vonage, SMS API: «status 5, Internal Error: an error has occurred in the platform whilst processing this message». It
            // says so in messages[].status; a 5xx without that is not the SMS API's.
            >= 500 when GatewayAnswers.Of((int)status, isRefusal, word, null) is AttemptOutcome.Retry => Refused(
                parts![0].Status,
                retryAfter
            ),
            // The SMS API answers 200 to everything else: no other answer is its own.
            _ => HttpAnswers.OfMessage((int)status, hasDocument: false, word, retryAfter),
        };
    }

    /// <summary>Maps a part's <c>status</c> to an outcome when no part was accepted.</summary>
    public static AttemptOutcome Refused(string status, TimeSpan? retryAfter = null) =>
        status switch
        {
            "1" => new AttemptOutcome.Retry(Reasons.Retry, status, retryAfter ?? TimeSpan.FromSeconds(1)), // throttled: messages per second
            "5" or "10" => new AttemptOutcome.Retry(Reasons.Retry, status, retryAfter), // internal error; too many binds
            "4" or "8" or "9" or "11" or "14" or "32" => new AttemptOutcome.Halted(status), // credentials, quota, signature
            "15" or "22" or "23" => new AttemptOutcome.Halted(status), // sender, network code, callback
            // A demo account writes to listed numbers alone: the account's fault, and others' numbers may be listed.
            "29" => new AttemptOutcome.Halted(status, IsAttempt: true),
            "7" or "33" => new AttemptOutcome.Rejected(Reasons.BadAddress, status), // number barred, de-activated
            _ => new AttemptOutcome.Rejected(Reasons.Rejected, status),
        };

    /// <summary>Reads the parts; <c>null</c> for a malformed body. A malformed part has no status.</summary>
    public static IReadOnlyList<VonagePart>? Read(byte[] body)
    {
        try
        {
            using var json = ProviderJson.Parse(body);
            if (
                json.RootElement.ValueKind != JsonValueKind.Object
                || !json.RootElement.TryGetProperty("messages", out var messages)
                || messages.ValueKind != JsonValueKind.Array
            )
                return null;
            var parts = new List<VonagePart>();
            foreach (var part in messages.EnumerateArray())
            {
                var isPart = part.ValueKind == JsonValueKind.Object;
                parts.Add(isPart ? new VonagePart(Text(part, "status") ?? "", Text(part, "message-id")) : default);
            }

            return parts;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException) // the latter: half a surrogate pair
        {
            return null;
        }
    }

    private static string? Text(JsonElement element, string name) =>
        element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
}
