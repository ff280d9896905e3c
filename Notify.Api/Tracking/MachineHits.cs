namespace Notify.Api.Tracking;

using System.Text.RegularExpressions;
using Notify.Domain.Notifications;

/// <summary>
/// Distinguishes hits of scanners and prefetchers from those of people, as far as they identify themselves. Other hits count as a
/// person's: a slow scanner that poses as a browser cannot be detected.
/// </summary>
/// <remarks>
/// Gmail's and Yahoo's image proxies fetch a picture when its reader opens the mail, so theirs are openings. Apple's fetches every
/// picture of every email, whether or not anybody reads it, and its user agent is a bare Mozilla/5.0.
/// </remarks>
public static partial class MachineHits
{
    /// <summary>Hits sooner after the dispatch are automated: a gateway scans the message that it is receiving.</summary>
    public static readonly TimeSpan TooSoon = TimeSpan.FromSeconds(2);

    /// <summary>A visitor that follows another link of the same message within this time follows all links, and is automated.</summary>
    public static readonly TimeSpan Sweep = TimeSpan.FromSeconds(1);

    private static readonly string[] Purposes = ["Purpose", "Sec-Purpose", "X-Purpose", "X-Moz"];

    /// <summary>Whether a request shows itself as a machine's.</summary>
    public static bool Is(HttpRequest request) =>
        HttpMethods.IsHead(request.Method)
        || Purposes.Any(h =>
            request.Headers[h].ToString() is var said
            && (
                said.Contains("prefetch", StringComparison.OrdinalIgnoreCase)
                || said.Contains("prerender", StringComparison.OrdinalIgnoreCase)
                || said.Contains("preview", StringComparison.OrdinalIgnoreCase)
            )
        )
        || IsAgent(request.Headers.UserAgent.ToString());

    /// <summary>Whether a user agent is a machine's: one that says so, none at all, or the bare one of Apple's mail proxy.</summary>
    public static bool IsAgent(string agent) => agent.Trim() is "" or "Mozilla/5.0" || Agents().IsMatch(agent);

    /// <summary>
    /// Whether a delivery was dispatched so shortly before, or not yet, that nobody can have read it. Where nobody knows whether
    /// it was, its attempt counts, once that has ended.
    /// </summary>
    public static bool IsTooSoon(Delivery delivery, DateTimeOffset now) =>
        now - (delivery.DispatchedAt ?? (delivery.Status == DeliveryStatus.Attempting ? now : delivery.AttemptedAt ?? now)) < TooSoon;

    // A Cubot is a telephone.
    [GeneratedRegex(
        @"(?<!cu)bot\b|crawl|spider|slurp|preview|scanner|scrap|facebookexternalhit|WhatsApp/|Viber|Slack-ImgProxy|Embedly|Iframely|Barracuda|Mimecast|Proofpoint|safelinks|urldefense|Symantec|Trend ?Micro|Google-(Safety|PageRenderer|Read-Aloud)|curl/|wget/|python|Go-http-client|okhttp|Java/|Apache-HttpClient|libwww|node-fetch|axios|undici|Dart/|^Ruby\b|Headless|PhantomJS",
        RegexOptions.IgnoreCase | RegexOptions.CultureInvariant
    )]
    private static partial Regex Agents();
}
