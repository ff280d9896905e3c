using System.Net;
using System.Net.Http.Headers;
using System.Text;
using Notify.Dispatch.Dispatching;
using Notify.Domain.Notifications;
using Notify.Projections.Hosting;

namespace Notify.Dispatch.Email.SendGrid;

/// <summary>Email over SendGrid's Mail Send.</summary>
/// <remarks>
/// It has no idempotency key and cannot be asked what it has: an unclear call stays unknown until its deadline, and nothing
/// is repeated. The calls are made here and not by the SDK's client, so that what never left is told from what may have arrived.
/// </remarks>
public sealed class SendGridProvider : IDeliveryProvider, IDisposable
{
    private const string Path = "/v3/mail/send";

    private readonly SendGridOptions options;
    private readonly EmailSender from;
    private readonly HttpClient client;
    private readonly TimeProvider clock;

    /// <summary>Opens no connection yet.</summary>
    public SendGridProvider(SendGridOptions options, EmailSender from, TimeProvider clock)
    {
        (this.options, this.from, this.clock) = (options, from, clock);
        client = ProviderCall.CreateClient(options.BaseUrl, options.Timeout, connectTimeout: options.ConnectTimeout);
        client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", options.ApiKey);
        client.DefaultRequestHeaders.Accept.Add(new MediaTypeWithQualityHeaderValue("application/json"));
    }

    /// <summary>Made from its settings.</summary>
    public static IDeliveryProvider? Create(IConfigurationSection settings, TimeProvider clock, ICollection<string> faults)
    {
        var before = faults.Count;
        var options = settings.Read<SendGridOptions>(faults);
        var from = options.LoadSender(settings.Path, faults);
        return faults.Count == before ? new SendGridProvider(options, from!, clock) : null;
    }

    /// <inheritdoc />
    public string Name => "sendgrid";

    /// <inheritdoc />
    public Lane Lane => Lane.Email;

    /// <inheritdoc />
    public int Concurrency => options.Concurrency;

    /// <inheritdoc />
    public TimeSpan TotalTimeout => ProviderCall.TotalTimeout(options.TotalTimeout, options.Timeout);

    /// <inheritdoc />
    public void Dispose() => client.Dispose();

    /// <inheritdoc />
    public async Task<AttemptOutcome> SendAsync(OutboundMessage message, CancellationToken cancellation)
    {
        if (EmailAddresses.ToAscii(message.Address) is not { } address) return new AttemptOutcome.Rejected(Reasons.BadAddress, "domain");
        if (EmailSubject.Of(message.Content) is not { } subject) return new AttemptOutcome.Rejected(Reasons.NoContent, "subject");
        var mail = Encoding.UTF8.GetBytes(SendGridMail.Of(message, address, subject, from).Serialize());
        if (mail.Length > SendGridMail.MaxBytes) return new AttemptOutcome.Rejected(Reasons.TooLarge, "413");

        using var request = new HttpRequestMessage(HttpMethod.Post, Path)
        {
            Version = HttpVersion.Version11,
            Content = new ByteArrayContent(mail) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") } },
        };
        var (response, outcome) = await ProviderCall.SendAsync(client, request, cancellation);
        if (response is null) return outcome!;
        using (response)
        {
            var messageId = response.Headers.TryGetValues("X-Message-Id", out var ids) ? ids.FirstOrDefault() : null;
            var fields = response.IsSuccessStatusCode ? [] : SendGridStatus.Read(await response.Content.ReadAsByteArrayAsync(cancellation));
            return SendGridStatus.Outcome(response.StatusCode, fields, messageId, SendGridStatus.RetryAfter(response.StatusCode, response.Headers, clock.GetUtcNow()));
        }
    }
}
