using System.Globalization;
using System.Net;
using System.Text.Json;
using Notify.Dispatch.Dispatching;
using Notify.Domain.Notifications;

namespace Notify.Dispatch.Fcm;

/// <summary>The content of an error's body.</summary>
/// <param name="Status">Google's general code, such as <c>NOT_FOUND</c>.</param>
/// <param name="ErrorCode">FCM's own code, such as <c>UNREGISTERED</c>.</param>
/// <param name="BlamesToken">Whether the token is the only fault of the message.</param>
public readonly record struct FcmError(string? Status, string? ErrorCode, bool BlamesToken);

/// <summary>Maps FCM's answers to outcomes.</summary>
/// <remarks>Firebase: FCM error codes; google.rpc.Status with details of the types FcmError and BadRequest.</remarks>
public static class FcmStatus
{
    /// <summary>How long to wait where FCM says too much, but not for how long.</summary>
    public static readonly TimeSpan QuotaWait = TimeSpan.FromMinutes(1);

    /// <summary>The outcome of an answer.</summary>
    /// <param name="name">The message's name, of an answer that says yes.</param>
    /// <param name="calledAt">When the call began: a device registered later may be alive.</param>
    public static AttemptOutcome Outcome(HttpStatusCode status, FcmError error, string? name, DateTimeOffset calledAt, TimeSpan? retryAfter)
    {
        var code = error.ErrorCode ?? error.Status ?? ((int)status).ToString(CultureInfo.InvariantCulture);
        return ((int)status, error.ErrorCode) switch
        {
            // Firebase, projects.messages.send: 200 with an instance of Message, whose name FCM sets. A yes without it is no yes.
            (200, _) when name is { Length: > 0 } => new AttemptOutcome.Accepted(name),
            ( >= 200 and < 300, _) => new AttemptOutcome.Unknown(Reasons.UnreadableAnswer),
            ( >= 400 and < 500, "UNREGISTERED") => new AttemptOutcome.Rejected(Reasons.Unregistered, code, AddressVerdict.Dead, calledAt),
            // The token belongs to another project: one of the two is configured wrongly, so the token is kept.
            ( >= 400 and < 500, "SENDER_ID_MISMATCH") => new AttemptOutcome.Rejected(Reasons.BadAddress, code),
            ( >= 400 and < 500, "THIRD_PARTY_AUTH_ERROR") => new AttemptOutcome.Halted(code),
            (400, _) when error.BlamesToken => new AttemptOutcome.Rejected(Reasons.BadAddress, code, AddressVerdict.Dead, calledAt),
            (401 or 403, _) => new AttemptOutcome.Halted(code),
            // Not the token, then: there is no such project, or no such service at this address.
            (404 or 405, _) => new AttemptOutcome.Halted(code),
            (408, _) => new AttemptOutcome.Retry(Reasons.Retry, code, retryAfter),
            (413, _) => new AttemptOutcome.Rejected(Reasons.TooLarge, code),
            (429, _) => new AttemptOutcome.Retry(Reasons.Retry, code, retryAfter ?? QuotaWait),
            // Also where a gateway answered: a repeat replaces itself on the device.
            ( >= 500, _) => new AttemptOutcome.Retry(Reasons.Retry, code, retryAfter),
            ( >= 400, _) => new AttemptOutcome.Rejected(Reasons.Rejected, code),
            _ => new AttemptOutcome.Retry(Reasons.Retry, code),
        };
    }

    /// <summary>Reads the name of an accepted message; <c>null</c> where there is none.</summary>
    public static string? ReadName(byte[] body) => Parse(body, root => Text(root, "name"));

    /// <summary>Reads an error's body; a malformed one, such as a proxy's HTML, says nothing.</summary>
    public static FcmError ReadError(byte[] body) => Parse(body, root =>
    {
        if (!root.TryGetProperty("error", out var error) || error.ValueKind != JsonValueKind.Object) return default;
        string? code = null;
        var (blamesToken, blamesOther) = (false, false);
        if (error.TryGetProperty("details", out var details) && details.ValueKind == JsonValueKind.Array)
        {
            foreach (var detail in details.EnumerateArray().Where(d => d.ValueKind == JsonValueKind.Object))
            {
                var type = Text(detail, "@type") ?? "";
                if (type.EndsWith(".FcmError", StringComparison.Ordinal)) code ??= Text(detail, "errorCode");
                if (!detail.TryGetProperty("fieldViolations", out var violations) || violations.ValueKind != JsonValueKind.Array) continue;
                foreach (var violation in violations.EnumerateArray())
                {
                    var blamed = violation.ValueKind == JsonValueKind.Object && Text(violation, "field") == "message.token";
                    (blamesToken, blamesOther) = (blamesToken || blamed, blamesOther || !blamed);
                }
            }
        }

        return new FcmError(Text(error, "status"), code, blamesToken && !blamesOther);
    });

    private static T? Parse<T>(byte[] body, Func<JsonElement, T> read)
    {
        try
        {
            using var json = JsonDocument.Parse(body);
            return json.RootElement.ValueKind == JsonValueKind.Object ? read(json.RootElement) : default;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException) // the latter: half a surrogate pair
        {
            return default;
        }
    }

    private static string? Text(JsonElement element, string name) =>
        element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
}
