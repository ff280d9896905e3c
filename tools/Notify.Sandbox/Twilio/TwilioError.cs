namespace Notify.Sandbox.Twilio;

using Notify.Sandbox.Providers;

/// <summary>An error as Twilio answers it: <c>{ code, message, more_info, status }</c> (twilio.com/docs/api/errors).</summary>
public sealed record TwilioError(int Status, int Code, string Message)
{
    internal static readonly TwilioError Unauthenticated = new(401, 20003, "Authenticate");
    internal static readonly TwilioError MethodNotAllowed = new(405, 20004, "Method not allowed");
    internal static readonly TwilioError BodyRequired = new(400, 21602, "Message body is required.");
    internal static readonly TwilioError FromRequired = new(400, 21603, "A 'From' phone number is required.");
    internal static readonly TwilioError ToRequired = new(400, 21604, "A 'To' phone number is required.");
    internal static readonly TwilioError Unsubscribed = new(400, 21610, "Attempt to send to unsubscribed recipient");
    internal static readonly TwilioError NotMobile = new(400, 21614, "'To' number is not a valid mobile number");
    internal static readonly TwilioError BodyTooLong = new(400, 21617, "The concatenated message body exceeds the 1600 character limit");
    internal static readonly TwilioError BadMessagingService = new(400, 21701, "The Messaging Service resource is not available.");

    // Twilio documents nothing for a body that is no form (it sees no parameters in it); a sandbox had better say so.
    internal static readonly TwilioError UnsupportedMediaType = new(415, 20415, "Content-Type must be application/x-www-form-urlencoded");

    internal static TwilioError NotFound(string? path) => new(404, 20404, $"The requested resource {path} was not found");

    internal static TwilioError BadTo(string to) => new(400, 21211, $"Invalid 'To' Phone Number: {to}");

    internal static TwilioError BadFrom(string from) =>
        new(
            400,
            21606,
            $"The 'From' phone number provided ({from}) is not a valid, message-capable Twilio phone number for this destination."
        );

    internal static TwilioError BadStatusCallback(string url) => new(400, 21609, $"The 'StatusCallback' URL {url} is not a valid URL.");

    internal static TwilioError BadQuery(string name) => new(400, 20001, $"Invalid parameter: {name}");

    internal static TwilioError Unreachable(string to, string? from) =>
        new(400, 21612, $"The 'To' phone number: {to}, is not currently reachable using the 'From' phone number: {from} via SMS.");

    /// <summary>What Twilio says with a status that a knob asks for.</summary>
    internal static TwilioError ForStatus(int status) =>
        status switch
        {
            401 => Unauthenticated,
            429 => new(429, 20429, "Too Many Requests"),
            500 => new(500, 20500, "Internal Server Error"),
            503 => new(503, 20503, "Service Unavailable"),
            _ => new(status, 20_000 + status, "An error occurred"), // Twilio's general codes are 20,000 and the status.
        };

    internal ProviderAnswer ToAnswer() =>
        new()
        {
            Status = Status,
            Outcome = Code.ToString(System.Globalization.CultureInfo.InvariantCulture),
            Body = TwilioJson.Write(
                new
                {
                    Code,
                    Message,
                    MoreInfo = $"https://www.twilio.com/docs/errors/{Code}",
                    Status,
                }
            ),
        };
}
