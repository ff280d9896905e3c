namespace Notify.Sandbox.Vonage;

using System.Text.Json;
using Notify.Sandbox.Providers;

/// <summary>A part's status and error text (SMS API, error codes); the HTTP status stays 200.</summary>
public sealed record VonageError(string Status, string Text)
{
    internal static readonly VonageError BadCredentials = new("4", "Bad Credentials");
    internal static readonly VonageError InternalError = new("5", "Internal Error");
    internal static readonly VonageError Unroutable = new("6", "Unroutable message - rejected");
    internal static readonly VonageError TooLong = new("12", "Message too long");
    internal static readonly VonageError BadSignature = new("14", "Invalid Signature");
    internal static readonly VonageError BadSender = new("15", "Illegal Sender Address - rejected");
    internal static readonly VonageError BadCallback = new("23", "Invalid Callback URL");
    internal static readonly VonageError SignedWithSecret = new("32", "Signature And API Secret Disallowed");

    internal static VonageError Missing(string name) => new("2", $"Missing {name}");

    internal static VonageError Invalid(string name) => new("3", $"Invalid value for parameter: {name}");

    /// <summary>Returns Vonage's error for a status that a fault setting asks for; null where only a gateway before it answers.</summary>
    internal static VonageError? ForStatus(int status) =>
        status switch
        {
            429 => new("1", "Throughput Rate Exceeded - please wait [ 1 ] and retry"),
            401 or 403 => BadCredentials,
            500 => InternalError,
            > 500 => null,
            _ => new("3", "Invalid parameters"),
        };

    internal ProviderAnswer ToAnswer() =>
        new()
        {
            Status = StatusCodes.Status200OK,
            Outcome = Status,
            Body = JsonSerializer.SerializeToUtf8Bytes(
                new Dictionary<string, object>
                {
                    ["message-count"] = "1",
                    ["messages"] = new[]
                    {
                        new Dictionary<string, string> { ["status"] = Status, ["error-text"] = Text },
                    },
                }
            ),
        };
}
