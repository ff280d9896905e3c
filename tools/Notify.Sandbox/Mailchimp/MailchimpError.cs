namespace Notify.Sandbox.Mailchimp;

using System.Text.Encodings.Web;
using System.Text.Json;
using Notify.Sandbox.Providers;

/// <summary>An error as Mailchimp Transactional answers it: <c>{ status: "error", code, name, message }</c>.</summary>
public sealed record MailchimpError(int HttpStatus, int Code, string Name, string Message)
{
    private static readonly JsonSerializerOptions Json = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    internal static readonly MailchimpError UnknownMethod = new(404, -1, "Unknown_Method", "There is no such method");
    internal static readonly MailchimpError TooLarge = Invalid("message", "The message is larger than 25 MB");

    internal static MailchimpError BadKey(bool isNew) =>
        isNew ? new(401, 401, "Invalid_Key", "Invalid API key") : new(500, -1, "Invalid_Key", "Invalid API key");

    internal static MailchimpError UnknownSubaccount(string id) =>
        new(404, 12, "Unknown_Subaccount", $"No subaccount exists with the id {id}");

    internal static MailchimpError Invalid(string field, string fault) =>
        new(
            500,
            -2,
            "ValidationError",
            $"Validation error: {JsonSerializer.Serialize(new Dictionary<string, string> { [field] = fault }, Json)}"
        );

    /// <summary>Returns Mailchimp's error for a status that a fault setting asks for.</summary>
    internal static MailchimpError ForStatus(int status) =>
        status switch
        {
            401 => BadKey(isNew: true),
            402 => new(402, 10, "PaymentRequired", "Email scheduling is only available for accounts with a positive balance."),
            429 => new(429, -1, "RequestLimitExceeded", "Too many requests"),
            503 => new(503, -1, "ServiceUnavailable", "The service is temporarily unavailable"),
            >= 500 => new(status, -1, "GeneralError", "An unknown error occurred processing your request. Please try again later."),
            _ => new(status, -2, "ValidationError", "Validation error"),
        };

    internal ProviderAnswer ToAnswer() =>
        new()
        {
            Status = HttpStatus,
            Outcome = Name,
            Body = JsonSerializer.SerializeToUtf8Bytes(
                new
                {
                    status = "error",
                    code = Code,
                    name = Name,
                    message = Message,
                },
                Json
            ),
        };
}
