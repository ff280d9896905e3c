namespace Notify.Dispatch.Providers.Email.Mailchimp;

using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Notify.Dispatch.Receipts;
using Notify.Domain.Notifications;

/// <summary>Mailchimp Transactional's webhooks: a form with a JSON list of up to a thousand events.</summary>
/// <remarks>Mailchimp Transactional: Message event webhook format; Authenticating webhook requests.</remarks>
public sealed class MailchimpReceipts : IReceiptSource
{
    /// <inheritdoc />
    public string Name => "mailchimp";

    /// <inheritdoc />
    public string KeySetting => nameof(MailchimpOptions.WebhookKey);

    /// <inheritdoc />
    public ValueTask<bool> IsValidAsync(IConfigurationSection settings, ReceiptPost post, DateTimeOffset now) =>
        ValueTask.FromResult(
            post.Method == HttpMethod.Post
                && post.IsForm
                && post.Urls.Any(url =>
                    MailchimpSignature.IsValid(settings[KeySetting]!, url, post.Body, post.Header("X-Mandrill-Signature"))
                )
        );

    /// <inheritdoc />
    public bool IsTrial(ReceiptPost post) =>
        post.Method == HttpMethod.Post
        && post.IsForm
        && post.Urls.Any(url => MailchimpSignature.IsTrial(url, post.Body, post.Header("X-Mandrill-Signature")));

    /// <inheritdoc />
    public ReadReceipts Read(ReceiptPost post)
    {
        if (!post.Form().TryGetValue("mandrill_events", out var events))
            return ReadReceipts.Malformed("the form has no field mandrill_events");
        try
        {
            using var json = JsonDocument.Parse(events);
            if (json.RootElement.ValueKind != JsonValueKind.Array)
                return ReadReceipts.Malformed("mandrill_events must be a JSON list");
            if (json.RootElement.GetArrayLength() > ReadReceipts.Max)
                return ReadReceipts.TooMany;
            var receipts = new List<Receipt>(json.RootElement.GetArrayLength());
            foreach (var item in json.RootElement.EnumerateArray())
            {
                if (item.ValueKind != JsonValueKind.Object)
                    return ReadReceipts.Malformed("an event is no JSON object");
                receipts.Add(Of(item));
            }

            return receipts.Exists(r => r.Raw.Length > ReceiptEndpoints.MaxBytesOfOne)
                ? ReadReceipts.Malformed("an event is too large")
                : new(receipts);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException) // the latter: half a surrogate pair
        {
            return ReadReceipts.Malformed("mandrill_events is not JSON");
        }
    }

    /// <summary>Maps an event to a report.</summary>
    /// <param name="rejected">The reason of a rejection.</param>
    public static (ReportKind What, string? Reason, string? Suppress) Meaning(string name, string? rejected = null) =>
        name switch
        {
            "send" => (ReportKind.Accepted, null, null),
            "delivered" => (ReportKind.Delivered, null, null),
            "hard_bounce" => (ReportKind.Failed, Reasons.HardBounced, Reasons.HardBounced),
            "soft_bounce" => (ReportKind.Failed, Reasons.Undelivered, null),
            "reject" => MailchimpStatus.OfRecipient("rejected", rejected, null) is AttemptOutcome.Rejected r
                ? (ReportKind.Failed, r.Reason, r.Verdict == AddressVerdict.Suppress ? r.Reason : null)
                : (ReportKind.Failed, Reasons.Rejected, null),
            "open" => (ReportKind.Opened, null, null),
            "spam" => (ReportKind.Complained, null, Reasons.Complained),
            "unsub" => (ReportKind.Unsubscribed, null, Reasons.OptedOutAtProvider),
            // deferral is tried again by Mailchimp; clicks come over links of our own; the account's lists and inbound mail are no
            // receipts.
            _ => (ReportKind.Ignored, null, null),
        };

    private static Receipt Of(JsonElement item)
    {
        var name = Text(item, "event") ?? Text(item, "type") ?? "";
        var raw = Encoding.UTF8.GetBytes(item.GetRawText());
        double? seconds =
            item.TryGetProperty("ts", out var ts) && ts.ValueKind == JsonValueKind.Number && ts.TryGetDouble(out var at) ? at : null;
        var time = seconds is { } s ? Receipt.Time(s) : null;
        if (!item.TryGetProperty("msg", out var msg) || msg.ValueKind != JsonValueKind.Object)
            return new Receipt(Receipt.Id($"{name}:{Hash(raw)}"), ReportKind.Ignored, raw, time);

        // The event's ID, which Mailchimp gives the message as well.
        var id = Text(item, "_id") ?? Text(msg, "_id") ?? Hash(raw);
        var rejected =
            msg.TryGetProperty("reject", out var reject) && reject.ValueKind == JsonValueKind.Object
                ? Text(reject, "reason")
                : Text(msg, "reject") ?? Text(item, "reject_reason");
        var (what, reason, suppress) = Meaning(name, rejected);
        var code = name == "reject" ? rejected : Text(msg, "bounce_description") ?? name;
        var delivery =
            msg.TryGetProperty("metadata", out var metadata) && metadata.ValueKind == JsonValueKind.Object
                ? Text(metadata, MailchimpProvider.DeliveryField)
                : null;
        return new Receipt(
            Receipt.Id(string.Create(CultureInfo.InvariantCulture, $"{id}:{name}:{seconds ?? 0}")),
            what,
            raw,
            time,
            Text(msg, "_id") is { Length: > 0 } message ? Receipt.Id(message) : null,
            Guid.TryParse(delivery, out var ours) ? ours : null,
            reason,
            what == ReportKind.Failed ? Receipt.CodeOf(code) : null,
            suppress,
            Address: Text(msg, "email")
        );
    }

    // An event without an ID is identified by the hash of its content, which reveals nothing of it.
    private static string Hash(byte[] raw) => Convert.ToHexStringLower(SHA256.HashData(raw));

    private static string? Text(JsonElement element, string name) =>
        element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
}
