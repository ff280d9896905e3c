namespace Notify.Dispatch.Providers.Sms.Vonage;

using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using Notify.Dispatch.Receipts;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Infrastructure.Hosting;

/// <summary>SMS over Vonage's SMS API.</summary>
/// <remarks>It has no idempotency key: after an unclear call its reports are asked, and nothing is repeated.</remarks>
public sealed class VonageProvider : IDeliveryProvider, IAnswersInquiries, IDisposable
{
    /// <summary>How long Vonage tries to deliver a message without a <c>ttl</c>.</summary>
    public static readonly TimeSpan DefaultTtl = TimeSpan.FromHours(72);

    /// <summary>The shortest <c>ttl</c> that Vonage takes.</summary>
    public static readonly TimeSpan MinTtl = TimeSpan.FromSeconds(20);

    // A page has at most 1,000 records.
    private const int MaxPages = 20;
    private const int MaxPageBytes = 4 * 1024 * 1024;

    private readonly VonageOptions options;
    private readonly SenderIds senders;
    private readonly HttpClient client;
    private readonly TimeProvider clock;

    /// <summary>Opens no connection yet.</summary>
    public VonageProvider(VonageOptions options, TimeProvider clock)
    {
        (this.options, this.clock) = (options, clock);
        senders = SenderIds.Read("", options.From, options.Senders, services: false, []);
        client = ProviderCall.CreateClient(options.BaseUrl, options.Timeout, connectTimeout: options.ConnectTimeout);
    }

    /// <summary>Made from its settings.</summary>
    public static IDeliveryProvider? Create(IConfigurationSection settings, TimeProvider clock, ICollection<string> faults)
    {
        var before = faults.Count;
        var options = settings.Read<VonageOptions>(faults);
        options.Check(settings.Path, faults);
        return faults.Count == before ? new VonageProvider(options, clock) : null;
    }

    /// <inheritdoc />
    public string Name => "vonage";

    /// <inheritdoc />
    public Lane Lane => Lane.Sms;

    /// <inheritdoc />
    public int Concurrency => options.Concurrency;

    /// <inheritdoc />
    public TimeSpan TotalTimeout => ProviderCall.TotalTimeout(options.TotalTimeout, options.Timeout);

    /// <inheritdoc />
    public bool IsThrottle(AttemptOutcome.Retry answer) => answer.Code is "1" or "420" or "429";

    /// <inheritdoc />
    public void Dispose() => client.Dispose();

    /// <inheritdoc />
    public async Task<AttemptOutcome> SendAsync(OutboundMessage message, CancellationToken cancellation)
    {
        var text = message.Content.Body ?? "";
        var form = new List<KeyValuePair<string, string>>
        {
            new("api_key", options.ApiKey),
            new("api_secret", options.ApiSecret),
            new("from", Number(senders.For(message.Address)!)),
            new("to", Number(message.Address)),
            new("text", text),
            new("client-ref", message.DeliveryId.ToString("N")),
        };
        if (ReceiptsUrl.For(options.ReceiptsUrl, options.BaseUrl) is { } receipts)
            form.Add(new("callback", VonageReceipts.Callback(receipts)));
        if (TimeToLive(message.ExpiresAt) is { } milliseconds)
            form.Add(new("ttl", milliseconds));
        if (!SmsText.IsGsm7(text))
            form.Add(new("type", "unicode"));

        using var request = new HttpRequestMessage(HttpMethod.Post, "/sms/json")
        {
            Content = new FormUrlEncodedContent(form),
            Version = HttpVersion.Version11,
        };
        var (response, outcome) = await ProviderCall.SendAsync(client, request, cancellation);
        if (response is null)
            return outcome!;
        using (response)
            return VonageStatus.Outcome(
                response.StatusCode,
                VonageStatus.Read(await response.Content.ReadAsByteArrayAsync(cancellation)),
                ProviderCall.RetryAfter(response.Headers, clock.GetUtcNow())
            );
    }

    /// <inheritdoc />
    /// <remarks>
    /// Vonage documents no time within which a message is in its reports: an answer without it is never complete, and leads to
    /// no repeat. The reports cost extra and may not be enabled for the account; then only receipts give the outcome.
    /// </remarks>
    public async Task<InquiryAnswer?> AskAsync(OutboundMessage message, DateTimeOffset attemptedAt, CancellationToken cancellation)
    {
        var (from, until) = (attemptedAt - VonageReports.ClockSkew, attemptedAt + options.Timeout + VonageReports.ClockSkew);
        var next = new Uri(options.EffectiveReportsUrl, VonageReports.Query(options.ApiKey, Number(message.Address), from, until));
        var found = new List<string>();
        for (var page = 0; next is not null && page < MaxPages; page++)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, next) { Version = HttpVersion.Version11 };
            request.Headers.Authorization = new AuthenticationHeaderValue(
                "Basic",
                Convert.ToBase64String(Encoding.UTF8.GetBytes($"{options.ApiKey}:{options.ApiSecret}"))
            );
            var (response, _) = await ProviderCall.SendAsync(client, request, cancellation, maxAnswer: MaxPageBytes);
            if (response is null)
                return null;
            using (response)
            {
                if (response.StatusCode != HttpStatusCode.OK)
                    return null;
                var body = await response.Content.ReadAsByteArrayAsync(cancellation);
                if (VonageReports.Read(body, message, from, until) is not { } here)
                    return null;
                found.AddRange(here.MessageIds);
                next = here.Next is { } path ? new Uri(options.EffectiveReportsUrl, path) : null;
            }
        }

        return new InquiryAnswer(found, [], IsComplete: false);
    }

    // Vonage, SMS API: «ttl … in milliseconds», 20,000 to 604,800,000; by default 72 hours.
    private string? TimeToLive(DateTimeOffset? expiresAt)
    {
        if (expiresAt is not { } end || end - clock.GetUtcNow() is var left && left >= DefaultTtl)
            return null;
        return Math.Max(MinTtl.TotalMilliseconds, Math.Floor(left.TotalMilliseconds)).ToString("F0", CultureInfo.InvariantCulture);
    }

    private static string Number(string e164) => e164.TrimStart('+');
}
