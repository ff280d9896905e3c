namespace Notify.Dispatch.Providers.Apns;

using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using Notify.Delivery.Monitoring;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Infrastructure.Hosting;

/// <summary>Apple Push Notification service over HTTP/2 with provider tokens.</summary>
/// <remarks>Apple: Sending notification requests to APNs. Repeats of a delivery replace each other on the device by
/// <c>apns-collapse-id</c>.</remarks>
public sealed class ApnsProvider : IDeliveryProvider, IDisposable
{
    /// <summary>The longest that APNs keeps a push for a device that is away.</summary>
    /// <remarks>Apple: Sending notification requests to APNs, <c>apns-expiration</c>.</remarks>
    public static readonly TimeSpan MaxStorage = TimeSpan.FromDays(30);

    // An operator adds the settings, or starts the hosts again that lack them.
    private static readonly TimeSpan MissingAppWait = TimeSpan.FromMinutes(1);

    private readonly ApnsOptions options;
    private readonly Target[] targets;
    private readonly Line[] lines;
    private readonly TimeProvider clock;
    private int turn;

    /// <summary>Opens no connection yet.</summary>
    /// <param name="key">The key of the provider's own settings.</param>
    /// <param name="further">The further apps; <c>null</c>: none.</param>
    public ApnsProvider(ApnsOptions options, ECDsa key, TimeProvider clock, IReadOnlyList<ApnsApp>? further = null)
    {
        (this.options, this.clock) = (options, clock);
        ApnsApp[] apps = [ApnsApps.Own(options, key), .. further ?? []];
        var tokens = new Dictionary<(string, string), ApnsToken>();
        var shared = new Dictionary<(Uri, string, string), Line>();
        targets = Array.ConvertAll(
            apps,
            app => new Target(app.Identity, LineOf(app), apps.Length > 1 ? new AppCircuit(this, clock) : null)
        );
        lines = [.. shared.Values];
        Apps = [.. apps.Select(a => a.Identity)];

        // Apps of one key share their connections and its tokens: Apple allows one team a connection, and few tokens a key.
        Line LineOf(ApnsApp app)
        {
            if (shared.TryGetValue((app.Address, app.TeamId, app.KeyId), out var line))
                return line;
            if (!tokens.TryGetValue((app.TeamId, app.KeyId), out var token))
                tokens[(app.TeamId, app.KeyId)] = token = new ApnsToken(app.Key, app.TeamId, app.KeyId, clock);
            return shared[(app.Address, app.TeamId, app.KeyId)] = new Line(token, ClientsOf(app.Address));
        }
    }

    /// <summary>Made from its settings.</summary>
    public static IDeliveryProvider? Create(IConfigurationSection settings, TimeProvider clock, ICollection<string> faults)
    {
        var options = settings.Read<ApnsOptions>(faults);
        if (options.LoadKey(settings.Path, faults) is not { } key)
            return null;
        var before = faults.Count;
        var further = ApnsApps.Further(options, key, settings.Path, faults);
        return faults.Count == before ? new ApnsProvider(options, key, clock, further) : null;
    }

    /// <inheritdoc />
    public string Name => "apns";

    /// <inheritdoc />
    public Lane Lane => Lane.Apns;

    /// <inheritdoc />
    public int Concurrency => options.Concurrency;

    /// <inheritdoc />
    public IReadOnlyList<CarriedApp> Apps { get; }

    /// <inheritdoc />
    public TimeSpan TotalTimeout => ProviderCall.TotalTimeout(options.TotalTimeout, options.Timeout);

    /// <inheritdoc />
    public bool IsThrottle(AttemptOutcome.Retry answer) => answer.Code is "429" or "TooManyProviderTokenUpdates";

    /// <inheritdoc />
    public void Dispose()
    {
        foreach (var client in lines.SelectMany(l => l.Clients))
            client.Dispose();
    }

