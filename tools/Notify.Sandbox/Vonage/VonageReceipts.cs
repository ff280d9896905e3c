namespace Notify.Sandbox.Vonage;

using System.Globalization;
using System.Text;
using System.Text.Json;
using Notify.Sandbox.Keys;
using Notify.Sandbox.Knobs;
using Notify.Sandbox.Magic;
using Notify.Sandbox.Receipts;

/// <summary>Vonage's signed delivery receipts, to the request's callback or else the account's webhook; repeated until they are
/// taken.</summary>
public sealed class VonageReceipts(
    SandboxKeys keys,
    Journeys journeys,
    WebhookSender sender,
    IConfiguration configuration,
    TimeProvider time
)
{
    /// <summary>The HTTP methods that an account's webhooks can be set to.</summary>
    public static readonly IReadOnlyList<string> Methods = ["POST-JSON", "POST", "GET"];

    private readonly string _method = configuration["Sandbox:VonageWebhookMethod"] ?? Methods[0];

    /// <summary>Has one part of a message go its way.</summary>
    public void Begin(VonageMessage message, ReceiptKnob knob, Fate? fate)
    {
        var callback = message.WantsReceipts ? message.Callback ?? sender.AddressOf("vonage") : null;
        journeys.Begin(
            knob,
            [
                .. Statuses(knob, fate, message.Id)
                    .Select(status =>
                        (Step)(
                            () =>
                            {
                                if (status.Name != "buffered")
                                    message.End(status.Name, time.GetUtcNow());
                                return callback is null
                                    ? null
                                    : Post(callback, () => message.ToReceipt(status.Name, status.ErrorCode, time.GetUtcNow()));
                            }
                        )
                    ),
            ]
        );
    }

    /// <summary>A post to a webhook, signed anew each time that it is repeated.</summary>
    public WebhookPost Post(string url, Func<Dictionary<string, string>> parameters) =>
        new(() => Make(url, Signed(parameters())), IsInsistent: true);

    private Dictionary<string, string> Signed(Dictionary<string, string> parameters)
    {
        parameters["timestamp"] = time.GetUtcNow().ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture);
        parameters["nonce"] = Guid.NewGuid().ToString("D");
        parameters["sig"] = VonageSignature.Of(parameters, keys.Identity.VonageSignatureSecret, keys.Identity.VonageSignatureMethod);
        return parameters;
    }

    private HttpRequestMessage Make(string url, Dictionary<string, string> parameters)
    {
        switch (_method)
        {
            case "GET":
                var query = string.Join('&', parameters.Select(p => $"{Uri.EscapeDataString(p.Key)}={Uri.EscapeDataString(p.Value)}"));
                return new HttpRequestMessage(HttpMethod.Get, $"{url}{(url.Contains('?', StringComparison.Ordinal) ? '&' : '?')}{query}");
            case "POST":
                return new HttpRequestMessage(HttpMethod.Post, url) { Content = new FormUrlEncodedContent(parameters) };
            default:
                return new HttpRequestMessage(HttpMethod.Post, url)
                {
                    Content = new StringContent(JsonSerializer.Serialize(parameters), Encoding.UTF8, "application/json"),
                };
        }
    }

    private static (string Name, string ErrorCode)[] Statuses(ReceiptKnob knob, Fate? fate, string id)
    {
        var buffered = ("buffered", "0");
        if (fate == Fate.Bounced)
            return [buffered, ("failed", "3")]; // absent subscriber, for good
        // Half of the messages cannot be routed, half find nobody.
        if (knob == ReceiptKnob.Failed)
            return id[^1] < '8' ? [("rejected", "11")] : [buffered, ("expired", "2")];
        return [buffered, ("delivered", "0")];
    }
}
