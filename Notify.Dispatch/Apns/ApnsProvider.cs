using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using Notify.Dispatch.Dispatching;
using Notify.Domain.Notifications;
using Notify.Projections.Hosting;

namespace Notify.Dispatch.Apns;

/// <summary>Apple Push Notification service over HTTP/2 with provider tokens.</summary>
/// <remarks>Apple: Sending notification requests to APNs. Repeats of a delivery replace each other on the device by <c>apns-collapse-id</c>.</remarks>
public sealed class ApnsProvider : IDeliveryProvider, IDisposable
{
    /// <summary>The longest that APNs keeps a push for a device that is away.</summary>
    /// <remarks>Apple: Sending notification requests to APNs, <c>apns-expiration</c>.</remarks>
    public static readonly TimeSpan MaxStorage = TimeSpan.FromDays(30);

    private readonly ApnsOptions options;
    private readonly ApnsToken token;
    private readonly HttpClient[] clients;
    private readonly TimeProvider clock;
    private int turn;

    /// <summary>Opens no connection yet.</summary>
    public ApnsProvider(ApnsOptions options, ECDsa key, TimeProvider clock)
    {
        (this.options, this.clock) = (options, clock);
        token = new ApnsToken(key, options.TeamId, options.KeyId, clock);
        var trusted = TrustedCa.Load(options.TrustedCaPath);
        clients = [.. Enumerable.Range(0, Math.Clamp(options.Connections, 1, options.Concurrency)).Select(_ => ProviderCall.CreateClient(options.BaseUrl, options.Timeout, trusted, options.ConnectTimeout, LongLived))];
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
    public void Dispose()
    {
        foreach (var client in clients) client.Dispose();
    }

    /// <inheritdoc />
    public async Task<AttemptOutcome> SendAsync(OutboundMessage message, CancellationToken cancellation)
    {
        if (!message.Address.All(char.IsAsciiHexDigit)) return new AttemptOutcome.Rejected(Reasons.BadAddress, "BadDeviceToken");
        var payload = ApnsPayload.Write(message);
        if (payload.Length > ApnsPayload.MaxBytes) return new AttemptOutcome.Rejected(Reasons.TooLarge, "PayloadTooLarge");

        var header = token.Header();
        var outcome = await CallAsync(message, payload, header, cancellation);
        return outcome is AttemptOutcome.Halted { Code: "ExpiredProviderToken" }
            ? await CallAsync(message, payload, token.Renew(header), cancellation)
            : outcome;
    }

    // One connection each, however many streams Apple allows on it: at first it is one, until a token was found good. What finds
    // none free waits for one; a connection more would look like an attack to Apple. A dead one is noticed also while it is idle.
    private static void LongLived(SocketsHttpHandler handler)
    {
        handler.EnableMultipleHttp2Connections = false;
        handler.PooledConnectionLifetime = Timeout.InfiniteTimeSpan;
        handler.PooledConnectionIdleTimeout = TimeSpan.FromHours(1);
        handler.KeepAlivePingPolicy = HttpKeepAlivePingPolicy.Always;
    }

    // 0: now or never. Apple keeps a push for 30 days at most.
    private string Expiration(DateTimeOffset expires, PushOptions? push)
    {
        var last = clock.GetUtcNow() + MaxStorage;
        return push?.TtlSeconds == 0 ? "0" : (expires < last ? expires : last).ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture);
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
        var isShown = message.Content.IsShown;
        headers.TryAddWithoutValidation("apns-push-type", isShown ? "alert" : "background");
        headers.TryAddWithoutValidation("apns-priority", isShown && message.Priority != Priority.Bulk ? "10" : "5"); // Apple takes no other for background
        headers.TryAddWithoutValidation("apns-id", message.DeliveryId.ToString());
        headers.TryAddWithoutValidation("apns-collapse-id", message.Content.Push?.CollapseKey ?? message.DeliveryId.ToString("N"));
        if (PushLifetime.End(message.ExpiresAt, message.Content.Push, clock.GetUtcNow()) is { } expires)
            headers.TryAddWithoutValidation("apns-expiration", Expiration(expires, message.Content.Push));

        var (response, outcome) = await ProviderCall.SendAsync(clients[(int)((uint)Interlocked.Increment(ref turn) % (uint)clients.Length)], request, cancellation);
        if (response is null) return outcome!;
        using (response)
        {
            var apnsId = response.Headers.TryGetValues("apns-id", out var ids) ? ids.FirstOrDefault() : null;
            var body = await response.Content.ReadAsByteArrayAsync(cancellation);
            var (reason, timestamp) = response.IsSuccessStatusCode ? default : ApnsStatus.Read(body);
            var retryAfter = ProviderCall.RetryAfter(response.Headers, clock.GetUtcNow());
            return ApnsStatus.Outcome(response.StatusCode, reason, timestamp, apnsId, retryAfter, body.Length > 0);
        }
    }
}
