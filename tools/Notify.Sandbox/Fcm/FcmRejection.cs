namespace Notify.Sandbox.Fcm;

using System.Text.Encodings.Web;
using System.Text.Json;
using Notify.Sandbox.Providers;

/// <summary>A field that is wrong, by its path, such as <c>message.token</c>.</summary>
public sealed record FcmViolation(string Field, string Description);

/// <summary>
/// An error as FCM answers it: google.rpc.Status with details of the types FcmError and BadRequest
/// (Firebase: FCM error codes).
/// </summary>
/// <param name="Status">HTTP status.</param>
/// <param name="Code">Google's general code.</param>
/// <param name="ErrorCode">FCM's own; null where a request does not get as far as FCM.</param>
/// <param name="Violations">The faults of the request.</param>
public sealed record FcmRejection(int Status, string Code, string Message, string? ErrorCode = null, params FcmViolation[] Violations)
{
    private const string Types = "type.googleapis.com/";
    private static readonly JsonSerializerOptions Json = new()
    {
        WriteIndented = true,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    /// <summary>The HTML that a proxy before FCM answers with.</summary>
    public bool IsHtml { get; init; }

    /// <summary>The <c>Retry-After</c> header, in seconds.</summary>
    public int? RetryAfterSeconds { get; init; }

    internal static readonly FcmRejection Unauthenticated = new(401, "UNAUTHENTICATED", "The request has no valid OAuth 2 access token.");
    internal static readonly FcmRejection InsufficientScope = new(
        403,
        "PERMISSION_DENIED",
        "The access token's scopes do not allow sending."
    );
    internal static readonly FcmRejection Unregistered = new(
        404,
        "NOT_FOUND",
        "The app instance is not registered any more.",
        "UNREGISTERED"
    );
    internal static readonly FcmRejection SenderIdMismatch = new(
        403,
        "PERMISSION_DENIED",
        "The token belongs to another sender.",
        "SENDER_ID_MISMATCH"
    );
    internal static readonly FcmRejection QuotaExceeded = new(429, "RESOURCE_EXHAUSTED", "The quota is used up for now.", "QUOTA_EXCEEDED")
    {
        RetryAfterSeconds = 1,
    };
    internal static readonly FcmRejection Internal = new(500, "INTERNAL", "Internal error.", "INTERNAL");
    internal static readonly FcmRejection Unavailable = new(503, "UNAVAILABLE", "The service cannot answer now.", "UNAVAILABLE");
    internal static readonly FcmRejection NoPage = new(404, "NOT_FOUND", "There is nothing at this path.") { IsHtml = true };
    internal static readonly FcmRejection BadGateway = new(502, "UNAVAILABLE", "Bad gateway.") { IsHtml = true };
    internal static readonly FcmRejection TooLarge = Invalid("The message is too big.");
    internal static readonly FcmRejection BadToken = Invalid(
        "The token is no registration token.",
        new FcmViolation("message.token", "Invalid registration token")
    );

    /// <summary>The account may not send for a project, or there is none of this name.</summary>
    public static FcmRejection NoPermission(string project) =>
        new(403, "PERMISSION_DENIED", $"The service account may not send for the project '{project}', or there is no such project.");

    /// <summary>The body is not a request, as the layer before FCM finds.</summary>
    public static FcmRejection Malformed(params FcmViolation[] violations) =>
        new(400, "INVALID_ARGUMENT", string.Join('\n', violations.Select(violation => violation.Description)), null, violations);

    /// <summary>The request is not a message, as FCM finds.</summary>
    public static FcmRejection Invalid(string message, params FcmViolation[] violations) =>
        new(400, "INVALID_ARGUMENT", message, "INVALID_ARGUMENT", violations);

    /// <summary>What FCM would say with a status that a knob asks for; the status itself is kept.</summary>
    public static FcmRejection ForStatus(int status) =>
        status switch
        {
            400 => BadToken,
            401 => Unauthenticated,
            403 => SenderIdMismatch,
            404 => Unregistered,
            429 => QuotaExceeded,
            502 => BadGateway,
            503 => Unavailable,
            >= 500 => Internal with { Status = status },
            _ => Invalid("The request was refused.") with { Status = status },
        };

    /// <summary>The answer.</summary>
    public ProviderAnswer ToAnswer() =>
        new()
        {
            Status = Status,
            Outcome = ErrorCode ?? (IsHtml ? $"HTTP {Status}" : Code),
            RetryAfterSeconds = RetryAfterSeconds,
            Body = IsHtml
                ? System.Text.Encoding.UTF8.GetBytes($"<!DOCTYPE html>\n<html><title>Error {Status}</title><p>{Message}</html>\n")
                : JsonSerializer.SerializeToUtf8Bytes(Document(), Json),
        };

    private Dictionary<string, object> Document()
    {
        var error = new Dictionary<string, object>
        {
            ["code"] = Status,
            ["message"] = Message,
            ["status"] = Code,
        };
        var details = new List<Dictionary<string, object>>();
        if (ErrorCode is not null)
            details.Add(new() { ["@type"] = $"{Types}google.firebase.fcm.v1.FcmError", ["errorCode"] = ErrorCode });
        if (Violations.Length > 0)
            details.Add(
                new()
                {
                    ["@type"] = $"{Types}google.rpc.BadRequest",
                    ["fieldViolations"] = Violations.Select(v => new { field = v.Field, description = v.Description }).ToArray(),
                }
            );
        if (details.Count > 0)
            error["details"] = details;
        return new() { ["error"] = error };
    }
}
