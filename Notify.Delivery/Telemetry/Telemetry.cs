namespace Notify.Delivery.Telemetry;

using System.Diagnostics;
using System.Diagnostics.Metrics;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Notify.Domain.Channels;
using Notify.Infrastructure.Telemetry;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

/// <summary>
/// Traces and metrics under OpenTelemetry's names. They never contain an address, a token or content: provider calls
/// are traced by our own spans, not by an HTTP client's, whose URLs would contain device tokens.
/// </summary>
public static class Telemetry
{
    /// <summary>Spans of accepting, carrying and dispatching.</summary>
    public static readonly ActivitySource Source = new("Notify");

    private static readonly Meter Meter = new("Notify");

    /// <summary>Notifications accepted.</summary>
    public static readonly Counter<long> Accepted = Meter.CreateCounter<long>("notify_accepted", description: "Notifications accepted.");

    /// <summary>Calls of the API that were refused, by reason.</summary>
    public static readonly Counter<long> Refused = Meter.CreateCounter<long>(
        "notify_refused",
        description: "Calls that were refused, by reason: login, missing_scope, test_mode, token_lacks and others."
    );

    /// <summary>Commits that accepted notifications; accepted ÷ commits is the size of the groups.</summary>
    public static readonly Counter<long> Commits = Meter.CreateCounter<long>("notify_commits", description: "Grouped commits, by kind.");

    /// <summary>Queue messages sent.</summary>
    public static readonly Counter<long> Envelopes = Meter.CreateCounter<long>("notify_envelopes", description: "Queue messages sent.");

    /// <summary>Outcomes of attempts, by lane and outcome.</summary>
    public static readonly Counter<long> Outcomes = Meter.CreateCounter<long>(
        "notify_outcomes",
        description: "Outcomes of attempts, by lane and outcome."
    );

