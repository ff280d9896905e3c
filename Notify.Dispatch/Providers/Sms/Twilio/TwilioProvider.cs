namespace Notify.Dispatch.Providers.Sms.Twilio;

using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using Notify.Dispatch.Receipts;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Infrastructure.Hosting;

/// <summary>Settings of Twilio: <c>Providers:Twilio</c>.</summary>
public sealed record TwilioOptions
{
    /// <summary>The account, <c>AC…</c>.</summary>
    public string AccountSid { get; init; } = "";

    /// <summary>The account's secret.</summary>
    public string AuthToken { get; init; } = "";

    /// <summary>The sender: a number, short code or alphanumeric ID; or <see cref="MessagingServiceSid"/>.</summary>
    public string? From { get; init; }

    /// <summary>A messaging service, <c>MG…</c>.</summary>
    public string? MessagingServiceSid { get; init; }

    /// <summary>Senders, or messaging services, for countries that want one of their own; see <see cref="SenderIds"/>.</summary>
    public Dictionary<string, string> Senders { get; init; } = [];

    /// <summary>The service's address.</summary>
    public Uri BaseUrl { get; init; } = new("https://api.twilio.com");

    /// <summary>Where Twilio posts what becomes of messages; by default <c>Notify:ReceiptsUrl</c>.</summary>
    public Uri? ReceiptsUrl { get; init; }

    /// <summary>Calls under way at once.</summary>
    public int Concurrency { get; init; } = 100;

    /// <summary>The time limit for establishing a connection.</summary>
    public TimeSpan ConnectTimeout { get; init; } = ProviderCall.ConnectTimeout;

    /// <summary>How long one request may take.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long all requests for one delivery may take together; see <see cref="ProviderCall.TotalTimeout"/>.</summary>
    public TimeSpan? TotalTimeout { get; init; }

    /// <summary>Checks the settings; every fault is added to <paramref name="faults"/>.</summary>
    public void Check(string section, ICollection<string> faults)
    {
        ProviderCall.Check(section, BaseUrl, Concurrency, Timeout, faults, ConnectTimeout, TotalTimeout);
        if (AccountSid.Length == 0)
            faults.Add($"{section}:AccountSid is missing; it begins with AC");
        if (AuthToken.Length == 0)
            faults.Add($"{section}:AuthToken is missing");
        if (string.IsNullOrEmpty(From) && string.IsNullOrEmpty(MessagingServiceSid))
            faults.Add($"{section}:From or {section}:MessagingServiceSid is missing");
        SenderIds.Read(section, From, Senders, services: true, faults);
    }
}

/// <summary>SMS over Twilio's Messages resource.</summary>
/// <remarks>
/// It has no idempotency key: after an unclear call Twilio is asked for the messages to the number, and nothing is repeated
/// before it surely has none that could be this one (<see cref="TwilioInquiry"/>).
/// </remarks>
public sealed class TwilioProvider : IDeliveryProvider, IAnswersInquiries, IDisposable
{
    /// <summary>The longest that Twilio keeps a message in its queue, and what it takes without a <c>ValidityPeriod</c>.</summary>
    public static readonly TimeSpan MaxValidity = TimeSpan.FromSeconds(36_000);

    /// <summary>The longest text, in characters.</summary>
    public const int MaxBody = 1600;

    // A number that was sent more than this in a day cannot be asked about: nobody knows, and nothing is repeated.
    private const int MaxPages = 50;

    // 200 messages of 1,600 characters, each of which JSON may write as \uXXXX.
    private const int MaxPageBytes = 4 * 1024 * 1024;

    private readonly TwilioOptions options;
    private readonly SenderIds senders;
    private readonly HttpClient client;
    private readonly TimeProvider clock;
    private readonly string path;

    /// <summary>Opens no connection yet.</summary>
    public TwilioProvider(TwilioOptions options, TimeProvider clock)
    {
        (this.options, this.clock) = (options, clock);
        senders = SenderIds.Read(
            "",
            string.IsNullOrEmpty(options.MessagingServiceSid) ? options.From : options.MessagingServiceSid,
            options.Senders,
            services: true,
            []
        );
        path = $"/2010-04-01/Accounts/{Uri.EscapeDataString(options.AccountSid)}/Messages.json";
        client = ProviderCall.CreateClient(options.BaseUrl, options.Timeout, connectTimeout: options.ConnectTimeout);
        client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue(
            "Basic",
            Convert.ToBase64String(Encoding.UTF8.GetBytes($"{options.AccountSid}:{options.AuthToken}"))
        );
        client.DefaultRequestHeaders.Accept.Add(new MediaTypeWithQualityHeaderValue("application/json"));
    }

