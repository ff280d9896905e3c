namespace Notify.Dispatch.Providers.Email.Mailchimp;

using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Infrastructure.Hosting;

/// <summary>Email over Mailchimp Transactional's <c>messages/send</c>.</summary>
/// <remarks>It has no idempotency key, and its search lags: an unclear call stays unknown until a receipt or its deadline, and nothing is
/// repeated.</remarks>
public sealed class MailchimpProvider : IDeliveryProvider, IDisposable
{
    /// <summary>The metadata field with the delivery's ID; webhooks return it.</summary>
    public const string DeliveryField = "notify_delivery";

    /// <summary>The largest request, in bytes.</summary>
    public const int MaxBytes = 25 * 1024 * 1024;

    private readonly MailchimpOptions options;
    private readonly EmailSender from;
    private readonly HttpClient client;
    private readonly TimeProvider clock;
    private readonly Uri address;

    /// <summary>Opens no connection yet.</summary>
    public MailchimpProvider(MailchimpOptions options, EmailSender from, TimeProvider clock)
    {
        (this.options, this.from, this.clock) = (options, from, clock);
        client = ProviderCall.CreateClient(options.BaseUrl, options.Timeout, connectTimeout: options.ConnectTimeout);
        var path = options.BaseUrl.AbsolutePath.TrimEnd('/');
        address = new Uri(options.BaseUrl, $"{(path.Length == 0 ? "/api/1.0" : path)}/messages/send.json");
    }

    /// <summary>Made from its settings.</summary>
    public static IDeliveryProvider? Create(IConfigurationSection settings, TimeProvider clock, ICollection<string> faults)
    {
        var before = faults.Count;
        var options = settings.Read<MailchimpOptions>(faults);
        var from = options.LoadSender(settings.Path, faults);
        return faults.Count == before ? new MailchimpProvider(options, from!, clock) : null;
    }

    /// <inheritdoc />
    public string Name => "mailchimp";

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
        var (to, fault) = EmailAddresses.ForApi(message.Address);
        if (to is null)
            return new AttemptOutcome.Rejected(Reasons.BadAddress, fault);
        if (EmailSubject.InApi(message.Content) is not { } subject)
            return new AttemptOutcome.Rejected(Reasons.NoContent, "subject");
        var mail = Mail(message, to, subject);
        if (mail.Length > MaxBytes)
            return new AttemptOutcome.Rejected(Reasons.TooLarge, "413");

        using var request = new HttpRequestMessage(HttpMethod.Post, address)
        {
            Version = HttpVersion.Version11,
            Content = new ByteArrayContent(mail) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") } },
        };
        var (response, outcome) = await ProviderCall.SendAsync(client, request, cancellation);
        if (response is null)
            return outcome!;
        using (response)
        {
            var body = await response.Content.ReadAsByteArrayAsync(cancellation);
            return MailchimpStatus.Outcome(response.StatusCode, body, ProviderCall.RetryAfter(response.Headers, clock.GetUtcNow()));
        }
    }

    private byte[] Mail(OutboundMessage message, string to, string subject)
    {
        using var buffer = new MemoryStream(1024);
        using (var json = new Utf8JsonWriter(buffer, ProviderJson.Writing))
        {
            json.WriteStartObject();
            json.WriteString("key", options.ApiKey);
            json.WriteStartObject("message");
            if (EmailText.Of(message.Content.Html) is { } html)
                json.WriteString("html", html);
            if (EmailText.Of(message.Content.Body) is { } text)
                json.WriteString("text", text);
            json.WriteString("subject", subject);
            json.WriteString("from_email", from.Address);
            if (from.Of(message).NameInApi is { } name)
                json.WriteString("from_name", name);
            json.WriteStartArray("to");
            json.WriteStartObject();
            json.WriteString("email", to);
            json.WriteString("type", "to");
            json.WriteEndObject();
            json.WriteEndArray();
            json.WriteBoolean("important", message.Priority == Priority.Critical);
            json.WriteBoolean("auto_text", false);
            json.WriteBoolean("auto_html", false);
            if (!options.Tracking)
            {
                json.WriteBoolean("track_opens", false);
                json.WriteBoolean("track_clicks", false);
            }

            WriteHeaders(json, message);
            WriteFiles(json, message);
            json.WriteStartObject("metadata");
            json.WriteString(DeliveryField, message.DeliveryId);
            json.WriteEndObject();
            json.WriteEndObject();
            json.WriteEndObject();
        }

        return buffer.ToArray();
    }

    private static void WriteHeaders(Utf8JsonWriter json, OutboundMessage message)
    {
        json.WriteStartObject("headers");
        foreach (var (name, value) in EmailHeaders.Of(message))
            json.WriteString(name, value);
        if (message.ReplyTo is { } answers)
            json.WriteString("Reply-To", answers);
        json.WriteEndObject();
    }

    // Inline files are sent as images, named by their content ID; Mailchimp accepts only pictures there.
    private static void WriteFiles(Utf8JsonWriter json, OutboundMessage message)
    {
        foreach (
            var group in EmailFiles
                .Of(message.Content)
                .ToLookup(f => f.ContentId is not null && f.ContentType.StartsWith("image/", StringComparison.OrdinalIgnoreCase))
        )
        {
            json.WriteStartArray(group.Key ? "images" : "attachments");
            foreach (var file in group)
            {
                json.WriteStartObject();
                json.WriteString("type", file.ContentType);
                json.WriteString("name", group.Key ? file.ContentId : file.Filename);
                json.WriteBase64String("content", file.Content);
                json.WriteEndObject();
            }

            json.WriteEndArray();
        }
    }
}
