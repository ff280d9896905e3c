namespace Notify.Dispatch.Providers.Fcm;

using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography.X509Certificates;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Infrastructure.Hosting;

/// <summary>Firebase Cloud Messaging, HTTP v1: Android.</summary>
/// <remarks>Firebase: Send a message using FCM HTTP v1 API.</remarks>
public sealed class FcmProvider : IDeliveryProvider, IDisposable
{
    private static readonly MediaTypeHeaderValue Json = new("application/json");

    private readonly FcmOptions options;
    private readonly FcmAccount account;
    private readonly FcmToken token;
    private readonly HttpClient client;
    private readonly TimeProvider clock;
    private readonly string path;

    /// <summary>Opens no connection yet.</summary>
    /// <param name="trustedCa">A certificate to trust besides the system's, for a stand-in that speaks HTTP/2.</param>
    public FcmProvider(FcmOptions options, FcmAccount account, TimeProvider clock, X509Certificate2? trustedCa = null)
    {
        (this.options, this.account, this.clock) = (options, account, clock);
        path = $"/v1/projects/{Uri.EscapeDataString(account.ProjectId)}/messages:send";
        token = new FcmToken(account, options.Timeout, clock, trustedCa);
        client = ProviderCall.CreateClient(options.BaseUrl, options.Timeout, trustedCa, options.ConnectTimeout);
    }

    /// <summary>Made from its settings.</summary>
    public static IDeliveryProvider? Create(IConfigurationSection settings, TimeProvider clock, ICollection<string> faults)
    {
        var options = settings.Read<FcmOptions>(faults);
        return options.LoadAccount(settings.Path, faults) is { } account ? new FcmProvider(options, account, clock) : null;
    }

    /// <inheritdoc />
    public string Name => "fcm";

    /// <inheritdoc />
    public Lane Lane => Lane.Fcm;

    /// <inheritdoc />
    public int Concurrency => options.Concurrency;

    /// <inheritdoc />
    public TimeSpan TotalTimeout => ProviderCall.TotalTimeout(options.TotalTimeout, options.Timeout);

    /// <inheritdoc />
    /// <remarks>Firebase: 600,000 messages a minute for a project, reached over at least a minute.</remarks>
    public Pace Pace => new() { RatePerSecond = 10_000, RampUp = TimeSpan.FromMinutes(1) };

    /// <inheritdoc />
    public bool IsThrottle(AttemptOutcome.Retry answer) => answer.Code is "429" or "QUOTA_EXCEEDED" or "RESOURCE_EXHAUSTED";

    /// <inheritdoc />
    public void Dispose()
    {
        client.Dispose();
        token.Dispose();
        account.Dispose();
    }

    /// <inheritdoc />
    public async Task<AttemptOutcome> SendAsync(OutboundMessage message, CancellationToken cancellation)
    {
        if (FcmPayload.Write(message, clock.GetUtcNow()) is not { } payload)
            return new AttemptOutcome.Rejected(Reasons.TooLarge, "INVALID_ARGUMENT");

        var (outcome, wrong) = await CallAsync(payload, cancellation);
        if (wrong is null)
            return outcome;
        token.Discard(wrong);
        return (await CallAsync(payload, cancellation)).Outcome;
    }

    // Besides the outcome: the token that FCM did not know, if that was it.
    private async Task<(AttemptOutcome Outcome, AuthenticationHeaderValue? Wrong)> CallAsync(
        ReadOnlyMemory<byte> payload,
        CancellationToken cancellation
    )
    {
        var (authorization, trouble) = await token.HeaderAsync(cancellation);
        if (authorization is null)
            return (trouble!, null);

        using var request = new HttpRequestMessage(HttpMethod.Post, path)
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionOrLower,
            Content = new ReadOnlyMemoryContent(payload) { Headers = { ContentType = Json } },
        };
        request.Headers.Authorization = authorization;

        var calledAt = clock.GetUtcNow();
        var (response, outcome) = await ProviderCall.SendAsync(client, request, cancellation);
        if (response is null)
            return (outcome!, null);
        using (response)
        {
            var body = await response.Content.ReadAsByteArrayAsync(cancellation);
            var (name, error) = response.IsSuccessStatusCode
                ? (FcmStatus.ReadName(body), default(FcmError))
                : (null, FcmStatus.ReadError(body));
            outcome = FcmStatus.Outcome(
                response.StatusCode,
                error,
                name,
                calledAt,
                ProviderCall.RetryAfter(response.Headers, clock.GetUtcNow())
            );
            return (
                outcome,
                response.StatusCode == HttpStatusCode.Unauthorized && error.ErrorCode != "THIRD_PARTY_AUTH_ERROR" ? authorization : null
            );
        }
    }
}
