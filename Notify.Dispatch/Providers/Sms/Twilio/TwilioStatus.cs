namespace Notify.Dispatch.Providers.Sms.Twilio;

using System.Globalization;
using System.Net;
using System.Text.Json;
using Notify.Domain.Notifications;

/// <summary>The meanings of Twilio's answers.</summary>
/// <remarks>Twilio: Messages resource; Error and warning dictionary.</remarks>
public static class TwilioStatus
{
    /// <summary>The outcome of an answer to <c>POST …/Messages.json</c>.</summary>
    /// <param name="code">The body's <c>code</c>.</param>
    /// <param name="sid">The body's <c>sid</c>.</param>
    public static AttemptOutcome Outcome(HttpStatusCode status, int? code, string? sid, TimeSpan? retryAfter)
    {
        var word = (code ?? (int)status).ToString(CultureInfo.InvariantCulture);
        return ((int)status, code) switch
        {
            // Twilio creates a message by 201 and names it by its SID (OpenAPI, CreateMessage). Any other yes is not Twilio's own.
            (201, _) when sid is { Length: > 0 } => new AttemptOutcome.Accepted(sid),
            (408 or 429, _) => new AttemptOutcome.Retry(Reasons.Retry, word, retryAfter),
            (>= 400 and < 500, { } error) when OfError(error, word, retryAfter) is { } known => known,
            // Twilio, «Twilio's Response»: errors come as an exception document of status, message, code and more_info; «500 Server
            // Error: we couldn't return the representation due to an internal server error». Without a code it is not Twilio's.
            _ => HttpAnswers.OfMessage((int)status, code is >= FirstCode, word, retryAfter),
        };
    }

    // The dictionary of errors begins with 10001. Gateways write HTTP's status as their code.
    private const int FirstCode = 10_000;

    // Each by its page, twilio.com/docs/api/errors/{code}; some have come with 400 and with 403. Null: the status says it.
    private static AttemptOutcome? OfError(int code, string word, TimeSpan? retryAfter) =>
        code switch
        {
            21610 => new AttemptOutcome.Rejected(Reasons.OptedOutAtProvider, word, AddressVerdict.Suppress),
            // No number, none for SMS, a short code, the sender's own, a landline.
            21211 or 21265 or 21266 or 21614 or 21635 => new AttemptOutcome.Rejected(Reasons.BadAddress, word),
            // The sender's queue is full: it drains at the rate of the sender's kind.
            21611 => new AttemptOutcome.Retry(Reasons.Retry, word, retryAfter),
            // Messaging > Settings > Geo permissions. The country is the message's; other countries go on.
            21408 => new AttemptOutcome.Rejected(Reasons.CountryNotEnabled, word),
            // The sender: none, not ours, not one for SMS, not one for a trial account.
            21212 or 21267 or 21401 or 21601 or 21603 or 21606 or 21607 or 21659 or 21660 or 21661 => new AttemptOutcome.Halted(word),
            // A trial account writes to verified numbers alone: the account's fault, and others' numbers may be verified.
            21608 => new AttemptOutcome.Halted(word, IsAttempt: true),
            10001 or 20003 or 20005 or 20006 => new AttemptOutcome.Halted(word), // the account: not active, not known, without the right
            21609 => new AttemptOutcome.Halted(word), // StatusCallback is no valid URL
            // The messaging service: not available, without a number that can send, without numbers, not one of ours.
            21701 or 21703 or 21704 or 21705 => new AttemptOutcome.Halted(word),
            _ => null,
        };

    /// <summary>Reads <c>code</c> and <c>sid</c>; a malformed body says nothing.</summary>
    public static (int? Code, string? Sid) Read(byte[] body)
    {
        try
        {
            using var json = ProviderJson.Parse(body);
            var root = json.RootElement;
            if (root.ValueKind != JsonValueKind.Object)
                return default;
            int? code =
                root.TryGetProperty("code", out var c) && c.ValueKind == JsonValueKind.Number && c.TryGetInt32(out var number)
                    ? number
                    : null;
            return (code, root.TryGetProperty("sid", out var s) && s.ValueKind == JsonValueKind.String ? s.GetString() : null);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException) // the latter: half a surrogate pair
        {
            return default;
        }
    }
}
