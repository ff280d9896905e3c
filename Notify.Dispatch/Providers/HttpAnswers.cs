namespace Notify.Dispatch.Providers;

using Notify.Domain.Notifications;

/// <summary>
/// Decides about answers that a provider's own table does not name: HTTP's statuses, and statuses without the provider's own error
/// document, which a proxy, a gateway or another server may have written. Pure.
/// </summary>
/// <remarks>
/// RFC 9110, 15. A 4xx says that the request was not carried out, so repeating it is safe; but only the provider's own document says
/// that the message is at fault. After 300 to 306 the request may have been carried out: user agents follow 301 and 302 to a POST by a GET
/// (15.4.2 and 15.4.3), and so does 303. 307 and 308 ask for the same request elsewhere (15.4.8 and 15.4.9).
/// </remarks>
public static class HttpAnswers
{
    /// <summary>The outcome of an SMS or an email, of which nothing is repeated that may have been taken.</summary>
    /// <param name="hasDocument">Whether the body is the provider's own error document.</param>
    /// <param name="code">The provider's code, else the status.</param>
    public static AttemptOutcome OfMessage(int status, bool hasDocument, string code, TimeSpan? retryAfter) =>
        status switch
        {
            // RFC 6585, 6: a network before the provider wants a login, and passes nothing on.
            307 or 308 or 511 => new AttemptOutcome.Halted(code),
            < 400 => new AttemptOutcome.Unknown(Reasons.UnreadableAnswer),
            >= 500 => GatewayAnswers.Of(status, hasDocument, code, retryAfter),
            _ => NotTaken(status, hasDocument, code, retryAfter),
        };

    /// <summary>The outcome of a push, of which a repeat replaces itself on the device.</summary>
    /// <param name="hasDocument">Whether the body is the provider's own error document.</param>
    /// <param name="code">The provider's code, else the status.</param>
    public static AttemptOutcome OfPush(int status, bool hasDocument, string code, TimeSpan? retryAfter) =>
        status switch
        {
            >= 200 and < 300 => new AttemptOutcome.Unknown(Reasons.UnreadableAnswer),
            // The service is not at this address.
            >= 300 and < 400 or 511 => new AttemptOutcome.Halted(code),
            < 200 or >= 500 => new AttemptOutcome.Retry(Reasons.Retry, code, retryAfter),
            _ => NotTaken(status, hasDocument, code, retryAfter),
        };

    private static AttemptOutcome NotTaken(int status, bool hasDocument, string code, TimeSpan? retryAfter) =>
        status switch
        {
            // The key, the account, the proxy, the address or the protocol: the same for every message.
            401 or 402 or 403 or 404 or 405 or 407 or 410 or 415 or 426 => new AttemptOutcome.Halted(code),
            // The wrong connection (421) and a request that came too early (RFC 8470, 5.2) are not the message's fault, either.
            408 or 421 or 425 or 429 => new AttemptOutcome.Retry(Reasons.Retry, code, retryAfter),
            413 => new AttemptOutcome.Rejected(Reasons.TooLarge, code),
            _ when hasDocument => new AttemptOutcome.Rejected(Reasons.Rejected, code),
            _ => new AttemptOutcome.Retry(Reasons.Retry, code, retryAfter),
        };
}
