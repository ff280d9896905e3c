namespace Notify.Dispatch.Providers.Sms.Twilio;

using Notify.Dispatch.Receipts;
using Notify.Domain.Notifications;

/// <summary>Twilio's status callbacks, and the messages that people send back.</summary>
/// <remarks>Twilio: Track the message status of outbound messages; Twilio's request to your webhook; Error and warning
/// dictionary.</remarks>
public sealed class TwilioReceipts : IReceiptSource
{
    /// <summary>The query's field that brings the delivery's ID back.</summary>
    public const string DeliveryField = "d";

    /// <inheritdoc />
    public string Name => "twilio";

    /// <inheritdoc />
    public string KeySetting => nameof(TwilioOptions.AuthToken);

    /// <inheritdoc />
    public int MaxBytes => ReceiptEndpoints.MaxBytesOfOne;

    /// <summary>Where Twilio is to post what becomes of a delivery; the signature covers the whole of it.</summary>
    public static string Callback(Uri receiptsUrl, Guid delivery) =>
        $"{receiptsUrl.AbsoluteUri.TrimEnd('/')}/receipts/twilio?{DeliveryField}={delivery:N}";

    /// <inheritdoc />
    public ValueTask<bool> IsValidAsync(IConfigurationSection settings, ReceiptPost post, DateTimeOffset now) =>
        ValueTask.FromResult(
            post.Method == HttpMethod.Post
                && post.Urls.Any(url =>
                    Uri.TryCreate(url, UriKind.Absolute, out var address)
                    && TwilioSignature.IsValid(settings[KeySetting]!, address, post.IsForm, post.Body, post.Header("X-Twilio-Signature"))
                )
        );

    /// <inheritdoc />
    public ReadReceipts Read(ReceiptPost post)
    {
        if (!post.IsForm)
            return ReadReceipts.Malformed("the body must be a form, application/x-www-form-urlencoded");
        var form = post.Form();
        var sid = form.GetValueOrDefault("MessageSid") ?? form.GetValueOrDefault("SmsSid");
        if (string.IsNullOrEmpty(sid))
            return ReadReceipts.Malformed("MessageSid is missing");
        var status = form.GetValueOrDefault("MessageStatus") ?? form.GetValueOrDefault("SmsStatus");
        if (form.ContainsKey("Body") && status is null or "received" or "receiving")
            return new([Inbound(post, form, sid)]);
        if (string.IsNullOrEmpty(status))
            return ReadReceipts.Malformed("MessageStatus is missing");

        var code = form.GetValueOrDefault("ErrorCode") is { Length: > 0 } error and not "0" ? error : null;
        var (what, reason, suppress) = Meaning(status, code);
        return new([
            new Receipt(
                Receipt.Id(code is null ? $"{sid}:{status}" : $"{sid}:{status}:{code}"),
                what,
                post.Body,
                null,
                Receipt.Id(sid),
                Guid.TryParse(post.Query[DeliveryField], out var delivery) ? delivery : null,
                reason,
                what == ReportKind.Failed ? Receipt.CodeOf(code ?? status) : null,
                suppress,
                Address: form.GetValueOrDefault("To")
            ),
        ]);
    }

    /// <summary>Maps a <c>MessageStatus</c> and its <c>ErrorCode</c> to a report.</summary>
    public static (ReportKind What, string? Reason, string? Suppress) Meaning(string status, string? code) =>
        status switch
        {
            "accepted" or "scheduled" or "queued" or "sending" or "sent" => (ReportKind.Accepted, null, null),
            "delivered" => (ReportKind.Delivered, null, null),
            "read" => (ReportKind.Opened, null, null),
            "failed" or "undelivered" or "canceled" => code switch
            {
                "21610" => (ReportKind.Failed, Reasons.OptedOutAtProvider, Reasons.OptedOutAtProvider),
                // No such number, or none that takes SMS.
                "21211" or "21614" or "21635" or "30005" or "30006" => (ReportKind.Failed, Reasons.BadAddress, null),
                "21408" => (ReportKind.Failed, Reasons.CountryNotEnabled, null), // a messaging service is asked for numbers later
                // Filtered, or against a rule of the carrier's: the message, not the number.
                "30007" or "30019" or "30034" => (ReportKind.Failed, Reasons.Rejected, null),
                _ => (ReportKind.Failed, Reasons.Undelivered, null),
            },
            _ => (ReportKind.Ignored, null, null),
        };

    private static Receipt Inbound(ReceiptPost post, Dictionary<string, string> form, string sid)
    {
        var (suppress, lift) = StopWords.Read(form["Body"], form.GetValueOrDefault("OptOutType"), isYesStart: true);
        return new Receipt(
            Receipt.Id($"{sid}:received"),
            ReportKind.Inbound,
            post.Body,
            null,
            Receipt.Id(sid),
            Suppress: suppress,
            Lift: lift,
            Address: form.GetValueOrDefault("From")
        );
    }
}
