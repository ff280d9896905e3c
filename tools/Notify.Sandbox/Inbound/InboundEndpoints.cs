namespace Notify.Sandbox.Inbound;

using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;
using Notify.Sandbox.Keys;
using Notify.Sandbox.Receipts;
using Notify.Sandbox.Sms;
using Notify.Sandbox.Twilio;
using Notify.Sandbox.Vonage;

/// <summary><c>POST /inbound/{twilio|vonage}</c>: somebody writes an SMS, which the provider posts to the account's webhook,
/// signed.</summary>
public static class InboundEndpoints
{
    private static readonly string[] StopWords = ["STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT"];
    private static readonly string[] StartWords = ["START", "YES", "UNSTOP"];
    private static readonly string[] HelpWords = ["HELP", "INFO"];

    /// <summary>Maps it.</summary>
    public static void MapInbound(this IEndpointRouteBuilder routes) => routes.MapPost("/inbound/{provider}", PostAsync);

    private static async Task<IResult> PostAsync(
        string provider,
        HttpRequest request,
        WebhookSender sender,
        TwilioReceipts twilio,
        VonageReceipts vonage,
        SandboxKeys keys,
        TimeProvider time
    )
    {
        if (provider is not ("twilio" or "vonage"))
            return Problem.NotFound("unknown_provider", $"There is no provider '{provider}' that takes SMS. Known are: twilio, vonage.");
        if (await ReadAsync(request) is not { From: { Length: > 0 } from, Text: { } text } wish)
            return Problem.BadRequest("invalid_message", "The body must be JSON with from (E.164) and text; to may be left out.");
        if (sender.AddressOf(provider) is not { } url)
            return Problem.BadRequest(
                "no_webhook",
                "Sandbox:WebhookUrl is not set; it is the address of Notify's Dispatch, such as http://127.0.0.1:5081."
            );

        var (id, post) =
            provider == "twilio"
                ? Twilio(from, wish.To ?? keys.Identity.TwilioFrom, text, url, twilio, keys.Identity)
                : Vonage(from, wish.To ?? keys.Identity.VonageFrom, text, url, vonage, keys.Identity, time);
        return Results.Ok(
            new
            {
                MessageId = id,
                Url = url,
                Status = await sender.TryAsync(post, request.HttpContext.RequestAborted),
            }
        );
    }

    private static (string Id, WebhookPost Post) Twilio(
        string from,
        string to,
        string text,
        string url,
        TwilioReceipts twilio,
        SandboxIdentity account
    )
    {
        var sid = "SM" + RandomNumberGenerator.GetHexString(32, lowercase: true);
        var form = new Dictionary<string, string>
        {
            ["ToCountry"] = "US",
            ["SmsMessageSid"] = sid,
            ["NumMedia"] = "0",
            ["SmsSid"] = sid,
            ["SmsStatus"] = "received",
            ["Body"] = text,
            ["To"] = to,
            ["NumSegments"] = SmsSegments.Count(text).ToString(CultureInfo.InvariantCulture),
            ["MessageSid"] = sid,
            ["AccountSid"] = account.TwilioAccountSid,
            ["From"] = from,
            ["ApiVersion"] = "2010-04-01",
        };
        var word = text.Trim().ToUpperInvariant();
        if (StopWords.Contains(word))
            form["OptOutType"] = "STOP";
        else if (StartWords.Contains(word))
            form["OptOutType"] = "START";
        else if (HelpWords.Contains(word))
            form["OptOutType"] = "HELP";
        return (sid, twilio.Post(url, form));
    }

    private static (string Id, WebhookPost Post) Vonage(
        string from,
        string to,
        string text,
        string url,
        VonageReceipts vonage,
        SandboxIdentity account,
        TimeProvider time
    )
    {
        var id = RandomNumberGenerator.GetHexString(16);
        return (
            id,
            vonage.Post(
                url,
                () =>
                    new Dictionary<string, string>
                    {
                        ["api-key"] = account.VonageApiKey,
                        ["msisdn"] = from.TrimStart('+'),
                        ["to"] = to.TrimStart('+'),
                        ["messageId"] = id,
                        ["text"] = text,
                        ["type"] = SmsSegments.IsBasic(text) ? "text" : "unicode",
                        ["keyword"] = text.Trim().Split(' ')[0].ToUpperInvariant(),
                        ["message-timestamp"] = time.GetUtcNow()
                            .UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ss.fffZ", CultureInfo.InvariantCulture),
                    }
            )
        );
    }

    private static async Task<Message?> ReadAsync(HttpRequest request)
    {
        try
        {
            return await JsonSerializer.DeserializeAsync<Message>(
                request.Body,
                JsonSerializerOptions.Web,
                request.HttpContext.RequestAborted
            );
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private sealed record Message(string? From, string? To, string? Text);
}
