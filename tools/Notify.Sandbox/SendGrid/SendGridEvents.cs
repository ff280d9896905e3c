namespace Notify.Sandbox.SendGrid;

using System.Buffers.Text;
using System.Globalization;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Notify.Sandbox.Keys;
using Notify.Sandbox.Knobs;
using Notify.Sandbox.Magic;
using Notify.Sandbox.Receipts;

/// <summary>SendGrid's signed event webhook: the outcomes of each recipient's mail, many events a post.</summary>
public sealed class SendGridEvents(WebhookSender sender, Journeys journeys, SandboxKeys keys, TimeProvider time)
    : EventBatches(sender, "sendgrid")
{
    private static readonly JsonSerializerOptions Json = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <inheritdoc/>
    protected override string Separator => ",\r\n";

    /// <summary>Has a mail to one recipient go its way.</summary>
    public void Begin(string messageId, SendGridRecipient recipient, ReceiptKnob knob)
    {
        var word = MagicAddresses.WordOf(recipient.Email);
        var events = Steps(knob, word, messageId).Select(step => step.Invoke(Event(messageId, recipient)).ToJsonString(Json));
        journeys.Begin(
            knob,
            [
                .. events.Select(json =>
                    (Step)(
                        () =>
                        {
                            Add(json); // the same event, its ID included, each time that it is repeated
                            return null;
                        }
                    )
                ),
            ]
        );
    }

    /// <summary>
    /// <c>X-Twilio-Email-Event-Webhook-Signature</c>: base64 of the ECDSA signature (P-256, SHA-256, DER) over the time stamp and
    /// the raw body.
    /// </summary>
    public static string Sign(ECDsa key, string timestamp, ReadOnlySpan<byte> body)
    {
        byte[] signed = [.. Encoding.ASCII.GetBytes(timestamp), .. body];
        lock (key)
            return Convert.ToBase64String(key.SignData(signed, HashAlgorithmName.SHA256, DSASignatureFormat.Rfc3279DerSequence));
    }

    /// <inheritdoc/>
    protected override HttpRequestMessage Make(string address, string array)
    {
        var body = Encoding.UTF8.GetBytes(array + "\r\n");
        var timestamp = time.GetUtcNow().ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture);
        var request = new HttpRequestMessage(HttpMethod.Post, address)
        {
            Content = new ByteArrayContent(body) { Headers = { ContentType = new MediaTypeHeaderValue("application/json", "utf-8") } },
        };
        request.Headers.Add("X-Twilio-Email-Event-Webhook-Signature", Sign(keys.SendGridWebhookKey, timestamp, body));
        request.Headers.Add("X-Twilio-Email-Event-Webhook-Timestamp", timestamp);
        request.Headers.UserAgent.ParseAdd("SendGrid");
        return request;
    }

    // The last character of the ID decides which of two ways a failure goes; half each.
    private static Func<JsonObject, JsonObject>[] Steps(ReceiptKnob knob, string? word, string messageId) =>
        (knob, word) switch
        {
            (_, "bounced") => [Processed, Bounced],
            (ReceiptKnob.Failed, _) => messageId[^1] is >= 'A' and <= 'Z' ? [Processed, Bounced] : [Dropped],
            (_, MagicAddresses.Opened) => [Processed, Delivered, Opened],
            (ReceiptKnob.Late, _) => [Processed, Deferred, Delivered],
            _ => [Processed, Delivered],
        };

    private static JsonObject Processed(JsonObject e) => With(e, ("event", "processed"));

    private static JsonObject Deferred(JsonObject e) =>
        With(e, ("event", "deferred"), ("response", "451 4.3.2 try again later"), ("attempt", "1"));

    private static JsonObject Delivered(JsonObject e) =>
        With(e, ("event", "delivered"), ("response", "250 2.0.0 OK"), ("ip", "192.0.2.1"), ("tls", 1));

    private static JsonObject Dropped(JsonObject e) => With(e, ("event", "dropped"), ("reason", "Bounced Address"), ("status", "5.0.0"));

    private static JsonObject Bounced(JsonObject e) =>
        With(
            e,
            ("event", "bounce"),
            ("type", "bounce"),
            ("status", "5.1.1"),
            ("reason", "550 5.1.1 The mailbox does not exist."),
            ("bounce_classification", "Invalid Address"),
            ("ip", "192.0.2.1"),
            ("tls", 1)
        );

    private static JsonObject Opened(JsonObject e) =>
        With(e, ("event", "open"), ("useragent", "Mozilla/5.0"), ("ip", "192.0.2.2"), ("sg_machine_open", false));

    private static JsonObject With(JsonObject e, params IEnumerable<(string Name, JsonNode Value)> more)
    {
        foreach (var (name, value) in more)
            e[name] = value;
        return e;
    }

    private JsonObject Event(string messageId, SendGridRecipient recipient)
    {
        var e = new JsonObject();
        foreach (var (name, value) in recipient.Arguments)
            e[name] = value;
        e["email"] = recipient.Email;
        e["timestamp"] = time.GetUtcNow().ToUnixTimeSeconds();
        e["smtp-id"] = $"<{messageId}@geopod-ismtpd-1>";
        e["sg_event_id"] = Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(16));
        e["sg_message_id"] = $"{messageId}.filterdrecv-7f6d9c-{messageId[..5]}-1-{e["timestamp"]!.GetValue<long>():X}-1.0";
        return e;
    }
}
