using System.Globalization;
using System.Net;
using Notify.Dispatch.Dispatching;
using Notify.Dispatch.Receipts;
using Notify.Domain.Notifications;
using Notify.Projections.Hosting;

namespace Notify.Dispatch.Sms.Vonage;

/// <summary>SMS over Vonage's SMS API.</summary>
/// <remarks>It has no idempotency key: after an unclear call its message search is asked, and nothing is repeated before it says no.</remarks>
public sealed class VonageProvider : IDeliveryProvider, IAnswersInquiries, IDisposable
{
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
            new("api_key", options.ApiKey), new("api_secret", options.ApiSecret), new("from", Number(senders.For(message.Address)!)), new("to", Number(message.Address)),
            new("text", text), new("client-ref", message.DeliveryId.ToString("N")),
        };
        if (ReceiptsUrl.For(options.ReceiptsUrl, options.BaseUrl) is { } receipts) form.Add(new("callback", VonageReceipts.Callback(receipts)));
        if (!SmsText.IsGsm7(text)) form.Add(new("type", "unicode"));

        using var request = new HttpRequestMessage(HttpMethod.Post, "/sms/json") { Content = new FormUrlEncodedContent(form), Version = HttpVersion.Version11 };
        var (response, outcome) = await ProviderCall.SendAsync(client, request, cancellation);
        if (response is null) return outcome!;
        using (response)
            return VonageStatus.Outcome(response.StatusCode, VonageStatus.Read(await response.Content.ReadAsByteArrayAsync(cancellation)), ProviderCall.RetryAfter(response.Headers, clock.GetUtcNow()));
    }

    /// <inheritdoc />
    public async Task<IReadOnlyList<string>?> AskAsync(OutboundMessage message, DateTimeOffset attemptedAt, CancellationToken cancellation)
    {
        // The search is by the day (UTC) on which Vonage received it: a call around midnight may be on either.
        var days = new[] { attemptedAt - VonageStatus.ClockSkew, attemptedAt + options.Timeout + VonageStatus.ClockSkew }.Select(t => t.UtcDateTime.Date).Distinct();
        var found = new List<string>();
        foreach (var day in days)
        {
            var query = $"/search/messages?api_key={Uri.EscapeDataString(options.ApiKey)}&api_secret={Uri.EscapeDataString(options.ApiSecret)}"
                + $"&date={day.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture)}&to={Number(message.Address)}";
            using var request = new HttpRequestMessage(HttpMethod.Get, query) { Version = HttpVersion.Version11 };
            var (response, _) = await ProviderCall.SendAsync(client, request, cancellation);
            if (response is null) return null;
            using (response)
            {
                if (!response.IsSuccessStatusCode) return null;
                var body = await response.Content.ReadAsByteArrayAsync(cancellation);
                if (VonageStatus.Find(body, message.Content.Body ?? "", attemptedAt, attemptedAt + options.Timeout) is not { } here) return null;
                found.AddRange(here);
            }
        }

        return found;
    }

    private static string Number(string e164) => e164.TrimStart('+');
}
