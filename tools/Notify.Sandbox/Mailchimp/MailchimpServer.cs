namespace Notify.Sandbox.Mailchimp;

using System.Security.Cryptography;
using System.Text.Json;
using Notify.Sandbox.Keys;
using Notify.Sandbox.Knobs;
using Notify.Sandbox.Ledger;
using Notify.Sandbox.Magic;
using Notify.Sandbox.Providers;
using Notify.Sandbox.Receipts;

/// <summary>Plays Mailchimp Transactional's <c>messages/send</c>, versions 1.0 to 1.4. The account's one verified domain is that of its
/// address.</summary>
public sealed class MailchimpServer(
    MailchimpDialect dialect,
    MagicAddresses magic,
    MailchimpEvents events,
    SandboxKeys keys,
    RequestLedger ledger,
    KnobBoard board,
    TimeProvider time
) : ProviderServer(dialect, ledger, board, time)
{
    internal const string Root = "/api/";
    private const string Latest = "1.4";

    // From more recipients on, everything is sent in the background.
    private const int MaximumAtOnce = 10;

    private readonly string _ownDomain = keys.Identity.MailchimpFrom[keys.Identity.MailchimpFrom.IndexOf('@')..];

    /// <inheritdoc/>
    protected override int MaximumBody => MailchimpRules.MaximumBody;

    /// <inheritdoc/>
    protected override byte[]? Open(HttpRequest request, ReadOnlySpan<byte> body) => Secrets.InJson(body, "key");

    /// <inheritdoc/>
    protected override IReadOnlyList<byte[]>? Split(HttpRequest request, ReadOnlySpan<byte> body) => MailchimpMail.Split(body);

    /// <inheritdoc/>
    protected override ProviderAnswer Answer(ProviderRequest request)
    {
        if (
            request.Http.Path.Value?.Split('/')
                is not ["", "api", "1.0" or "1.1" or "1.2" or "1.3" or Latest, "messages", "send" or "send.json"] path
            || !HttpMethods.IsPost(request.Http.Method)
        )
            return MailchimpError.UnknownMethod.ToAnswer();
        if (request.Body.Length > MailchimpRules.MaximumBody)
            return MailchimpError.TooLarge.ToAnswer();

        try
        {
            var reader = new Utf8JsonReader(request.Body);
            using var document = JsonDocument.ParseValue(ref reader);
            if (
                document.RootElement.ValueKind != JsonValueKind.Object
                || MailchimpRules.Text(document.RootElement, "key") != keys.Identity.MailchimpApiKey
            )
                return MailchimpError.BadKey(isNew: path[2] == Latest).ToAnswer();
            return Judge(document.RootElement, request);
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException) // the latter: half a surrogate pair
        {
            return MailchimpError.Invalid("body", "You must specify a key value").ToAnswer();
        }
    }

    private ProviderAnswer Judge(JsonElement body, ProviderRequest request)
    {
        if (MailchimpRules.Check(body) is { } error)
            return error.ToAnswer();
        var message = body.GetProperty("message");
        if (MailchimpRules.Text(message, "subaccount") is { } subaccount)
            return MailchimpError.UnknownSubaccount(subaccount).ToAnswer();
        if (request.Fault is { } fault)
            return MailchimpError.ForStatus(fault.Status).ToAnswer() with { RetryAfterSeconds = fault.RetryAfterSeconds };

        var subject = MailchimpRules.Text(message, "subject");
        var to = MailchimpMail.To(body).ToList();
        if (Refuse(to, subject) is { } refused)
            return refused;

        var (isLater, isScheduled) = (IsLater(body, to.Count), IsScheduled(body, request.ReceivedAt));
        var results = to.ConvertAll(email => Result(email, message, isLater, isScheduled));
        return new ProviderAnswer
        {
            Status = to.Exists(email => MagicAddresses.WordOf(email) is MagicAddresses.Unanswered or "unknown")
                ? 0
                : StatusCodes.Status200OK,
            Delay = to.Exists(email => MagicAddresses.FateOf(email) == Fate.Slow) ? Fates.SlowAnswer : TimeSpan.Zero,
            Outcome = results[0].Outcome,
            MessageId = results[0].Id,
            Parts = [.. results.Select(result => ((string?)result.Id, result.Outcome))],
            Body = JsonSerializer.SerializeToUtf8Bytes(results.Select(result => result.ToJson())),
            Afterwards = Follow(results, message, request.Receipts),
        };
    }

    private ProviderAnswer? Refuse(IEnumerable<string> to, string? subject)
    {
        foreach (var email in to)
        {
            switch (MagicAddresses.WordOf(email))
            {
                case MagicAddresses.Failing:
                    return MailchimpError.ForStatus(500).ToAnswer();
                case MagicAddresses.Unavailable when magic.IsStillUnavailable(email, subject):
                    return MailchimpError.ForStatus(503).ToAnswer();
                case MagicAddresses.Dropped:
                    return new ProviderAnswer { Outcome = "aborted" };
            }
        }

        return null;
    }

    private RecipientResult Result(string email, JsonElement message, bool isLater, bool isScheduled)
    {
        var (status, rejected) = MagicAddresses.WordOf(email) switch
        {
            _ when !MailchimpRules.Text(message, "from_email")!.EndsWith(_ownDomain, StringComparison.OrdinalIgnoreCase) => (
                "rejected",
                "unsigned"
            ),
            MagicAddresses.Invalid => ("invalid", null),
            _ when !MailAddress.IsDeliverable(email) => ("invalid", null),
            "failed" => ("rejected", "rule"),
            _ => (
                isScheduled ? "scheduled"
                : isLater ? "queued"
                : "sent",
                (string?)null
            ),
        };
        return new RecipientResult(
            RandomNumberGenerator.GetHexString(32, lowercase: true),
            email,
            status,
            rejected,
            status == "queued" ? "multiple-recipients" : null
        );
    }

    private Action? Follow(List<RecipientResult> results, JsonElement message, ReceiptKnob receipts)
    {
        if (!events.HasWebhook)
            return null;
        var (sender, subject) = (MailchimpRules.Text(message, "from_email")!, MailchimpRules.Text(message, "subject"));
        var tags =
            message.TryGetProperty("tags", out var list) && list.ValueKind == JsonValueKind.Array
                ? list.EnumerateArray().Select(tag => tag.ToString()).ToList()
                : [];
        var followed = results
            .Where(result => result.Status is "sent" or "queued")
            .Select(result =>
                (
                    Message: new MailchimpMessage(
                        result.Id,
                        result.Email,
                        sender,
                        subject,
                        tags,
                        MailchimpMail.MetadataFor(message, result.Email)
                    ),
                    Knob: Journeys.KnobFor(receipts, MagicAddresses.FateOf(result.Email))
                )
            )
            .Where(one => one.Knob is not null)
            .ToList();
        return followed.Count == 0
            ? null
            : () =>
            {
                foreach (var (one, knob) in followed)
                    events.Begin(one, knob!.Value);
            };
    }

    private static bool IsLater(JsonElement body, int recipients) =>
        recipients > MaximumAtOnce || (body.TryGetProperty("async", out var later) && later.ValueKind == JsonValueKind.True);

    private static bool IsScheduled(JsonElement body, DateTimeOffset now) =>
        DateTime.TryParse(MailchimpRules.Text(body, "send_at"), System.Globalization.CultureInfo.InvariantCulture, out var at)
        && at > now.UtcDateTime;

    private sealed record RecipientResult(string Id, string Email, string Status, string? RejectReason, string? QueuedReason)
    {
        public string Outcome => RejectReason ?? (Status == "invalid" ? Status : ProviderAnswer.Accepted);

        public Dictionary<string, string?> ToJson() =>
            new()
            {
                ["email"] = Email,
                ["status"] = Status,
                ["_id"] = Id,
                ["reject_reason"] = RejectReason,
                ["queued_reason"] = QueuedReason,
            };
    }
}
