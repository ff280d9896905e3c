using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Threading.Channels;
using Notify.Sandbox.Keys;
using Notify.Sandbox.Knobs;

namespace Notify.Sandbox.Twilio;

/// <summary>Posts signed status callbacks, once each, whatever the answer.</summary>
public sealed class TwilioReceipts(SandboxKeys keys, TimeProvider time) : BackgroundService
{
    private const int Senders = 16;
    private const int UnreachableHandset = 30005;
    private const int UnknownError = 30008;
    private static readonly TimeSpan Lateness = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(10);

    private readonly Channel<Journey> _journeys = Channel.CreateUnbounded<Journey>();

    /// <summary>Has the message go the way that the knob names, telling <paramref name="callback"/> if there is one.</summary>
    public void Schedule(TwilioMessage message, string? callback, ReceiptKnob knob)
    {
        var journey = new Journey(message, callback, Steps(knob, message.Sid));
        if (knob == ReceiptKnob.Late)
            _ = ScheduleLateAsync(journey);
        else
            _journeys.Writer.TryWrite(journey);
    }

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

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var handler = new SocketsHttpHandler { MaxConnectionsPerServer = Senders, AllowAutoRedirect = false };
        using var client = new HttpClient(handler) { Timeout = Timeout };
        await Task.WhenAll(Enumerable.Range(0, Senders).Select(_ => TravelAsync(client, stoppingToken)));
    }

    private async Task ScheduleLateAsync(Journey journey)
    {
        await Task.Delay(Lateness, time);
        _journeys.Writer.TryWrite(journey);
    }

    private async Task TravelAsync(HttpClient client, CancellationToken stopping)
    {
        await foreach (var journey in _journeys.Reader.ReadAllAsync(stopping))
        {
            foreach (var step in journey.Steps)
            {
                journey.Message.Advance(step.Status, time.GetUtcNow(), step.ErrorCode);
                if (journey.Callback is not null)
                    await PostAsync(client, journey.Message, journey.Callback, step, stopping);
            }
        }
    }

    private async Task PostAsync(HttpClient client, TwilioMessage message, string callback, Step step, CancellationToken stopping)
    {
        var form = Form(message, step);
        using var request = new HttpRequestMessage(HttpMethod.Post, callback) { Content = new FormUrlEncodedContent(form) };
        request.Headers.Add("X-Twilio-Signature", Sign(keys.Identity.TwilioAuthToken, callback, form));
        request.Headers.UserAgent.ParseAdd("TwilioProxy/1.1");
        try
        {
            using var response = await client.SendAsync(request, stopping);
        }
        catch (Exception error) when (error is HttpRequestException or OperationCanceledException)
        {
            // Fired once: a receiver that is away has lost this receipt, as it could with Twilio.
        }
    }

    private static Dictionary<string, string> Form(TwilioMessage message, Step step)
    {
        var form = new Dictionary<string, string>
        {
            ["AccountSid"] = message.AccountSid,
            ["ApiVersion"] = "2010-04-01",
            ["MessageSid"] = message.Sid,
            ["MessageStatus"] = step.Status,
            ["SmsSid"] = message.Sid,
            ["SmsStatus"] = step.Status,
            ["To"] = message.To,
        };
        if (message.From is not null)
            form["From"] = message.From;
        if (message.MessagingServiceSid is not null)
            form["MessagingServiceSid"] = message.MessagingServiceSid;
        if (step.ErrorCode is { } errorCode)
            form["ErrorCode"] = errorCode.ToString(CultureInfo.InvariantCulture);
        return form;
    }

    private static Step[] Steps(ReceiptKnob knob, string sid)
    {
        Step queued = new("queued"), sent = new("sent"), delivered = new("delivered");
        return knob switch
        {
            ReceiptKnob.Shuffled => [delivered, queued, sent],
            ReceiptKnob.Repeated => [queued, queued, sent, sent, delivered, delivered],
            // Half of the messages fail at Twilio, half at the carrier.
            ReceiptKnob.Failed => sid[^1] < '8' ? [queued, new("failed", UnknownError)] : [queued, sent, new("undelivered", UnreachableHandset)],
            _ => [queued, sent, delivered],
        };
    }

    private sealed record Journey(TwilioMessage Message, string? Callback, Step[] Steps);

    private sealed record Step(string Status, int? ErrorCode = null);
}
