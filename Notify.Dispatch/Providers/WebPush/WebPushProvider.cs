namespace Notify.Dispatch.Providers.WebPush;

using System.Buffers.Text;
using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Infrastructure.Hosting;
using Notify.Infrastructure.Networking;

/// <summary>Web Push to browsers, through whichever push service a subscription names.</summary>
/// <remarks>
/// RFC 8030, 8188, 8291, 8292. Repeats of a delivery replace each other: at the push service by their <c>Topic</c>, on the
/// device by the <c>tag</c> that the service worker is given.
/// </remarks>
public sealed class WebPushProvider : IDeliveryProvider, IDisposable
{
    /// <summary>How long a push service is asked to keep what has no expiry: four weeks, the longest that all of them grant.</summary>
    public static readonly TimeSpan MaxTimeToLive = TimeSpan.FromDays(28);

    private const int ConnectionsPerService = 20;

    private readonly WebPushOptions options;
    private readonly OutboundGuard guard;
    private readonly PushServices services;
    private readonly HttpClient client;
    private readonly TimeProvider clock;

    /// <summary>Opens no connection yet.</summary>
    /// <param name="guard">Where subscriptions may lead; as the options say, unless given.</param>
    public WebPushProvider(WebPushOptions options, ECDsa key, TimeProvider clock, OutboundGuard? guard = null)
    {
        (this.options, this.clock) = (options, clock);
        this.guard = guard ??= new OutboundGuard(options.AllowPrivateNetworks, inside: options.SandboxUrl);
        services = new PushServices(key, options.PublicKey, options.Subject, options.Concurrency, clock);
        client = ProviderCall.CreateClient(
            null,
            options.Timeout,
            TrustedCa.Load(options.TrustedCaPath),
            options.ConnectTimeout,
            handler =>
            {
                handler.UseProxy = false; // a proxy would resolve names by itself
                handler.ConnectCallback = guard.ConnectAsync;
                handler.MaxConnectionsPerServer = ConnectionsPerService;
            }
        );
    }

    /// <summary>Made from its settings.</summary>
    public static IDeliveryProvider? Create(IConfigurationSection settings, TimeProvider clock, ICollection<string> faults)
    {
        var options = settings.Read<WebPushOptions>(faults);
        return options.LoadKey(settings.Path, faults) is { } key ? new WebPushProvider(options, key, clock) : null;
    }

    /// <inheritdoc />
    public string Name => "webpush";

    /// <inheritdoc />
    public Lane Lane => Lane.Webpush;

    /// <inheritdoc />
    public int Concurrency => options.Concurrency;

    /// <inheritdoc />
    public TimeSpan TotalTimeout => ProviderCall.TotalTimeout(options.TotalTimeout, options.Timeout);

    /// <inheritdoc />
    public void Dispose() => client.Dispose();

    /// <inheritdoc />
    public async Task<AttemptOutcome> SendAsync(OutboundMessage message, CancellationToken cancellation)
    {
        if (PushSubscription.Read(message.Address) is not { } subscription)
            return new AttemptOutcome.Rejected(Reasons.BadAddress, "BadSubscription");
        if (!message.Content.IsShown)
            return new AttemptOutcome.Rejected(Reasons.NoContent, "DataAlone"); // of a template: found late
        if (!guard.Allows(subscription.Endpoint))
            return Forbidden;
        var text = Payload(message);
        if (text.Length > PushEncryption.MaxText)
            return new AttemptOutcome.Rejected(Reasons.TooLarge, "PayloadTooLarge");
        if (PushEncryption.Seal(text, subscription.Key, subscription.Authentication) is not { } body)
            return new AttemptOutcome.Rejected(Reasons.BadAddress, "BadKeys");

        var service = services.Of(subscription.Endpoint);
        if (!service.TryEnter())
            return new AttemptOutcome.Retry(Reasons.Retry, "PushServiceSilent");
        AttemptOutcome? outcome = null;
        try
        {
            return outcome = await CallAsync(message, subscription.Endpoint, service, body, cancellation);
        }
        finally
        {
            service.Leave(outcome);
        }
    }

