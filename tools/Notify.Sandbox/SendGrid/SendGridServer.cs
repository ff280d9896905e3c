using System.Buffers.Text;
using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;
using Notify.Sandbox.Keys;
using Notify.Sandbox.Knobs;
using Notify.Sandbox.Ledger;
using Notify.Sandbox.Providers;

namespace Notify.Sandbox.SendGrid;

/// <summary>Plays SendGrid's Mail Send (API v3). The account's one sender identity is the domain of its address.</summary>
public sealed class SendGridServer(
    SendGridDialect dialect, SendGridMagicAddresses magic, SandboxKeys keys, RequestLedger ledger, KnobBoard board, TimeProvider time)
    : ProviderServer(dialect, ledger, board, time)
{
    internal const string SendPath = "/v3/mail/send";

    private readonly TimeProvider _time = time;
    private readonly string _authorization = "Bearer " + keys.Identity.SendGridApiKey;
    private readonly string _ownDomain = keys.Identity.SendGridFrom[keys.Identity.SendGridFrom.IndexOf('@')..];

    /// <inheritdoc/>
    protected override int MaximumBody => SendGridRules.MaximumBody;

    /// <inheritdoc/>
    protected override ProviderAnswer Answer(ProviderRequest request)
    {
        var http = request.Http;
        if (http.Path.Value != SendPath)
            return SendGridError.ToAnswer(404, SendGridError.NotFound);
        if (http.Headers.Authorization != _authorization)
            return SendGridError.ToAnswer(401, SendGridError.Unauthenticated);
        if (!HttpMethods.IsPost(http.Method))
            return SendGridError.ToAnswer(405, SendGridError.MethodNotAllowed);
        if (!IsJson(http.ContentType))
            return SendGridError.ToAnswer(415, SendGridError.UnsupportedMediaType);
        if (request.Body.Length > SendGridRules.MaximumBody)
            return SendGridError.ToAnswer(413, SendGridError.TooLarge);

        try
        {
            var reader = new Utf8JsonReader(request.Body);
            using var mail = JsonDocument.ParseValue(ref reader);
            return Judge(mail.RootElement, request);
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException) // the latter: half a surrogate pair
        {
            return SendGridError.ToAnswer(400, SendGridError.BadRequest);
        }
    }

    /// <inheritdoc/>
    protected override void WriteHeaders(HttpResponse response, ProviderAnswer answer)
    {
        if (answer.MessageId is not null)
            response.Headers["X-Message-Id"] = answer.MessageId;
        if (answer.Status != StatusCodes.Status429TooManyRequests)
            return;

        // SendGrid names the time at which the limit is reset, and no Retry-After.
        response.Headers.RetryAfter = default;
        response.Headers["X-RateLimit-Limit"] = "600";
        response.Headers["X-RateLimit-Remaining"] = "0";
        response.Headers["X-RateLimit-Reset"] = (_time.GetUtcNow().ToUnixTimeSeconds() + (answer.RetryAfterSeconds ?? 60)).ToString(CultureInfo.InvariantCulture);
    }

    private ProviderAnswer Judge(JsonElement mail, ProviderRequest request)
    {
        var (errors, from) = SendGridRules.Check(mail, request.ReceivedAt);
        if (errors.Count > 0)
            return SendGridError.ToAnswer(400, errors);
        if (!from!.EndsWith(_ownDomain, StringComparison.OrdinalIgnoreCase))
            return SendGridError.ToAnswer(403, SendGridError.UnverifiedSender);
        if (request.Fault is { } fault)
            return SendGridError.ToAnswer(fault.Status, SendGridError.ForStatus(fault.Status)) with { RetryAfterSeconds = fault.RetryAfterSeconds };

        // A mail to many shares the fate of its first recipient.
        var to = SendGridDialect.RecipientsOf(mail).First();
        var accepted = new ProviderAnswer { Status = StatusCodes.Status202Accepted, Outcome = ProviderAnswer.Accepted, MessageId = NewMessageId() };
        return SendGridMagicAddresses.FateOf(to) switch
        {
            SendGridMagicAddresses.Invalid => SendGridError.ToAnswer(400, new SendGridError("personalizations.0.to.0.email", "Does not contain a valid address.")),
            SendGridMagicAddresses.Failing => SendGridError.ToAnswer(500, SendGridError.ForStatus(500)),
            SendGridMagicAddresses.Unavailable when magic.IsStillUnavailable(to, SendGridDialect.SubjectOf(mail)) => SendGridError.ToAnswer(503, SendGridError.ForStatus(503)),
            SendGridMagicAddresses.Dropped => new ProviderAnswer { Outcome = "aborted" },
            SendGridMagicAddresses.Unanswered => accepted with { Status = 0 },
            _ => accepted,
        };
    }

    private static bool IsJson(string? contentType) =>
        contentType is not null && contentType.Split(';')[0].Trim().Equals("application/json", StringComparison.OrdinalIgnoreCase);

    /// <summary>22 characters, as SendGrid's.</summary>
    private static string NewMessageId() => Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(16));
}