    /// <summary>Made from its settings.</summary>
    public static IDeliveryProvider? Create(IConfigurationSection settings, TimeProvider clock, ICollection<string> faults)
    {
        var before = faults.Count;
        var options = settings.Read<TwilioOptions>(faults);
        options.Check(settings.Path, faults);
        return faults.Count == before ? new TwilioProvider(options, clock) : null;
    }

    /// <inheritdoc />
    public string Name => "twilio";

    /// <inheritdoc />
    public Lane Lane => Lane.Sms;

    /// <inheritdoc />
    public int Concurrency => options.Concurrency;

    /// <inheritdoc />
    public TimeSpan TotalTimeout => ProviderCall.TotalTimeout(options.TotalTimeout, options.Timeout);

    /// <inheritdoc />
    public void Dispose() => client.Dispose();

    /// <inheritdoc />
    public async Task<AttemptOutcome> SendAsync(OutboundMessage message, CancellationToken cancellation)
    {
        var text = message.Content.Body ?? "";
        if (text.Length > MaxBody)
            return new AttemptOutcome.Rejected(Reasons.TooLarge, "21617");
        var form = new List<KeyValuePair<string, string>> { new("To", message.Address), new("Body", text) };
        var sender = senders.For(message.Address)!;
        form.Add(new(SenderIds.IsService(sender) || sender == options.MessagingServiceSid ? "MessagingServiceSid" : "From", sender));
        if (ReceiptsUrl.For(options.ReceiptsUrl, options.BaseUrl) is { } receipts)
            form.Add(new("StatusCallback", TwilioReceipts.Callback(receipts, message.DeliveryId)));
        if (ValidityPeriod(message.ExpiresAt) is { } seconds)
            form.Add(new("ValidityPeriod", seconds));

        using var request = new HttpRequestMessage(HttpMethod.Post, path)
        {
            Content = new FormUrlEncodedContent(form),
            Version = HttpVersion.Version11,
        };
        var (response, outcome) = await ProviderCall.SendAsync(client, request, cancellation);
        if (response is null)
            return outcome!;
        using (response)
        {
            var (code, sid) = TwilioStatus.Read(await response.Content.ReadAsByteArrayAsync(cancellation));
            return TwilioStatus.Outcome(response.StatusCode, code, sid, ProviderCall.RetryAfter(response.Headers, clock.GetUtcNow()));
        }
    }

    // Twilio, Messages resource: «integers from 1 to 36000. Default value is 36000.»
    private string? ValidityPeriod(DateTimeOffset? expiresAt)
    {
        if (expiresAt is not { } end || end - clock.GetUtcNow() is var left && left >= MaxValidity)
            return null;
        return Math.Max(1, (int)left.TotalSeconds).ToString(CultureInfo.InvariantCulture);
    }

    /// <inheritdoc />
    public async Task<InquiryAnswer?> AskAsync(OutboundMessage message, DateTimeOffset attemptedAt, CancellationToken cancellation)
    {
        // By the number alone: DateSent filters by a date that a queued message does not have. The newest come first.
        var next = $"{path}?To={Uri.EscapeDataString(message.Address)}&PageSize=200";
        var (text, found, unclear, isComplete) = (message.Content.Body ?? "", new List<string>(), new List<string>(), true);
        for (var page = 0; next is not null; page++)
        {
            if (page == MaxPages)
                return null;
            using var request = new HttpRequestMessage(HttpMethod.Get, next) { Version = HttpVersion.Version11 };
            var (response, _) = await ProviderCall.SendAsync(client, request, cancellation, maxAnswer: MaxPageBytes);
            if (response is null)
                return null;
            using (response)
            {
                if (response.StatusCode != HttpStatusCode.OK)
                    return null;
                var body = await response.Content.ReadAsByteArrayAsync(cancellation);
                if (TwilioInquiry.Read(body, text, attemptedAt, attemptedAt + options.Timeout) is not { } here)
                    return null;
                found.InsertRange(0, here.Sids);
                unclear.AddRange(here.Unclear);
                isComplete &= here.IsComplete;
                next = here.Next;
            }
        }

        return new InquiryAnswer(found, unclear, isComplete);
    }
}
