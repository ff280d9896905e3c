namespace Notify.Tests.Dispatch.Example;

using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.Extensions.Configuration;
using Notify.Dispatch.Providers;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Infrastructure.Hosting;

/// <summary>Settings of Clickline, a made-up SMS service: <c>Providers:Clickline</c>.</summary>
public sealed record ClicklineOptions
{
    /// <summary>The account's key.</summary>
    public string ApiKey { get; init; } = "";

    /// <summary>The number that messages come from.</summary>
    public string From { get; init; } = "";

    /// <summary>The service's address.</summary>
    public Uri BaseUrl { get; init; } = new("https://api.clickline.example");

    /// <summary>Calls under way at once.</summary>
    public int Concurrency { get; init; } = 50;

    /// <summary>How long one request may take.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Checks the settings; every fault is added to <paramref name="faults"/>.</summary>
    public void Check(string section, ICollection<string> faults)
    {
        ProviderCall.Check(section, BaseUrl, Concurrency, Timeout, faults);
        if (ApiKey.Length == 0)
            faults.Add($"{section}:ApiKey is missing; it is on the account's page");
        if (From.Length == 0)
            faults.Add($"{section}:From is missing; give the number that messages come from");
    }
}

/// <summary>SMS over Clickline.</summary>
public sealed class ClicklineProvider : IDeliveryProvider, IDisposable
{
    private readonly ClicklineOptions options;
    private readonly HttpClient client;
    private readonly TimeProvider clock;

    /// <summary>Opens no connection yet.</summary>
    public ClicklineProvider(ClicklineOptions options, TimeProvider clock)
    {
        (this.options, this.clock) = (options, clock);
        client = ProviderCall.CreateClient(options.BaseUrl, options.Timeout);
        client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", options.ApiKey);
    }

    /// <summary>Made from its settings.</summary>
    public static IDeliveryProvider? Create(IConfigurationSection settings, TimeProvider clock, ICollection<string> faults)
    {
        var before = faults.Count;
        var options = settings.Read<ClicklineOptions>(faults);
        options.Check(settings.Path, faults);
        return faults.Count == before ? new ClicklineProvider(options, clock) : null;
    }

    /// <inheritdoc />
    public string Name => "clickline";

    /// <inheritdoc />
    public Lane Lane => Lane.Sms;

    /// <inheritdoc />
    public int Concurrency => options.Concurrency;

    /// <inheritdoc />
    public void Dispose() => client.Dispose();

    /// <inheritdoc />
    public async Task<AttemptOutcome> SendAsync(OutboundMessage message, CancellationToken cancellation)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/messages")
        {
            Version = HttpVersion.Version11,
            Content = JsonContent.Create(
                new
                {
                    to = message.Address,
                    from = options.From,
                    text = message.Content.Body,
                    reference = message.DeliveryId,
                }
            ),
        };
        var (response, outcome) = await ProviderCall.SendAsync(client, request, cancellation);
        if (response is null)
            return outcome!;
        using (response)
            return ClicklineStatus.Outcome(
                response.StatusCode,
                await response.Content.ReadAsByteArrayAsync(cancellation),
                ProviderCall.RetryAfter(response.Headers, clock.GetUtcNow())
            );
    }
}

/// <summary>What Clickline's answers mean: the whole table.</summary>
public static class ClicklineStatus
{
    /// <summary>The outcome of an answer to <c>POST /messages</c>.</summary>
    public static AttemptOutcome Outcome(HttpStatusCode status, byte[] body, TimeSpan? retryAfter)
    {
        var word = Read(body, "code") ?? ((int)status).ToString(CultureInfo.InvariantCulture);
        return ((int)status, word) switch
        {
            // Its own sign of acceptance is 202 with an ID. Any other yes may be a gateway's.
            (202, _) when Read(body, "id") is { Length: > 0 } id => new AttemptOutcome.Accepted(id),
            (>= 200 and < 300, _) => new AttemptOutcome.Unknown(Reasons.UnreadableAnswer),
            // Our fault, not the person's: the deliveries wait, and an alert is raised.
            (401 or 403, _) => new AttemptOutcome.Halted(word),
            (400, "unknown_sender") => new AttemptOutcome.Halted(word),
            // The person's: say so, and if they do not want it, never again.
            (400, "bad_number") => new AttemptOutcome.Rejected(Reasons.BadAddress, word),
            (400, "opted_out") => new AttemptOutcome.Rejected(Reasons.OptedOutAtProvider, word, AddressVerdict.Suppress),
            (429, _) => new AttemptOutcome.Retry(Reasons.Retry, word, retryAfter),
            // All else as HTTP means it. Only with Clickline's own error document is it the message's fault, or sure not to be taken.
            _ => HttpAnswers.OfMessage((int)status, Read(body, "code") is not null, word, retryAfter),
        };
    }

    private static string? Read(byte[] body, string name)
    {
        try
        {
            using var json = JsonDocument.Parse(body);
            return
                json.RootElement.ValueKind == JsonValueKind.Object
                && json.RootElement.TryGetProperty(name, out var value)
                && value.ValueKind == JsonValueKind.String
                ? value.GetString()
                : null;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return null;
        }
    }
}
