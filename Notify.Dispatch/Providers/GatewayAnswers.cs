namespace Notify.Dispatch.Providers;

using Notify.Domain.Notifications;

/// <summary>
/// Tells the answers of SMS and email providers that refuse a request from those of a gateway before them, which may have
/// passed it on. Pure.
/// </summary>
/// <remarks>
/// A 5xx with the provider's own error document was written by the provider: it did not take the request, and repeating it is
/// safe. A 5xx without one says nothing (RFC 9110, 15.6.3 and 15.6.5: 502 and 504 are a gateway's; 520 to 527 are
/// Cloudflare's; an empty 500 is anybody's). Nothing is repeated before it is known what became of the request. Push lanes
/// need no such care: a repeat replaces itself on the device.
/// </remarks>
public static class GatewayAnswers
{
    /// <summary>Returns the outcome of a 5xx.</summary>
    /// <param name="hasDocument">Whether its body is the provider's own error document.</param>
    /// <param name="code">The provider's code, else the status.</param>
    public static AttemptOutcome Of(int status, bool hasDocument, string code, TimeSpan? retryAfter) =>
        hasDocument && !IsGateways(status)
            ? new AttemptOutcome.Retry(Reasons.Retry, code, retryAfter)
            : new AttemptOutcome.Unknown(Reasons.GatewayAnswered);

    // A gateway that gave up waiting does not know the outcome, even if its page says so.
    private static bool IsGateways(int status) => status is 504 or (>= 520 and <= 527);
}
