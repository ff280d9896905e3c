namespace Notify.Dispatch.Providers.WebPush;

using System.Globalization;
using System.Net;
using Notify.Domain.Notifications;

/// <summary>Maps push services' answers to outcomes.</summary>
/// <remarks>RFC 8030, sections 5 and 8.4; RFC 8292, section 4.2.</remarks>
public static class WebPushStatus
{
    /// <summary>Returns the outcome of an answer.</summary>
    /// <param name="attemptedAt">When the call began; a subscription that was registered later is not affected.</param>
    /// <param name="acceptedLately">
    /// Whether the service recently accepted another message with the same token: then a rejection concerns the subscription, such as
    /// one made with another key.
    /// </param>
    public static AttemptOutcome Outcome(
        HttpStatusCode status,
        string? messageId,
        TimeSpan? retryAfter,
        DateTimeOffset attemptedAt,
        bool acceptedLately
    )
    {
        var code = ((int)status).ToString(CultureInfo.InvariantCulture);
        return (int)status switch
        {
            // RFC 8030, 5 and 5.1: 201 with the message's Location, or 202 for later. Another yes needs that Location.
            201 or 202 => new AttemptOutcome.Accepted(messageId),
            >= 200 and < 300 => messageId is not null
                ? new AttemptOutcome.Accepted(messageId)
                : new AttemptOutcome.Unknown(Reasons.UnreadableAnswer),
            404 or 410 => new AttemptOutcome.Rejected(Reasons.Unregistered, code, AddressVerdict.Dead, attemptedAt),
            401 or 403 when acceptedLately => new AttemptOutcome.Rejected(Reasons.BadAddress, code),
            // Our key or the subscription's: the answer does not say. The delivery waits for an operator, and not permanently.
            401 or 403 => new AttemptOutcome.Halted(code, IsAttempt: true),
            413 => new AttemptOutcome.Rejected(Reasons.TooLarge, code),
            // Also where a gateway answered: a repeat replaces itself on the device.
            // Microsoft's service says 406 where too much was sent (WNS, response codes).
            406 or 408 or 421 or 425 or 429 or >= 500 => new AttemptOutcome.Retry(Reasons.Retry, code, retryAfter),
            _ => new AttemptOutcome.Rejected(Reasons.Rejected, code),
        };
    }
}
