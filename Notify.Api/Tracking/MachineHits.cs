using System.Text.RegularExpressions;

namespace Notify.Api.Tracking;

/// <summary>Tells the hits of scanners, prefetchers and image proxies from those of people, as far as they show themselves.</summary>
public static partial class MachineHits
{
    /// <summary>What comes sooner after the dispatch is no person's.</summary>
    public static readonly TimeSpan TooSoon = TimeSpan.FromSeconds(2);

    /// <summary>Whether a request shows itself as a machine's.</summary>
    public static bool Is(HttpRequest request) =>
        HttpMethods.IsHead(request.Method)
        || new[] { "Purpose", "Sec-Purpose", "X-Purpose", "X-Moz" }.Any(h => request.Headers[h].ToString() is var said && (said.Contains("prefetch", StringComparison.OrdinalIgnoreCase) || said.Contains("preview", StringComparison.OrdinalIgnoreCase)))
        || IsAgent(request.Headers.UserAgent.ToString());

    /// <summary>Whether a user agent is a machine's: one that says so, none at all, or Apple's mail proxy, which says nothing but Mozilla/5.0.</summary>
    public static bool IsAgent(string agent) => agent.Trim() is "" or "Mozilla/5.0" || Agents().IsMatch(agent);

    [GeneratedRegex(
        @"bot\b|bot/|crawl|spider|slurp|preview|scanner|GoogleImageProxy|YahooMailProxy|BingPreview|facebookexternalhit|WhatsApp|TelegramBot|Slack|Discord|Barracuda|Mimecast|Proofpoint|safelinks|urldefense|Symantec|Trend ?Micro|curl/|wget/|python|Go-http-client|okhttp|Java/|Headless",
        RegexOptions.IgnoreCase | RegexOptions.CultureInvariant)]
    private static partial Regex Agents();
}
