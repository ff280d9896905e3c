namespace Notify.Sandbox.SendGrid;

using System.Text.Encodings.Web;
using System.Text.Json;
using Notify.Sandbox.Providers;

/// <summary>One fault as SendGrid names it: <c>{ message, field, help }</c>, the field null where it is of none.</summary>
public sealed record SendGridError(string? Field, string Message)
{
    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web)
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    internal static readonly SendGridError Unauthenticated = new(null, "The provided authorization grant is invalid, expired, or revoked");
    internal static readonly SendGridError NotFound = new(null, "not found");
    internal static readonly SendGridError MethodNotAllowed = new(null, "method not allowed");
    internal static readonly SendGridError UnsupportedMediaType = new(null, "Content-Type should be application/json.");
    internal static readonly SendGridError TooLarge = new(null, "content too large");
    internal static readonly SendGridError BadRequest = new(null, "Bad Request");
    internal static readonly SendGridError UnverifiedSender = new("from", "The from address does not match a verified Sender Identity.");

    /// <summary>What SendGrid says with a status that a knob asks for.</summary>
    internal static SendGridError ForStatus(int status) =>
        status switch
        {
            400 => BadRequest,
            401 => Unauthenticated,
            403 => new(null, "access forbidden"),
            404 => NotFound,
            413 => TooLarge,
            429 => new(null, "too many requests"),
            500 => new(null, "internal server error"),
            _ => new(null, "An error occurred."),
        };

    /// <summary>All faults in one answer; the outcome names the first one's field.</summary>
    internal static ProviderAnswer ToAnswer(int status, params IReadOnlyList<SendGridError> errors) =>
        new()
        {
            Status = status,
            Outcome = errors[0].Field is { } field ? $"{status} {field}" : $"{status}",
            Body = JsonSerializer.SerializeToUtf8Bytes(
                new
                {
                    errors = errors.Select(e => new
                    {
                        e.Message,
                        e.Field,
                        Help = (string?)null,
                    }),
                },
                Json
            ),
        };
}
