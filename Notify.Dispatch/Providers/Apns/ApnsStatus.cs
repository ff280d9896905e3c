namespace Notify.Dispatch.Providers.Apns;

using System.Net;
using System.Text.Json;
using Notify.Domain.Notifications;

/// <summary>What APNs' answers mean.</summary>
/// <remarks>Apple: Handling notification responses from APNs.</remarks>
public static class ApnsStatus
{
    /// <summary>The outcome of an answer.</summary>
    /// <param name="reason">The body's <c>reason</c>.</param>
    /// <param name="timestamp">With 410: since when the token has been dead.</param>
    /// <param name="apnsId">The answer's <c>apns-id</c>.</param>
    /// <param name="hasBody">Whether the answer has a body.</param>
    public static AttemptOutcome Outcome(
        HttpStatusCode status,
        string? reason,
        DateTimeOffset? timestamp,
        string? apnsId,
        TimeSpan? retryAfter,
        bool hasBody = false
    )
    {
        var code = reason ?? ((int)status).ToString(System.Globalization.CultureInfo.InvariantCulture);
        return ((int)status, reason) switch
        {
            // Apple: «For a successful request, the body of the response is empty», with the apns-id. A page is somebody else's yes.
            (200, _) when apnsId is not null || !hasBody => new AttemptOutcome.Accepted(apnsId),
            // Without a reason it is not Apple's, and drops no token.
            (410, not null) => new AttemptOutcome.Rejected(Reasons.Unregistered, code, AddressVerdict.Dead, timestamp),
            // These may only mean the wrong environment or topic: the token is kept.
            (400, "BadDeviceToken" or "DeviceTokenNotForTopic") => new AttemptOutcome.Rejected(Reasons.BadAddress, code),
            (400, "BadTopic" or "MissingTopic" or "TopicDisallowed" or "BadCertificate" or "BadCertificateEnvironment") =>
                new AttemptOutcome.Halted(code),
            // Apple closes what was idle too long, which is nobody's fault.
            (400, "IdleTimeout") => new AttemptOutcome.Retry(Reasons.Retry, code, retryAfter),
            (429, "TooManyProviderTokenUpdates") => new AttemptOutcome.Retry(Reasons.Retry, code, retryAfter ?? TimeSpan.FromMinutes(1)),
            // «The server received too many requests for the same device token»: other devices' pushes go on.
            (429, "TooManyRequests") => new AttemptOutcome.Retry(Reasons.Retry, code, retryAfter, ConcernsAddress: true),
            // 403: our credentials. 404 and 405: the address is not APNs.
            _ => HttpAnswers.OfPush((int)status, hasDocument: reason is not null, code, retryAfter),
        };
    }

    /// <summary>Reads an error's body; a malformed one says nothing.</summary>
    public static (string? Reason, DateTimeOffset? Timestamp) Read(byte[] body)
    {
        try
        {
            using var json = ProviderJson.Parse(body);
            if (json.RootElement.ValueKind != JsonValueKind.Object)
                return default;
            var reason = json.RootElement.TryGetProperty("reason", out var r) && r.ValueKind == JsonValueKind.String ? r.GetString() : null;
            DateTimeOffset? timestamp =
                json.RootElement.TryGetProperty("timestamp", out var t)
                && t.ValueKind == JsonValueKind.Number
                && t.TryGetInt64(out var ms)
                && ms is > 0 and < 253402300799999
                    ? DateTimeOffset.FromUnixTimeMilliseconds(ms)
                    : null;
            return (reason, timestamp);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException) // the latter: half a surrogate pair
        {
            return default;
        }
    }
}
