namespace Notify.Sandbox.Apns;

using Notify.Sandbox.Knobs;
using Notify.Sandbox.Ledger;
using Notify.Sandbox.Magic;
using Notify.Sandbox.Providers;

/// <summary>Plays Apple's push service: <c>POST /3/device/{token}</c> over HTTP/2.</summary>
public sealed class ApnsServer(
    ApnsDialect dialect,
    ApnsRules rules,
    ApnsProviderTokens tokens,
    ApnsMagicTokens magic,
    ApnsServers servers,
    RequestLedger ledger,
    KnobBoard board,
    TimeProvider time
) : ProviderServer(dialect, ledger, board, time)
{
    private const string MessageIdHeader = "apns-id";

    /// <inheritdoc/>
    protected override ProviderAnswer Answer(ProviderRequest request)
    {
        var requestedId = request.Http.Headers[MessageIdHeader] is { Count: 1 } ids ? ids[0] : null;
        var hasBadId = requestedId is not null && !Guid.TryParseExact(requestedId, "D", out _);
        var messageId = requestedId is null || hasBadId ? Guid.NewGuid().ToString("D") : requestedId;

        var rejection = Judge(request, requestedId, hasBadId, out var deviceToken);
        if (rejection is null && request.Fault is { } fault)
            return Reject(ApnsRejection.ForStatus(fault.Status), messageId, request.ReceivedAt) with
            {
                RetryAfterSeconds = fault.RetryAfterSeconds,
            };

        if (rejection is not null)
            return Reject(rejection, messageId, request.ReceivedAt);

        var fate = ApnsMagicTokens.FateOf(deviceToken);
        return new ProviderAnswer
        {
            Status = fate == Fate.Unknown ? 0 : StatusCodes.Status200OK,
            Delay = fate == Fate.Slow ? Fates.SlowAnswer : TimeSpan.Zero,
            Outcome = ProviderAnswer.Accepted,
            MessageId = messageId,
        };
    }

    /// <inheritdoc/>
    protected override void WriteHeaders(HttpResponse response, ProviderAnswer answer) =>
        response.Headers[MessageIdHeader] = answer.MessageId;

    private ApnsRejection? Judge(ProviderRequest request, string? requestedId, bool hasBadId, out string deviceToken)
    {
        var headers = request.Http.Headers;
        deviceToken = "";
        return ApnsRules.CheckSingle(headers)
            ?? ApnsRules.CheckTarget(request.Http.Method, request.Http.Path.Value ?? "", out deviceToken)
            ?? (hasBadId ? ApnsRejection.BadMessageId : null)
            ?? tokens.Check(headers.Authorization, request.ReceivedAt)
            ?? rules.CheckHeaders(headers, deviceToken, servers.IsDevelopment(request.Http))
            ?? ApnsRules.CheckPayload(headers, request.Body)
            ?? magic.Check(deviceToken, requestedId);
    }

    private static ProviderAnswer Reject(ApnsRejection rejection, string messageId, DateTimeOffset now) =>
        new()
        {
            Status = rejection.Status,
            Outcome = rejection.Reason,
            MessageId = messageId,
            Body = rejection.Status == StatusCodes.Status410Gone ? ApnsRejection.UnregisteredSince(now) : rejection.Body,
        };
}
