namespace Notify.Dispatch.Providers.Fcm;

using System.Globalization;
using System.Net;
using System.Text.Json;
using Notify.Domain.Notifications;

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
            (>= 400 and < 500, "UNREGISTERED") => new AttemptOutcome.Rejected(Reasons.Unregistered, code, AddressVerdict.Dead, calledAt),
            // The token belongs to another project: one of the two is configured wrongly, so the token is kept.
            (>= 400 and < 500, "SENDER_ID_MISMATCH") => new AttemptOutcome.Rejected(Reasons.BadAddress, code),
            // Apple's or a browser's credentials in the project, which only such a token needs: others of the project go on.
            (>= 400 and < 500, "THIRD_PARTY_AUTH_ERROR") => new AttemptOutcome.Halted(code, IsAttempt: true),
            (400, _) when error.BlamesToken => new AttemptOutcome.Rejected(Reasons.BadAddress, code, AddressVerdict.Dead, calledAt),
            // Google's word without FCM's: there is no such project, or no such token. It does not say which, so the waiting ends.
            (404, _) when error.Status == "NOT_FOUND" => new AttemptOutcome.Halted(code, IsAttempt: true),
            (429, _) => new AttemptOutcome.Retry(Reasons.Retry, code, retryAfter ?? QuotaWait),
            _ => HttpAnswers.OfPush((int)status, hasDocument: error.Status is not null || error.ErrorCode is not null, code, retryAfter),
        };
    }

    /// <summary>Reads the name of an accepted message; <c>null</c> where there is none.</summary>
    public static string? ReadName(byte[] body) => Parse(body, root => Text(root, "name"));

    /// <summary>Reads an error's body; a malformed one, such as a proxy's HTML, says nothing.</summary>
    public static FcmError ReadError(byte[] body) =>
        Parse(
            body,
            root =>
            {
                if (!root.TryGetProperty("error", out var error) || error.ValueKind != JsonValueKind.Object)
                    return default;
                string? code = null;
                var (blamesToken, blamesOther) = (false, false);
                if (error.TryGetProperty("details", out var details) && details.ValueKind == JsonValueKind.Array)
                {
                    foreach (var detail in details.EnumerateArray().Where(d => d.ValueKind == JsonValueKind.Object))
                    {
                        var type = Text(detail, "@type") ?? "";
                        if (type.EndsWith(".FcmError", StringComparison.Ordinal))
                            code ??= Text(detail, "errorCode");
                        if (!detail.TryGetProperty("fieldViolations", out var violations) || violations.ValueKind != JsonValueKind.Array)
                            continue;
                        foreach (var violation in violations.EnumerateArray())
                        {
                            var blamed = violation.ValueKind == JsonValueKind.Object && Text(violation, "field") == "message.token";
                            (blamesToken, blamesOther) = (blamesToken || blamed, blamesOther || !blamed);
                        }
                    }
                }

                return new FcmError(Text(error, "status"), code, blamesToken && !blamesOther);
            }
        );

    private static T? Parse<T>(byte[] body, Func<JsonElement, T> read)
    {
        try
        {
            using var json = ProviderJson.Parse(body);
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