    /// <summary>
    /// Writes the payload for the service worker: JSON with <c>title</c>, <c>body</c>, <c>url</c>, <c>data</c>, <c>image</c>,
    /// <c>icon</c>, <c>badge</c>, <c>silent</c> and <c>requireInteraction</c> where set, <c>deliveryId</c> and <c>tag</c>.
    /// </summary>
    public static byte[] Payload(OutboundMessage message)
    {
        var content = message.Content;
        using var buffer = new MemoryStream(512);
        using (var json = new Utf8JsonWriter(buffer, ProviderJson.Writing))
        {
            json.WriteStartObject();
            if (content.Title is { Length: > 0 } title)
                json.WriteString("title", title);
            if (content.Body is { Length: > 0 } body)
                json.WriteString("body", body);
            if (content.Url is { } url)
                json.WriteString("url", url);
            if (content.Data is { } data)
            {
                json.WritePropertyName("data");
                data.WriteTo(json);
            }

            if (content.Push is { } push)
                WriteLook(json, push);
            json.WriteString("deliveryId", message.DeliveryId);
            json.WriteString("tag", content.Push?.CollapseKey ?? Topic(message.DeliveryId));
            json.WriteEndObject();
        }

        return buffer.ToArray();
    }

    private static void WriteLook(Utf8JsonWriter json, PushOptions push)
    {
        if (push.Image is { } image)
            json.WriteString("image", image);
        if (push.Web?.Icon is { } icon)
            json.WriteString("icon", icon);
        if (push.Badge is { } badge)
            json.WriteNumber("badge", badge);
        if (push.Sound == PushOptions.NoSound)
            json.WriteBoolean("silent", true);
        if (push.Web?.RequireInteraction is { } stays)
            json.WriteBoolean("requireInteraction", stays);
    }

    /// <summary>The <c>Topic</c> of a collapse key: the first 24 bytes of its SHA-256 as base64url, since a push service takes 32
    /// characters of that alphabet.</summary>
    public static string Topic(string collapseKey) =>
        Base64Url.EncodeToString(SHA256.HashData(Encoding.UTF8.GetBytes(collapseKey)).AsSpan(0, 24));

    /// <summary>The delivery's <c>Topic</c> and tag: 22 characters of base64url, of which a push service allows 32.</summary>
    public static string Topic(Guid deliveryId) => Base64Url.EncodeToString(deliveryId.ToByteArray(bigEndian: true));

    /// <summary>
    /// Returns the ID of an accepted message. Its address at the push service permits deleting it there, so only the first 16 bytes of
    /// the address's SHA-256 are kept, as base64url.
    /// </summary>
    public static string? MessageId(Uri? location) =>
        location is null ? null : Base64Url.EncodeToString(SHA256.HashData(Encoding.UTF8.GetBytes(location.OriginalString)).AsSpan(0, 16));

    private static AttemptOutcome Forbidden => new AttemptOutcome.Rejected(Reasons.BadAddress, "ForbiddenAddress");

    private async Task<AttemptOutcome> CallAsync(
        OutboundMessage message,
        Uri endpoint,
        PushService service,
        byte[] body,
        CancellationToken cancellation
    )
    {
        var now = clock.GetUtcNow();
        using var request = new HttpRequestMessage(HttpMethod.Post, endpoint)
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionOrLower,
            Content = new ByteArrayContent(body)
            {
                Headers = { ContentType = new MediaTypeHeaderValue("application/octet-stream"), ContentEncoding = { "aes128gcm" } },
            },
        };
        var headers = request.Headers;
        headers.TryAddWithoutValidation("Authorization", service.Authorization());
        headers.TryAddWithoutValidation(
            "TTL",
            TimeToLive(PushLifetime.End(message.ExpiresAt, message.Content.Push, now), now).ToString(CultureInfo.InvariantCulture)
        );
        headers.TryAddWithoutValidation("Topic", message.Content.Push?.CollapseKey is { } key ? Topic(key) : Topic(message.DeliveryId));
        headers.TryAddWithoutValidation(
            "Urgency",
            message.Priority switch
            {
                Priority.Critical => "high",
                Priority.Bulk => "low",
                _ => "normal",
            }
        );

        // The answer's body is nobody's business, and may be endless: it is not read.
        var (response, outcome) = await ProviderCall.SendAsync(client, request, cancellation, readsBody: _ => false);
        if (response is null)
            return outcome!;
        using (response)
            return WebPushStatus.Outcome(
                response.StatusCode,
                MessageId(response.Headers.Location),
                ProviderCall.RetryAfter(response.Headers, now),
                now,
                service.AcceptedLately
            );
    }

    private static long TimeToLive(DateTimeOffset? expiresAt, DateTimeOffset now) =>
        (long)Math.Clamp(((expiresAt ?? DateTimeOffset.MaxValue) - now).TotalSeconds, 0, MaxTimeToLive.TotalSeconds);
}
