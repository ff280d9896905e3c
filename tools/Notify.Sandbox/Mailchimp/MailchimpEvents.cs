namespace Notify.Sandbox.Mailchimp;

using System.Security.Cryptography;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Notify.Sandbox.Keys;
using Notify.Sandbox.Knobs;
using Notify.Sandbox.Magic;
using Notify.Sandbox.Receipts;

/// <summary>Mailchimp Transactional's signed webhook: the outcomes of messages, many events a post.</summary>
public sealed class MailchimpEvents(WebhookSender sender, Journeys journeys, SandboxKeys keys, TimeProvider time)
    : EventBatches(sender, "mailchimp")
{
    private const string Field = "mandrill_events";

    private static readonly JsonSerializerOptions Json = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Has a message go its way.</summary>
    public void Begin(MailchimpMessage message, ReceiptKnob knob)
    {
        var events = Steps(knob, MagicAddresses.WordOf(message.Email), message.Id).Select(step => Event(message, step));
        journeys.Begin(
            knob,
            [
                .. events.Select(json =>
                    (Step)(
                        () =>
                        {
                            Add(json);
                            return null;
                        }
                    )
                ),
            ]
        );
    }

    /// <summary><c>X-Mandrill-Signature</c>: base64 of the HMAC-SHA1 over the webhook's URL and then each field's name and value, sorted by
    /// name.</summary>
    public static string Sign(string key, string url, IEnumerable<KeyValuePair<string, string>> form)
    {
        var signed = new StringBuilder(url);
        foreach (var (name, value) in form.OrderBy(pair => pair.Key, StringComparer.Ordinal))
            signed.Append(name).Append(value);
        return Convert.ToBase64String(HMACSHA1.HashData(Encoding.UTF8.GetBytes(key), Encoding.UTF8.GetBytes(signed.ToString())));
    }

    /// <inheritdoc/>
    protected override HttpRequestMessage Make(string address, string array)
    {
        KeyValuePair<string, string>[] form = [new(Field, array)];
        var request = new HttpRequestMessage(HttpMethod.Post, address) { Content = new FormUrlEncodedContent(form) };
        request.Headers.Add("X-Mandrill-Signature", Sign(keys.Identity.MailchimpWebhookKey, address, form));
        request.Headers.UserAgent.ParseAdd("Mandrill-Webhook/1.0");
        return request;
    }

    private static MailchimpStep[] Steps(ReceiptKnob knob, string? word, string id) =>
        (knob, word) switch
        {
            (_, "bounced") => [Sent, HardBounced],
            // Half of the mailboxes are none, half are full.
            (ReceiptKnob.Failed, _) => [Sent, id[^1] < '8' ? HardBounced : SoftBounced],
            (_, MagicAddresses.Opened) => [Sent, Delivered, Opened],
            (ReceiptKnob.Late, _) => [Deferred, Sent, Delivered],
            _ => [Sent, Delivered],
        };

    private static readonly MailchimpStep Sent = new("send", "sent", null, null);
    private static readonly MailchimpStep Deferred = new(
        "deferral",
        "deferred",
        null,
        "451 4.3.5 Temporarily unavailable, try again later."
    );
    private static readonly MailchimpStep Delivered = new("delivered", "delivered", null, "250 2.0.0 OK");
    private static readonly MailchimpStep Opened = new("open", "sent", null, null);
    private static readonly MailchimpStep HardBounced = new(
        "hard_bounce",
        "bounced",
        "bad_mailbox",
        "smtp;550 5.1.1 The mailbox does not exist."
    );
    private static readonly MailchimpStep SoftBounced = new("soft_bounce", "soft-bounced", "mailbox_full", "smtp;552 5.2.2 Over Quota");

    private string Event(MailchimpMessage message, MailchimpStep step)
    {
        var now = time.GetUtcNow().ToUnixTimeSeconds();
        var told = new JsonObject
        {
            ["ts"] = now,
            ["_id"] = message.Id,
            ["_version"] = RandomNumberGenerator.GetHexString(22, lowercase: true),
            ["state"] = step.State,
            ["subject"] = message.Subject,
            ["email"] = message.Email,
            ["sender"] = message.Sender,
            ["tags"] = new JsonArray([.. message.Tags.Select(tag => JsonValue.Create(tag))]),
            ["opens"] = step == Opened ? new JsonArray(new JsonObject { ["ts"] = now }) : [],
            ["clicks"] = new JsonArray(),
            ["smtp_events"] = step.Diagnosis is null
                ? []
                : new JsonArray(
                    new JsonObject
                    {
                        ["ts"] = now,
                        ["type"] = step.State,
                        ["diag"] = step.Diagnosis,
                    }
                ),
            ["metadata"] = message.Metadata.DeepClone(),
        };
        if (step.Bounce is not null)
        {
            told["bounce_description"] = step.Bounce;
            told["bgtools_code"] = step == HardBounced ? 10 : 22;
            told["diag"] = step.Diagnosis;
        }

        var e = new JsonObject
        {
            ["event"] = step.Event,
            ["_id"] = message.Id,
            ["ts"] = now,
            ["msg"] = told,
        };
        if (step == Opened)
            (e["ip"], e["user_agent"], e["location"], e["user_agent_parsed"]) = ("192.0.2.2", "Mozilla/5.0", null, null);
        return e.ToJsonString(Json);
    }

    private sealed record MailchimpStep(string Event, string State, string? Bounce, string? Diagnosis);
}
