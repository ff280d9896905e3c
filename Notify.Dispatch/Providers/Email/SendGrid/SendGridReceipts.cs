namespace Notify.Dispatch.Providers.Email.SendGrid;

using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Notify.Dispatch.Receipts;
using Notify.Domain.Notifications;

/// <summary>SendGrid's event webhook: a list of events in one post.</summary>
/// <remarks>SendGrid: Event webhook reference. Its ID of the message is the answer's <c>X-Message-Id</c>, and more after a dot.</remarks>
public sealed class SendGridReceipts : IReceiptSource
{
    private readonly ConcurrentDictionary<string, SendGridSignature?> keys = new(StringComparer.Ordinal);

    /// <inheritdoc />
    public string Name => "sendgrid";

    /// <inheritdoc />
    public string KeySetting => nameof(SendGridOptions.WebhookPublicKey);

    /// <inheritdoc />
    public ValueTask<bool> IsValidAsync(IConfigurationSection settings, ReceiptPost post, DateTimeOffset now) =>
        ValueTask.FromResult(
            post.Method == HttpMethod.Post
                && keys.GetOrAdd(settings[KeySetting]!, SendGridSignature.From) is { } key
                && key.IsValid(
                    post.Header("X-Twilio-Email-Event-Webhook-Timestamp"),
                    post.Body,
                    post.Header("X-Twilio-Email-Event-Webhook-Signature"),
                    now
                )
        );

    /// <inheritdoc />
    public ReadReceipts Read(ReceiptPost post)
    {
        try
        {
            using var json = ProviderJson.Parse(post.Body);
            if (json.RootElement.ValueKind != JsonValueKind.Array)
                return ReadReceipts.Malformed("the body must be a JSON list of events");
            if (json.RootElement.GetArrayLength() > ReadReceipts.Max)
                return ReadReceipts.TooMany;
            var receipts = new List<Receipt>(json.RootElement.GetArrayLength());
            foreach (var item in json.RootElement.EnumerateArray())
            {
                if (item.ValueKind != JsonValueKind.Object)
                    return ReadReceipts.Malformed("an event is no JSON object");
                if (Text(item, "event") is not { } name)
                    return ReadReceipts.Malformed("an event has no name in \"event\"");
                if (Text(item, "sg_event_id") is not { Length: > 0 } id)
                    return ReadReceipts.Malformed("an event has no sg_event_id");
                receipts.Add(Of(item, name, id));
            }

            return receipts.Exists(r => r.Raw.Length > ReceiptEndpoints.MaxBytesOfOne)
                ? ReadReceipts.Malformed("an event is too large")
                : new(receipts);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException) // the latter: half a surrogate pair
        {
            return ReadReceipts.Malformed("the body is not JSON");
        }
    }

    /// <summary>Maps an event to a report.</summary>
    /// <param name="type">Of a bounce: <c>bounce</c>, or <c>blocked</c>, which does not concern the mailbox.</param>
    /// <param name="reason">Of a drop: the reason why SendGrid did not try.</param>
    /// <param name="isMachine">Of an opening: whether a mail program fetched the picture without a person.</param>
    public static (ReportKind What, string? Reason, string? Suppress) Meaning(
        string name,
        string? type = null,
        string? reason = null,
        bool isMachine = false
    ) =>
        name switch
        {
            "processed" => (ReportKind.Accepted, null, null),
            "delivered" => (ReportKind.Delivered, null, null),
            "bounce" => type == "blocked"
                ? (ReportKind.Failed, Reasons.Undelivered, null)
                : (ReportKind.Failed, Reasons.HardBounced, Reasons.HardBounced),
            "dropped" => reason switch
            {
                "Bounced Address" => (ReportKind.Failed, Reasons.HardBounced, Reasons.HardBounced),
                "Spam Reporting Address" => (ReportKind.Failed, Reasons.Complained, Reasons.Complained),
                "Unsubscribed Address" => (ReportKind.Failed, Reasons.OptedOutAtProvider, Reasons.OptedOutAtProvider),
                "Invalid" => (ReportKind.Failed, Reasons.BadAddress, null),
                _ => (ReportKind.Failed, Reasons.Rejected, null),
            },
            "open" => isMachine ? (ReportKind.Delivered, null, null) : (ReportKind.Opened, null, null),
            "spamreport" => (ReportKind.Complained, null, Reasons.Complained),
            "unsubscribe" => (ReportKind.Unsubscribed, null, Reasons.OptedOutAtProvider),
            "group_unsubscribe" => (ReportKind.Unsubscribed, null, null), // from one of the account's groups, not from all
            // deferred is tried again by SendGrid; clicks come over links of our own.
            _ => (ReportKind.Ignored, null, null),
        };

    private static Receipt Of(JsonElement item, string name, string id)
    {
        var (type, why) = (Text(item, "type"), Text(item, "reason"));
        var (what, reason, suppress) = Meaning(
            name,
            type,
            why,
            item.TryGetProperty("sg_machine_open", out var machine) && machine.ValueKind == JsonValueKind.True
        );
        var message = Text(item, "sg_message_id");
        var code = name switch
        {
            "bounce" => Text(item, "status") ?? type,
            "dropped" => why?.Replace(' ', '-'),
            _ => null,
        };
        return new Receipt(
            Receipt.Id(id),
            what,
            Encoding.UTF8.GetBytes(item.GetRawText()),
            TimeOf(item),
            message is null ? null : Receipt.Id(message.Split('.')[0]),
            Guid.TryParse(Text(item, SendGridMail.DeliveryArgument), out var delivery) ? delivery : null,
            reason,
            what == ReportKind.Failed ? Receipt.CodeOf(code) : null,
            suppress,
            Address: Text(item, "email")
        );
    }

    private static DateTimeOffset? TimeOf(JsonElement item) =>
        item.TryGetProperty("timestamp", out var time) switch
        {
            true when time.ValueKind == JsonValueKind.Number && time.TryGetDouble(out var seconds) => Receipt.Time(seconds),
            true
                when time.ValueKind == JsonValueKind.String
                    && double.TryParse(time.GetString(), NumberStyles.Float, CultureInfo.InvariantCulture, out var seconds) => Receipt.Time(
                seconds
            ),
            _ => null,
        };

    private static string? Text(JsonElement element, string name) =>
        element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
}
