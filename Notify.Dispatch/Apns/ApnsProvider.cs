using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text.Json;
using Notify.Dispatch.Dispatching;
using Notify.Domain.Notifications;
using Notify.Projections.Hosting;

namespace Notify.Dispatch.Apns;

/// <summary>Apple Push Notification service over HTTP/2 with provider tokens.</summary>
/// <remarks>Apple: Sending notification requests to APNs. Repeats of a delivery replace each other on the device by <c>apns-collapse-id</c>.</remarks>
public sealed class ApnsProvider : IDeliveryProvider, IDisposable
{
    /// <summary>The largest payload, in bytes.</summary>
    public const int MaxPayload = 4096;

    private readonly ApnsOptions options;
    private readonly ApnsToken token;
    private readonly HttpClient client;
    private readonly TimeProvider clock;

    /// <summary>Opens no connection yet.</summary>
    public ApnsProvider(ApnsOptions options, ECDsa key, TimeProvider clock)
    {
        (this.options, this.clock) = (options, clock);
        token = new ApnsToken(key, options.TeamId, options.KeyId, clock);
        client = ProviderCall.CreateClient(options.BaseUrl, options.Timeout, TrustedCa.Load(options.TrustedCaPath), options.ConnectTimeout);
    }

    /// <summary>Made from its settings.</summary>
    public static IDeliveryProvider? Create(IConfigurationSection settings, TimeProvider clock, ICollection<string> faults)
    {
        var options = settings.Read<ApnsOptions>(faults);
        return options.LoadKey(settings.Path, faults) is { } key ? new ApnsProvider(options, key, clock) : null;
    }

    /// <inheritdoc />
    public string Name => "apns";

    /// <inheritdoc />
    public Lane Lane => Lane.Apns;

    /// <inheritdoc />
    public int Concurrency => options.Concurrency;

    /// <inheritdoc />
    public TimeSpan TotalTimeout => ProviderCall.TotalTimeout(options.TotalTimeout, options.Timeout);

    /// <inheritdoc />
    public void Dispose() => client.Dispose();

    /// <inheritdoc />
    public async Task<AttemptOutcome> SendAsync(OutboundMessage message, CancellationToken cancellation)
    {
        if (!message.Address.All(char.IsAsciiHexDigit)) return new AttemptOutcome.Rejected(Reasons.BadAddress, "BadDeviceToken");
        var payload = Payload(message);
        if (payload.Length > MaxPayload) return new AttemptOutcome.Rejected(Reasons.TooLarge, "PayloadTooLarge");

        var header = token.Header();
        var outcome = await CallAsync(message, payload, header, cancellation);
        return outcome is AttemptOutcome.Halted { Code: "ExpiredProviderToken" }
            ? await CallAsync(message, payload, token.Renew(header), cancellation)
            : outcome;
    }

    /// <summary>The JSON payload of a message.</summary>
    public static byte[] Payload(OutboundMessage message)
    {
        var content = message.Content;
        using var buffer = new MemoryStream(512);
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            json.WriteStartObject("aps");
            json.WriteStartObject("alert");
            if (content.Title is { Length: > 0 } title) json.WriteString("title", title);
            if (content.Body is { Length: > 0 } body) json.WriteString("body", body);
            json.WriteEndObject();
            json.WriteString("sound", "default");
            json.WriteEndObject();
            json.WriteString("deliveryId", message.DeliveryId);
            if (content.Url is { } url) json.WriteString("url", url);
            if (content.Data is { } data)
            {
                json.WritePropertyName("data");
                data.WriteTo(json);
            }

            json.WriteEndObject();
        }

        return buffer.ToArray();
    }

    private async Task<AttemptOutcome> CallAsync(OutboundMessage message, byte[] payload, string authorization, CancellationToken cancellation)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, $"/3/device/{message.Address}")
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = new ByteArrayContent(payload) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") } },
        };
        var headers = request.Headers;
        headers.TryAddWithoutValidation("authorization", authorization);
        headers.TryAddWithoutValidation("apns-topic", options.Topic);
        headers.TryAddWithoutValidation("apns-push-type", "alert");
        headers.TryAddWithoutValidation("apns-priority", message.Priority == Priority.Bulk ? "5" : "10");
        headers.TryAddWithoutValidation("apns-id", message.DeliveryId.ToString());
        headers.TryAddWithoutValidation("apns-collapse-id", message.DeliveryId.ToString("N"));
        if (message.ExpiresAt is { } expires)
            headers.TryAddWithoutValidation("apns-expiration", expires.ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture));

        var (response, outcome) = await ProviderCall.SendAsync(client, request, cancellation);
        if (response is null) return outcome!;
        using (response)
        {
            var apnsId = response.Headers.TryGetValues("apns-id", out var ids) ? ids.FirstOrDefault() : null;
            var (reason, timestamp) = response.IsSuccessStatusCode ? default : ApnsStatus.Read(await response.Content.ReadAsByteArrayAsync(cancellation));
            return ApnsStatus.Outcome(response.StatusCode, reason, timestamp, apnsId, ProviderCall.RetryAfter(response.Headers, clock.GetUtcNow()));
        }
    }
}
