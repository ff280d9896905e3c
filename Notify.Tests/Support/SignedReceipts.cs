namespace Notify.Tests.Support;

using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using Notify.Dispatch.Receipts;

/// <summary>Posts receipts as providers do, each signed by the provider's scheme.</summary>
public static class SignedReceipts
{
    private static readonly Lazy<ECDsa> SendGridKey = new(() =>
    {
        var key = ECDsa.Create();
        key.ImportFromPem(File.ReadAllText(Path.Combine(TestRun.SandboxHome, "sendgrid-webhook-key.pem")));
        return key;
    });

    private static readonly HttpClient Http = new() { Timeout = TimeSpan.FromSeconds(60) };

    /// <summary>A status callback, or a message that a person sent.</summary>
    public static async Task<HttpResponseMessage> TwilioAsync(Uri dispatch, Guid? delivery, params (string Name, string Value)[] form)
    {
        var url = $"{dispatch.ToString().TrimEnd('/')}/receipts/twilio{(delivery is { } d ? $"?d={d:N}" : "")}";
        var token = (await TestRun.Accounts).GetProperty("twilioAuthToken").GetString()!;
        var fields = form.Select(f => new KeyValuePair<string, string>(f.Name, f.Value)).ToList();
        var request = new HttpRequestMessage(HttpMethod.Post, url) { Content = new FormUrlEncodedContent(fields) };
        request.Headers.Add("X-Twilio-Signature", Signatures.OverForm(token, url, fields));
        return await Http.SendAsync(request);
    }

    /// <summary>SendGrid's events.</summary>
    /// <param name="signedAt">When they were signed; now, when not given.</param>
    /// <param name="altered">Whether the body is another than was signed.</param>
    public static Task<HttpResponseMessage> SendGridAsync(
        Uri dispatch,
        string events,
        DateTimeOffset? signedAt = null,
        bool altered = false
    )
    {
        var timestamp = (signedAt ?? TimeProvider.System.GetUtcNow())
            .ToUnixTimeSeconds()
            .ToString(System.Globalization.CultureInfo.InvariantCulture);
        byte[] signature;
        lock (SendGridKey)
            signature = SendGridKey.Value.SignData(
                Encoding.UTF8.GetBytes(timestamp + events),
                HashAlgorithmName.SHA256,
                DSASignatureFormat.Rfc3279DerSequence
            );
        var request = new HttpRequestMessage(HttpMethod.Post, new Uri(dispatch, "/receipts/sendgrid"))
        {
            Content = new ByteArrayContent(Encoding.UTF8.GetBytes(altered ? events + " " : events))
            {
                Headers = { ContentType = new MediaTypeHeaderValue("application/json") },
            },
        };
        request.Headers.Add("X-Twilio-Email-Event-Webhook-Timestamp", timestamp);
        request.Headers.Add("X-Twilio-Email-Event-Webhook-Signature", Convert.ToBase64String(signature));
        return Http.SendAsync(request);
    }

    /// <summary>Any request, as it is.</summary>
    public static Task<HttpResponseMessage> PlainAsync(HttpMethod method, Uri address, HttpContent? content = null) =>
        Http.SendAsync(new HttpRequestMessage(method, address) { Content = content });

    /// <summary>Fails unless the answer has this status.</summary>
    public static async Task<string> Is(this Task<HttpResponseMessage> answer, HttpStatusCode status)
    {
        using var response = await answer;
        var text = await response.Content.ReadAsStringAsync();
        Assert.True(response.StatusCode == status, $"{(int)response.StatusCode} instead of {(int)status}: {text}");
        return text;
    }
}
