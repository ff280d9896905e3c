namespace Notify.Dispatch.Providers.Email.Mailchimp;

using System.Globalization;
using System.Net;
using System.Text.Json;
using Notify.Domain.Notifications;

/// <summary>Maps Mailchimp Transactional's answers to outcomes: 200 has a status for each recipient, an error has a <c>name</c>.</summary>
/// <remarks>Mailchimp Transactional: messages/send; Errors.</remarks>
public static class MailchimpStatus
{
    /// <summary>The outcome of an answer to <c>POST …/messages/send.json</c> with one recipient.</summary>
    public static AttemptOutcome Outcome(HttpStatusCode status, byte[] body, TimeSpan? retryAfter)
    {
        var word = ((int)status).ToString(CultureInfo.InvariantCulture);
        try
        {
            using var json = ProviderJson.Parse(body);
            var root = json.RootElement;
            if (
                status == HttpStatusCode.OK
                && root.ValueKind == JsonValueKind.Array
                && root.GetArrayLength() == 1
                && root[0].ValueKind == JsonValueKind.Object
            )
                return OfRecipient(Text(root[0], "status"), Text(root[0], "reject_reason"), Text(root[0], "_id"));
            // An error may come with any status.
            if (root.ValueKind == JsonValueKind.Object && Text(root, "status") == "error" && Text(root, "name") is { } name)
                return OfError(status, name, retryAfter);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException) // the latter: half a surrogate pair
        {
            // The status alone must do.
        }

        // Mailchimp Transactional, Errors: «any non-200 response code is an error», with a document of status, code, name and
        // message. This has none.
        return HttpAnswers.OfMessage((int)status, hasDocument: false, word, retryAfter);
    }

    /// <summary>Maps a recipient's <c>status</c> and <c>reject_reason</c> to an outcome.</summary>
    public static AttemptOutcome OfRecipient(string? status, string? rejected, string? id) =>
        (status, rejected) switch
        {
            // OpenAPI, MessagesSendResponse: each recipient has a status and an _id.
            ("sent" or "queued" or "scheduled", _) when id is { Length: > 0 } => new AttemptOutcome.Accepted(id),
            ("invalid", _) => new AttemptOutcome.Rejected(Reasons.BadAddress, "invalid"),
            ("rejected", "hard-bounce") => new AttemptOutcome.Rejected(Reasons.HardBounced, rejected, AddressVerdict.Suppress),
            ("rejected", "spam") => new AttemptOutcome.Rejected(Reasons.Complained, rejected, AddressVerdict.Suppress),
            ("rejected", "unsub") => new AttemptOutcome.Rejected(Reasons.OptedOutAtProvider, rejected, AddressVerdict.Suppress),
            ("rejected", "invalid") => new AttemptOutcome.Rejected(Reasons.BadAddress, rejected),
            // The sender or the account, not the message.
            ("rejected", "invalid-sender" or "unsigned" or "test-mode-limit") => new AttemptOutcome.Halted(rejected),
            // soft-bounce lasts for a while only; custom and rule are the account's own lists.
            ("rejected", _) => new AttemptOutcome.Rejected(Reasons.Rejected, rejected ?? "rejected"),
            _ => new AttemptOutcome.Unknown(Reasons.UnreadableAnswer),
        };

    /// <summary>Maps an error's <c>name</c> to an outcome, not its HTTP status: Mailchimp sends 500 for permanent errors, too.</summary>
    public static AttemptOutcome OfError(HttpStatusCode status, string name, TimeSpan? retryAfter)
    {
        var code =
            name.Length <= 60 && name.All(c => char.IsAsciiLetterOrDigit(c) || c == '_')
                ? name
                : ((int)status).ToString(CultureInfo.InvariantCulture);
        return name switch
        {
            _ when (int)status >= 500 && GatewayAnswers.Of((int)status, hasDocument: true, code, null) is AttemptOutcome.Unknown unknown =>
                unknown,
            // «GeneralError: an unknown error occurred processing your request. Please try again later.»
            "GeneralError" or "ServiceUnavailable" or "RequestLimitExceeded" => new AttemptOutcome.Retry(Reasons.Retry, code, retryAfter),
            "Invalid_Key" or "PaymentRequired" or "Unknown_Subaccount" => new AttemptOutcome.Halted(code),
            _ when (int)status is 401 or 402 or 403 => new AttemptOutcome.Halted(code),
            _ when Permanent.Contains(name) => new AttemptOutcome.Rejected(Reasons.Rejected, code),
            _ when (int)status is 408 or 429 => new AttemptOutcome.Retry(Reasons.Retry, code, retryAfter),
            _ when (int)status >= 500 => GatewayAnswers.Of((int)status, hasDocument: true, code, retryAfter),
            _ => new AttemptOutcome.Rejected(Reasons.Rejected, code),
        };
    }

    // The names that the OpenAPI description has besides those above. Another name with a 5xx is a fault of the service.
    private static readonly HashSet<string> Permanent = new(StringComparer.Ordinal)
    {
        "ValidationError",
        "Invalid_CustomDNS",
        "Invalid_DeleteDefaultPool",
        "Invalid_EmptyDefaultPool",
        "Invalid_Reject",
        "Invalid_Tag_Name",
        "Invalid_Template",
        "Invalid_Verified_Domain",
        "Invalid_Verified_TrackingDomain",
        "Invalid_Version",
        "Unknown_Domain",
        "Unknown_Export",
        "Unknown_IP",
        "Unknown_InboundDomain",
        "Unknown_InboundRoute",
        "Unknown_Message",
        "Unknown_MetadataField",
        "Unknown_Pool",
        "Unknown_Sender",
        "Unknown_Template",
        "Unknown_TrackingDomain",
        "Unknown_Webhook",
    };

    private static string? Text(JsonElement element, string name) =>
        element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
}
