namespace Notify.Sandbox.SendGrid;

using System.Buffers.Text;
using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;
using Notify.Sandbox.Keys;
using Notify.Sandbox.Knobs;
using Notify.Sandbox.Ledger;
using Notify.Sandbox.Magic;
using Notify.Sandbox.Providers;
using Notify.Sandbox.Receipts;

/// <summary>Plays SendGrid's Mail Send (API v3). The account's one sender identity is the domain of its address.</summary>
public sealed class SendGridServer(
    SendGridDialect dialect,
    MagicAddresses magic,
    SendGridEvents events,
    SandboxKeys keys,
    RequestLedger ledger,
    KnobBoard board,
    TimeProvider time
) : ProviderServer(dialect, ledger, board, time)
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
        response.Headers["X-RateLimit-Reset"] = (_time.GetUtcNow().ToUnixTimeSeconds() + (answer.RetryAfterSeconds ?? 60)).ToString(
            CultureInfo.InvariantCulture
        );
    }

    private ProviderAnswer Judge(JsonElement mail, ProviderRequest request)
    {
        var (errors, from) = SendGridRules.Check(mail, request.ReceivedAt);
        if (errors.Count > 0)
            return SendGridError.ToAnswer(400, errors);
        if (!from!.EndsWith(_ownDomain, StringComparison.OrdinalIgnoreCase))
            return SendGridError.ToAnswer(403, SendGridError.UnverifiedSender);
        if (request.Fault is { } fault)
            return SendGridError.ToAnswer(fault.Status, SendGridError.ForStatus(fault.Status)) with
            {
                RetryAfterSeconds = fault.RetryAfterSeconds,
            };

        var messageId = NewMessageId();
        var recipients = SendGridMail.Recipients(mail).ToList();
        return Refuse(recipients)
            ?? new ProviderAnswer
            {
                Status =
                    Any(recipients, Fate.Unknown) || recipients.Exists(r => MagicAddresses.WordOf(r.Email) == MagicAddresses.Unanswered)
                        ? 0
                        : StatusCodes.Status202Accepted,
                Delay = Any(recipients, Fate.Slow) ? Fates.SlowAnswer : TimeSpan.Zero,
                Outcome = ProviderAnswer.Accepted,
                MessageId = messageId,
                Afterwards = Follow(messageId, recipients, request.Receipts),
            };
    }

    /// <inheritdoc/>
    protected override IReadOnlyList<byte[]>? Split(HttpRequest request, ReadOnlySpan<byte> body) => SendGridMail.Split(body);

    // One recipient's fate is that of the whole request: SendGrid takes all of it or none.
    private ProviderAnswer? Refuse(IEnumerable<SendGridRecipient> recipients)
    {
        foreach (var (email, field, subject, _) in recipients)
        {
            switch (MagicAddresses.WordOf(email))
            {
                case MagicAddresses.Invalid or "failed":
                    return SendGridError.ToAnswer(400, new SendGridError($"{field}.email", "Does not contain a valid address."));
                case MagicAddresses.Failing:
                    return SendGridError.ToAnswer(500, SendGridError.ForStatus(500));
                case MagicAddresses.Unavailable when magic.IsStillUnavailable(email, subject):
                    return SendGridError.ToAnswer(503, SendGridError.ForStatus(503));
                case MagicAddresses.Dropped:
                    return new ProviderAnswer { Outcome = "aborted" };
            }
        }

        return null;
    }

    private static bool Any(IEnumerable<SendGridRecipient> recipients, Fate fate) =>
        recipients.Any(r => MagicAddresses.FateOf(r.Email) == fate);

    private Action? Follow(string messageId, List<SendGridRecipient> recipients, ReceiptKnob receipts)
    {
        if (!events.HasWebhook)
            return null;
        var followed = recipients
            .Select(r => (Recipient: r, Knob: Journeys.KnobFor(receipts, MagicAddresses.FateOf(r.Email))))
            .Where(r => r.Knob is not null)
            .ToList();
        return followed.Count == 0
            ? null
            : () =>
            {
                foreach (var (recipient, knob) in followed)
                    events.Begin(messageId, recipient, knob!.Value);
            };
    }

    private static bool IsJson(string? contentType) =>
        contentType is not null && contentType.Split(';')[0].Trim().Equals("application/json", StringComparison.OrdinalIgnoreCase);

    /// <summary>22 characters, as SendGrid's.</summary>
    private static string NewMessageId() => Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(16));
}