    /// <inheritdoc />
    public async Task<AttemptOutcome> SendAsync(OutboundMessage message, CancellationToken cancellation)
    {
        if (!message.Address.All(char.IsAsciiHexDigit))
            return new AttemptOutcome.Rejected(Reasons.BadAddress, "BadDeviceToken");
        var payload = ApnsPayload.Write(message);
        if (payload.Length > ApnsPayload.MaxBytes)
            return new AttemptOutcome.Rejected(Reasons.TooLarge, "PayloadTooLarge");

        // Apple takes a token for no other app: it is sent to none in its place.
        if (DeviceApp.Choose(message.App, [.. targets.Select(t => (t.App.App, t.App.Environment))]) is not (>= 0 and var place))
            return new AttemptOutcome.Retry(Reasons.AppNotConfigured, null, MissingAppWait, IsCall: false);
        var target = targets[place];
        if (target.Circuit?.Begin() is { } wait)
            return new AttemptOutcome.Retry(Reasons.AppPaused, null, wait, IsCall: false);
        var began = clock.GetUtcNow();
        var outcome = await CallAsync(target, message, payload, cancellation);
        target.Circuit?.End(outcome, began);
        return outcome;
    }

    private async Task<AttemptOutcome> CallAsync(Target target, OutboundMessage message, byte[] payload, CancellationToken cancellation)
    {
        var header = target.Line.Token.Header();
        var outcome = await CallAsync(target, message, payload, header, cancellation);
        return outcome is AttemptOutcome.Halted { Code: "ExpiredProviderToken" }
            ? await CallAsync(target, message, payload, target.Line.Token.Renew(header), cancellation)
            : outcome;
    }

    private HttpClient[] ClientsOf(Uri address)
    {
        var trusted = TrustedCa.Load(options.TrustedCaPath);
        return
        [
            .. Enumerable
                .Range(0, Math.Clamp(options.Connections, 1, options.Concurrency))
                .Select(_ => ProviderCall.CreateClient(address, options.Timeout, trusted, options.ConnectTimeout, LongLived)),
        ];
    }

    // One connection each, with as many streams as Apple allows: one at first, until a token was accepted. Requests that find
    // no free stream wait; another connection would look like an attack to Apple. A lost connection is detected also while idle.
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

    private async Task<AttemptOutcome> CallAsync(
        Target target,
        OutboundMessage message,
        byte[] payload,
        string authorization,
        CancellationToken cancellation
    )
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, $"/3/device/{message.Address}")
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = new ByteArrayContent(payload) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") } },
        };
        var headers = request.Headers;
        headers.TryAddWithoutValidation("authorization", authorization);
        headers.TryAddWithoutValidation("apns-topic", target.App.App);
        var isShown = message.Content.IsShown;
        headers.TryAddWithoutValidation("apns-push-type", isShown ? "alert" : "background");
        // Apple takes no other for background.
        headers.TryAddWithoutValidation("apns-priority", isShown && message.Priority != Priority.Bulk ? "10" : "5");
        headers.TryAddWithoutValidation("apns-id", message.DeliveryId.ToString());
        headers.TryAddWithoutValidation("apns-collapse-id", message.Content.Push?.CollapseKey ?? message.DeliveryId.ToString("N"));
        if (PushLifetime.End(message.ExpiresAt, message.Content.Push, clock.GetUtcNow()) is { } expires)
            headers.TryAddWithoutValidation("apns-expiration", Expiration(expires, message.Content.Push));

        var clients = target.Line.Clients;
        var client = clients[(int)((uint)Interlocked.Increment(ref turn) % (uint)clients.Length)];
        var (response, outcome) = await ProviderCall.SendAsync(client, request, cancellation);
        if (response is null)
            return outcome!;
        using (response)
        {
            var apnsId = response.Headers.TryGetValues("apns-id", out var ids) ? ids.FirstOrDefault() : null;
            var body = await response.Content.ReadAsByteArrayAsync(cancellation);
            var (reason, timestamp) = response.IsSuccessStatusCode ? default : ApnsStatus.Read(body);
            var retryAfter = ProviderCall.RetryAfter(response.Headers, clock.GetUtcNow());
            return ApnsStatus.Outcome(response.StatusCode, reason, timestamp, apnsId, retryAfter, body.Length > 0);
        }
    }

    // The connections to one address with the tokens of one key.
    private sealed record Line(ApnsToken Token, HttpClient[] Clients);

    private sealed record Target(CarriedApp App, Line Line, AppCircuit? Circuit);
}