    /// <summary>From acceptance to the provider's yes to the first attempt, in seconds, by channel, lane and priority.</summary>
    public static readonly Histogram<double> AcceptToProvider = Meter.CreateHistogram(
        "notify_accept_to_provider_seconds",
        "s",
        "From acceptance to the provider's acceptance at the first attempt.",
        advice: new InstrumentAdvice<double>
        {
            HistogramBucketBoundaries = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 1800, 3600],
        }
    );

    /// <summary>Duration of provider calls, in seconds, by lane.</summary>
    public static readonly Histogram<double> ProviderCall = Meter.CreateHistogram(
        "notify_provider_call_seconds",
        "s",
        "Duration of provider calls.",
        advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] }
    );

    /// <summary>Receipts kept, by provider and what they say.</summary>
    public static readonly Counter<long> Receipts = Meter.CreateCounter<long>(
        "notify_receipts",
        description: "Receipts kept, by provider and what they say; repeated ones count once."
    );

    /// <summary>Receipts turned away, by provider and why.</summary>
    public static readonly Counter<long> ReceiptsRefused = Meter.CreateCounter<long>(
        "notify_receipts_refused",
        description: "Posts of receipts that were turned away, by provider and why."
    );

    /// <summary>
    /// The time from a reported fact to the storing of its receipt, in seconds, by provider; only where the provider gives the time.
    /// </summary>
    public static readonly Histogram<double> ReceiptLag = Meter.CreateHistogram(
        "notify_receipt_lag_seconds",
        "s",
        "From what a receipt tells of to its being kept.",
        advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400] }
    );

    private static readonly Counter<long> CacheReads = Meter.CreateCounter<long>(
        "notify_cache_reads",
        description: "Documents read through the cache, by kind and outcome: kept (still right), changed (an older one was kept), missed."
    );

    private static readonly Counter<long> RedisReads = Meter.CreateCounter<long>(
        "notify_cache_redis_reads",
        description: "Look-ups in the cache's second level, by outcome: hit, miss, failed (away, slow or passed over)."
    );

    /// <summary>Counts documents that were read through the cache.</summary>
    /// <param name="kept">Those whose kept copy was still right.</param>
    /// <param name="changed">Those of which an older copy was kept.</param>
    /// <param name="missed">Those of which none was.</param>
    public static void CountCacheReads(string kind, int kept, int changed, int missed)
    {
        foreach (var (outcome, count) in new[] { ("kept", kept), ("changed", changed), ("missed", missed) })
        {
            if (count > 0)
                CacheReads.Add(
                    count,
                    new KeyValuePair<string, object?>("kind", kind),
                    new KeyValuePair<string, object?>("outcome", outcome)
                );
        }
    }

    /// <summary>Counts a look-up in the cache's second level.</summary>
    public static void CountRedisReads(string outcome) => RedisReads.Add(1, new KeyValuePair<string, object?>("outcome", outcome));

    private static readonly Counter<long> ProviderCalls = Meter.CreateCounter<long>(
        "notify_provider_calls",
        description: "Provider calls, by provider and outcome."
    );

    /// <summary>Counts a call of a provider.</summary>
    /// <param name="outcome">The outcome's kind, such as <c>Accepted</c>.</param>
    public static void CountProviderCall(string provider, string outcome) =>
        ProviderCalls.Add(
            1,
            new KeyValuePair<string, object?>("provider", provider),
            new KeyValuePair<string, object?>("outcome", outcome)
        );

    /// <summary>Publishes how many alerts are open.</summary>
    public static void ObserveAlerts(Func<IEnumerable<Measurement<int>>> open) =>
        Meter.CreateObservableGauge("notify_alerts_open", open, description: "Open alerts, by kind; the same from every host.");

    /// <summary>Publishes the depth and age of the queues.</summary>
    public static void ObserveQueues(Func<IEnumerable<Measurement<long>>> depth, Func<IEnumerable<Measurement<double>>> age)
    {
        Meter.CreateObservableGauge("notify_queue_depth", depth, description: "Open deliveries, by queue and state.");
        Meter.CreateObservableGauge("notify_queue_oldest_age_seconds", age, "s", "Age of the oldest delivery that could go now, by queue.");
    }

    /// <summary>Publishes how far the projections are behind the events.</summary>
    public static void ObserveLag(Func<IEnumerable<Measurement<long>>> lag) =>
        Meter.CreateObservableGauge(
            "notify_projection_lag_events",
            lag,
            description: "Events that a projection has not yet taken in, by projection."
        );

    /// <summary>Shows how many outcomes of calls are kept in memory because they cannot be written.</summary>
    public static void ObserveKeptOutcomes(Func<int> count) =>
        Meter.CreateObservableGauge(
            "notify_outcomes_kept",
            count,
            description: "Outcomes of provider calls that are kept in memory because they cannot be written now."
        );

    /// <summary>Publishes by how much the host's own clock is off the database's.</summary>
    public static void ObserveClock(Func<double> ahead) =>
        Meter.CreateObservableGauge(
            "notify_clock_ahead_seconds",
            ahead,
            "s",
            "How far this host's own clock is ahead of the database's, by which everything goes; negative: behind."
        );

    /// <summary>The tags of a queue.</summary>
    public static TagList Tags(DeliveryQueue queue) =>
        new()
        {
            { "channel", Lanes.ChannelOf(queue.Lane).ToString().ToLowerInvariant() },
            { "lane", queue.Lane.ToString().ToLowerInvariant() },
            { "priority", queue.Priority.ToString().ToLowerInvariant() },
        };

    /// <summary>The trace context of a stored <c>traceparent</c>.</summary>
    public static ActivityContext ContextOf(string? traceParent) =>
        ActivityContext.TryParse(traceParent, null, isRemote: true, out var context) ? context : default;

    internal static void AddTelemetry(this WebApplicationBuilder builder, string name)
    {
        var telemetry = builder
            .Services.AddOpenTelemetry()
            .ConfigureResource(r => r.AddService(name))
            .WithMetrics(m =>
                m.AddMeter("Notify").AddMeter("Npgsql").AddAspNetCoreInstrumentation().AddRuntimeInstrumentation().AddPrometheusExporter()
            );
        if (string.IsNullOrEmpty(builder.Configuration["OTEL_EXPORTER_OTLP_ENDPOINT"]))
            return;
        telemetry.WithTracing(t =>
            t.AddSource("Notify").AddSource("Wolverine").AddAspNetCoreInstrumentation().AddProcessor(new RouteTemplates()).AddOtlpExporter()
        );
        telemetry.WithMetrics(m => m.AddOtlpExporter());
    }
}
