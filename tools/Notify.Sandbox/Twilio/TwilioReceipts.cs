namespace Notify.Sandbox.Twilio;

using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Notify.Sandbox.Keys;
using Notify.Sandbox.Knobs;
using Notify.Sandbox.Magic;
using Notify.Sandbox.Receipts;

/// <summary>Twilio's signed status callbacks, posted once each, with every answer.</summary>
public sealed class TwilioReceipts(SandboxKeys keys, Journeys journeys, TimeProvider time)
{
    private const int UnknownHandset = 30005;
    private const int UnknownError = 30008;

    /// <summary>Has the message go its way, telling <paramref name="callback"/> if there is one.</summary>
    public void Begin(TwilioMessage message, string? callback, ReceiptKnob knob, Fate? fate) =>
        journeys.Begin(knob, [.. Statuses(knob, fate, message.Sid).Select(status => Step(message, callback, status))]);

    /// <summary>
    /// <c>X-Twilio-Signature</c>: base64 of the HMAC-SHA1 over the URL and then each name and value, sorted by name.
    /// </summary>
    public static string Sign(string authToken, string url, IEnumerable<KeyValuePair<string, string>> form)
    {
        var signed = new StringBuilder(url);
        foreach (var (name, value) in form.OrderBy(pair => pair.Key, StringComparer.Ordinal))
            signed.Append(name).Append(value);
        return Convert.ToBase64String(HMACSHA1.HashData(Encoding.UTF8.GetBytes(authToken), Encoding.UTF8.GetBytes(signed.ToString())));
    }

    /// <summary>A signed post to a webhook.</summary>
    public WebhookPost Post(string url, IReadOnlyDictionary<string, string> form) =>
        new(
            () =>
            {
                var request = new HttpRequestMessage(HttpMethod.Post, url) { Content = new FormUrlEncodedContent(form) };
                request.Headers.Add("X-Twilio-Signature", Sign(keys.Identity.TwilioAuthToken, url, form));
                request.Headers.UserAgent.ParseAdd("TwilioProxy/1.1");
                return request;
            },
            IsInsistent: false
        );

    private Step Step(TwilioMessage message, string? callback, (string Name, int? ErrorCode) status) =>
        () =>
        {
            message.Advance(status.Name, time.GetUtcNow(), status.ErrorCode);
            return callback is null ? null : Post(callback, Form(message, status));
        };

    private static Dictionary<string, string> Form(TwilioMessage message, (string Name, int? ErrorCode) status)
    {
        var form = new Dictionary<string, string>
        {
            ["AccountSid"] = message.AccountSid,
            ["ApiVersion"] = "2010-04-01",
            ["MessageSid"] = message.Sid,
            ["MessageStatus"] = status.Name,
            ["SmsSid"] = message.Sid,
            ["SmsStatus"] = status.Name,
            ["To"] = message.To,
        };
        if (message.From is not null)
            form["From"] = message.From;
        if (message.MessagingServiceSid is not null)
            form["MessagingServiceSid"] = message.MessagingServiceSid;
        if (status.ErrorCode is { } errorCode)
            form["ErrorCode"] = errorCode.ToString(CultureInfo.InvariantCulture);
        return form;
    }

    private static (string, int?)[] Statuses(ReceiptKnob knob, Fate? fate, string sid)
    {
        (string, int?) queued = ("queued", null),
            sent = ("sent", null);
        if (fate == Fate.Bounced)
            return [queued, sent, ("undelivered", UnknownHandset)];
        // Half of the messages fail at Twilio, half at the carrier.
        if (knob == ReceiptKnob.Failed)
            return sid[^1] < '8' ? [queued, ("failed", UnknownError)] : [queued, sent, ("undelivered", UnknownHandset)];
        return [queued, sent, ("delivered", null)];
    }
}
