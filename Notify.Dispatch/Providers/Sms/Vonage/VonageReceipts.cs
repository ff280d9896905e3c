namespace Notify.Dispatch.Providers.Sms.Vonage;

using System.Text;
using System.Text.Json;
using Notify.Dispatch.Receipts;
using Notify.Domain.Notifications;

/// <summary>Vonage's delivery receipts and inbound messages: of the SMS API, by GET or POST, and of the Messages API.</summary>
/// <remarks>Vonage: SMS API, Delivery receipts and Inbound SMS; SMS delivery error codes; Messages API, webhooks.</remarks>
public sealed class VonageReceipts : IReceiptSource
{
    /// <inheritdoc />
    public string Name => "vonage";

    /// <inheritdoc />
    public bool MayGet => true;

    /// <inheritdoc />
    public string KeySetting => nameof(VonageOptions.SignatureSecret);

    /// <inheritdoc />
    public int MaxBytes => ReceiptEndpoints.MaxBytesOfOne;

    /// <summary>Where Vonage is to post what becomes of a delivery; <c>client-ref</c> brings its ID back.</summary>
    public static string Callback(Uri receiptsUrl) => $"{receiptsUrl.AbsoluteUri.TrimEnd('/')}/receipts/vonage";

    /// <summary>The longest address that Vonage takes with an SMS, in characters (SMS API, <c>callback</c>).</summary>
    public const int MaxCallback = 100;

    /// <inheritdoc />
    public async ValueTask<bool> IsValidAsync(IConfigurationSection settings, ReceiptPost post, DateTimeOffset now)
    {
        var secret = settings[KeySetting]!;
        if (post.Method == HttpMethod.Post && !post.IsForm && post.Headers.Authorization.Count > 0)
            return await VonageSignature.IsValidTokenAsync(secret, post.Header("Authorization"), post.Body, now);
        return Fields(post) is { } fields
            && VonageSignature.IsValid(
                secret,
                settings[nameof(VonageOptions.SignatureMethod)] ?? new VonageOptions().SignatureMethod,
                fields,
                now
            );
    }

    /// <inheritdoc />
    public ReadReceipts Read(ReceiptPost post)
    {
        if (Fields(post) is not { } named)
            return ReadReceipts.Malformed("the body must be a form, or a JSON object of texts and numbers");
        var fields = ReceiptPost.Fields(named);
        var raw = post.Method == HttpMethod.Get ? Encoding.UTF8.GetBytes(post.QueryString) : post.Body;
        var messages = fields.GetValueOrDefault("message_uuid");
        var id = messages ?? fields.GetValueOrDefault("messageId");
        if (string.IsNullOrEmpty(id))
            return ReadReceipts.Malformed("messageId is missing");
        if (!fields.TryGetValue("status", out var status))
        {
            if (!fields.ContainsKey("text") && !fields.ContainsKey("type") && !fields.ContainsKey("message_type"))
                return ReadReceipts.Malformed("status is missing");
            var (suppress, lift) = StopWords.Read(fields.GetValueOrDefault("text"));
            return new([
                new Receipt(
                    Receipt.Id($"{id}:inbound"),
                    ReportKind.Inbound,
                    raw,
                    null,
                    Receipt.Id(id),
                    Suppress: suppress,
                    Lift: lift,
                    Address: Number(fields.GetValueOrDefault(messages is null ? "msisdn" : "from"))
                ),
            ]);
        }

        var code = fields.GetValueOrDefault("err-code") is { Length: > 0 } error ? error : null;
        var (what, reason, barred) = Meaning(status, code);
        return new([
            new Receipt(
                Receipt.Id(code is null ? $"{id}:{status}" : $"{id}:{status}:{code}"),
                what,
                raw,
                null,
                Receipt.Id(id),
                Guid.TryParse(fields.GetValueOrDefault("client-ref") ?? fields.GetValueOrDefault("client_ref"), out var delivery)
                    ? delivery
                    : null,
                reason,
                what == ReportKind.Failed ? Receipt.CodeOf(code ?? status) : null,
                barred,
                Address: Number(fields.GetValueOrDefault(messages is null ? "msisdn" : "to"))
            ),
        ]);
    }

    /// <summary>Maps a <c>status</c> and its <c>err-code</c> to a report.</summary>
    public static (ReportKind What, string? Reason, string? Suppress) Meaning(string status, string? code) =>
        status switch
        {
            "delivered" => (ReportKind.Delivered, null, null),
            "accepted" or "buffered" or "submitted" => (ReportKind.Accepted, null, null),
            "read" => (ReportKind.Opened, null, null),
            "failed" or "rejected" or "expired" or "undeliverable" => code switch
            {
                // A number that is no longer active, and one whose owner has had it barred: Vonage asks to use neither again.
                "3" => (ReportKind.Failed, Reasons.BadAddress, Reasons.BadAddress),
                "4" or "9" => (ReportKind.Failed, Reasons.OptedOutAtProvider, Reasons.OptedOutAtProvider),
                "12" => (ReportKind.Failed, Reasons.BadAddress, null),
                // The message or its sender, not the number.
                "6" or "10" or "39" or "50" or "51" or "52" or "53" or "54" => (ReportKind.Failed, Reasons.Rejected, null),
                _ => (ReportKind.Failed, Reasons.Undelivered, null),
            },
            _ => (ReportKind.Ignored, null, null), // unknown: the network does not tell
        };

    private static string? Number(string? digits) => digits is null ? null : $"+{digits.TrimStart('+')}";

    private static IReadOnlyList<KeyValuePair<string, string>>? Fields(ReceiptPost post)
    {
        if (post.Method == HttpMethod.Get)
            return Signatures.Form(Encoding.UTF8.GetBytes(post.QueryString.TrimStart('?')));
        if (post.IsForm)
            return Signatures.Form(post.Body);
        try
        {
            using var json = ProviderJson.Parse(post.Body);
            if (json.RootElement.ValueKind != JsonValueKind.Object || json.RootElement.EnumerateObject().Count() > Signatures.MaxFields)
                return null;
            // Nested objects occur only in the Messages API's, which signs the body as a whole.
            return
            [
                .. json
                    .RootElement.EnumerateObject()
                    .Where(p => p.Value.ValueKind is not (JsonValueKind.Object or JsonValueKind.Array or JsonValueKind.Null))
                    .Select(p => new KeyValuePair<string, string>(
                        p.Name,
                        p.Value.ValueKind == JsonValueKind.String ? p.Value.GetString()! : p.Value.GetRawText()
                    )),
            ];
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException) // the latter: half a surrogate pair
        {
            return null;
        }
    }
}
