namespace Notify.Delivery.Monitoring;

using System.Globalization;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Notify.Infrastructure.Hosting;
using Notify.Infrastructure.Networking;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>
/// Posts alerts in the form of Standard Webhooks, at least once each: until the receiver answers with 2xx, with growing
/// pauses, and always under the same <c>webhook-id</c>. Runs on every host that may judge; each post is one host's at a time.
/// </summary>
/// <remarks>Standard Webhooks 1.0: <c>webhook-id</c>, <c>webhook-timestamp</c>, <c>webhook-signature</c>.</remarks>
public sealed class AlertWebhook(NpgsqlDataSource database, AlertRules rules, TimeProvider clock, ILogger<AlertWebhook> log)
    : BackgroundService
{
    private static readonly TimeSpan FirstDelay = TimeSpan.FromSeconds(5);
    private readonly HttpClient client = CreateClient(rules);

    /// <summary>The client that posts: no redirects, no cookies, no proxy, and only to addresses that <see cref="OutboundGuard"/> lets
    /// through.</summary>
    /// <param name="guard">Which addresses those are; as the rules say, unless given.</param>
    public static HttpClient CreateClient(AlertRules rules, OutboundGuard? guard = null) =>
        new(
            new SocketsHttpHandler
            {
                AllowAutoRedirect = false,
                UseCookies = false,
                UseProxy = false, // it would resolve names by itself
                ActivityHeadersPropagator = null,
                ConnectCallback = (guard ?? rules.Guard).ConnectAsync,
                PooledConnectionIdleTimeout = TimeSpan.FromSeconds(30),
            }
        )
        {
            Timeout = rules.WebhookTimeout,
        };

    /// <summary>The value of <c>webhook-signature</c>.</summary>
    public static string Sign(ReadOnlySpan<byte> key, string id, string timestamp, string body) =>
        $"v1,{Convert.ToBase64String(HMACSHA256.HashData(key, Encoding.UTF8.GetBytes($"{id}.{timestamp}.{body}")))}";

    /// <summary>The pause after an attempt: doubled each time, up to the longest, half of it by chance.</summary>
    /// <param name="random">Uniform in [0, 1).</param>
    public static TimeSpan Pause(int attempt, TimeSpan longest, double random)
    {
        var pause = TimeSpan.FromSeconds(Math.Min(longest.TotalSeconds, FirstDelay.TotalSeconds * Math.Pow(2, Math.Min(attempt - 1, 20))));
        return (pause / 2) + (pause / 2 * random);
    }

    /// <summary>Posts what is due.</summary>
    public async Task SendAsync(CancellationToken cancellation)
    {
        while (
            await NoticeTable.TakeAsync(database, clock.GetUtcNow(), rules.WebhookTimeout + TimeSpan.FromSeconds(5), cancellation)
                is { } notice
        )
        {
            var error = await PostAsync(notice, cancellation);
            if (error is null)
            {
                await NoticeTable.DeliveredAsync(database, notice.Id, clock.GetUtcNow(), CancellationToken.None);
                continue;
            }

            var pause = Pause(notice.Attempts, rules.WebhookMaxDelay, Random.Shared.NextDouble());
            await NoticeTable.LaterAsync(database, notice.Id, clock.GetUtcNow() + pause, error, CancellationToken.None);
            if (notice.Attempts == 1 || notice.Attempts % 20 == 0)
                log.LogWarning(
                    "The webhook at {Host} did not take alert {Id} (attempt {Attempt}: {Error}); it is tried again until it does.",
                    rules.WebhookUrl!.Host,
                    notice.Id,
                    notice.Attempts,
                    error
                );
        }
    }

    /// <inheritdoc />
    public override void Dispose()
    {
        client.Dispose();
        base.Dispose();
    }

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (rules.WebhookUrl is null)
            return;
        using var timer = new PeriodicTimer(rules.Pace < TimeSpan.FromSeconds(2) ? rules.Pace : TimeSpan.FromSeconds(2), clock);
        while (await timer.NextAsync(stoppingToken))
        {
            try
            {
                await SendAsync(stoppingToken);
            }
            catch (Exception e) when (e is OperationCanceledException || DatabaseFaults.IsPassing(e))
            {
                if (stoppingToken.IsCancellationRequested)
                    return;
                log.LogWarning("Alerts could not be posted ({Reason}); it is tried again.", e.Message.Split('\n')[0]);
            }
        }
    }

    // Returns the fault, without any part of the webhook's address; null: the post was accepted.
    private async Task<string?> PostAsync(DueNotice notice, CancellationToken cancellation)
    {
        var timestamp = clock.GetUtcNow().ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture);
        using var request = new HttpRequestMessage(HttpMethod.Post, rules.WebhookUrl)
        {
            Content = new ByteArrayContent(Encoding.UTF8.GetBytes(notice.Body))
            {
                Headers = { ContentType = new MediaTypeHeaderValue("application/json") },
            },
            Headers =
            {
                { "webhook-id", notice.Id },
                { "webhook-timestamp", timestamp },
                { "webhook-signature", Sign(rules.WebhookKey(), notice.Id, timestamp, notice.Body) },
            },
        };
        try
        {
            using var response = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellation);
            return response.IsSuccessStatusCode ? null : $"it answered {(int)response.StatusCode}";
        }
        catch (HttpRequestException e)
        {
            return e.HttpRequestError.ToString();
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            return $"no answer within {rules.WebhookTimeout.TotalSeconds:0.#} s";
        }
    }
}
