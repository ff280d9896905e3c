namespace Notify.Delivery.Monitoring;

using Microsoft.Extensions.Configuration;
using Notify.Infrastructure.Hosting;
using Notify.Infrastructure.Networking;

/// <summary>The thresholds of alerts to developers, and their receiver: <c>Notify:Alerts</c>.</summary>
public sealed record AlertRules
{
    /// <summary>The window over which attempts are evaluated; also the time without failures after which an alert recovers.</summary>
    public TimeSpan Window { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>The share of failures within the window from which on an alert opens.</summary>
    public double OpenRatio { get; init; } = 0.5;

    /// <summary>The share of failures within the window below which an alert recovers.</summary>
    public double CloseRatio { get; init; } = 0.1;

    /// <summary>Attempts within the window from which on the share decides; below it, <see cref="Consecutive"/> does.</summary>
    public int MinAttempts { get; init; } = 20;

    /// <summary>At low volume: failures in a row, without a success between them, within the hour.</summary>
    public int Consecutive { get; init; } = 5;

    /// <summary>Dead letters of one lane and priority within ten windows, if they are also one in a hundred of its deliveries.</summary>
    public int DeadLetters { get; init; } = 5;

    /// <summary>How far a read model may be behind the events.</summary>
    public TimeSpan ProjectionLag { get; init; } = TimeSpan.FromMinutes(2);

    /// <summary>Where alerts are posted; <c>null</c>: they are only logged and shown by <c>GET /v1/alerts</c>.</summary>
    public Uri? WebhookUrl { get; init; }

    /// <summary>The secret that posts are signed with: <c>whsec_</c> and base64 of 24 to 64 bytes.</summary>
    public string? WebhookSecret { get; init; }

    /// <summary>How long one post may take.</summary>
    public TimeSpan WebhookTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>The longest pause between two posts of the same alert.</summary>
    public TimeSpan WebhookMaxDelay { get; init; } = TimeSpan.FromMinutes(15);

    /// <summary>Whether the webhook may be plain HTTP and in a private network; for development.</summary>
    public bool AllowPrivateNetworks { get; init; }

    /// <summary>Which addresses the webhook may have.</summary>
    public OutboundGuard Guard => new(AllowPrivateNetworks);

    /// <summary>How finely time is counted.</summary>
    public TimeSpan Bucket => Window / 6 is { Ticks: > TimeSpan.TicksPerSecond / 2 } sixth ? sixth : TimeSpan.FromMilliseconds(500);

    /// <summary>How often counts are written and judged.</summary>
    public TimeSpan Pace => Bucket / 2;

    /// <summary>The webhook's key.</summary>
    public byte[] WebhookKey() => Convert.FromBase64String(WebhookSecret!["whsec_".Length..]);

    /// <summary>Reads the settings; every fault is added to <paramref name="faults"/>.</summary>
    public static AlertRules Read(IConfiguration configuration, ICollection<string> faults)
    {
        var section = configuration.GetSection("Notify:Alerts");
        var rules = section.Read<AlertRules>(faults);
        foreach (
            var (name, time) in new[]
            {
                (nameof(Window), rules.Window),
                (nameof(ProjectionLag), rules.ProjectionLag),
                (nameof(WebhookTimeout), rules.WebhookTimeout),
                (nameof(WebhookMaxDelay), rules.WebhookMaxDelay),
            }
        )
        {
            if (time <= TimeSpan.Zero || time > TimeSpan.FromDays(1))
                faults.Add($"{section.Path}:{name} is {time}; give a time above zero and up to a day");
        }

        // Counts are kept for an hour, and the alert about dead letters needs those of ten windows.
        if (rules.Window > TimeSpan.FromMinutes(5))
            faults.Add($"{section.Path}:{nameof(Window)} is {rules.Window}; give at most 00:05:00");
        foreach (
            var (name, count) in new[]
            {
                (nameof(MinAttempts), rules.MinAttempts),
                (nameof(Consecutive), rules.Consecutive),
                (nameof(DeadLetters), rules.DeadLetters),
            }
        )
        {
            if (count < 1)
                faults.Add($"{section.Path}:{name} is {count}; give 1 or more");
        }

        if (!(rules.OpenRatio > 0 && rules.OpenRatio <= 1))
            faults.Add($"{section.Path}:{nameof(OpenRatio)} is {rules.OpenRatio}; give a share above 0, up to 1");
        if (!(rules.CloseRatio > 0 && rules.CloseRatio < rules.OpenRatio))
            faults.Add($"{section.Path}:{nameof(CloseRatio)} is {rules.CloseRatio}; give a share above 0, below {nameof(OpenRatio)}");
        rules.CheckWebhook(section.Path, faults);
        return rules;
    }

    private void CheckWebhook(string section, ICollection<string> faults)
    {
        if (WebhookUrl is null)
        {
            if (WebhookSecret is not null)
                faults.Add(
                    $"{section}:{nameof(WebhookUrl)} is missing, and there is a {nameof(WebhookSecret)}; give the address that "
                        + "alerts are posted to"
                );
            return;
        }

        if (!Guard.Allows(WebhookUrl))
            faults.Add(
                $"{section}:{nameof(WebhookUrl)} is no address to post to; give one such as https://hooks.example.com/path, "
                    + $"without a user or password (plain http and private networks only with {nameof(AllowPrivateNetworks)})"
            );
        var key = new byte[128];
        if (
            WebhookSecret is null
            || !WebhookSecret.StartsWith("whsec_", StringComparison.Ordinal)
            || !Convert.TryFromBase64String(WebhookSecret["whsec_".Length..], key, out var length)
            || length is < 24 or > 64
        )
            faults.Add(
                $"{section}:{nameof(WebhookSecret)} is {(WebhookSecret is null ? "missing" : "not a secret")}; give whsec_ and base64 of 24 to 64 random bytes, the same as the receiver has"
            );
    }
}
