namespace Notify.Infrastructure.Telemetry;

using System.Diagnostics;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Console;
using OpenTelemetry;

/// <summary>
/// Replaces the path in spans by the route's template: paths contain tokens, which permit the action of a link, and the IDs of users.
/// The path of a request without a matching route is omitted; queries are omitted from all.
/// </summary>
/// <remarks>Runs before the exporters, whatever sets the attributes, and knows their former names too.</remarks>
public sealed class RouteTemplates : BaseProcessor<Activity>
{
    private const string Path = "url.path";

    // Semantic conventions of HTTP spans, stable and former.
    private static readonly string[] Addresses = [Path, "url.query", "url.full", "http.target", "http.url"];

    // They write paths, queries or request lines at levels below a warning, at every configured level.
    private static readonly string[] Categories =
    [
        "Microsoft.AspNetCore.Hosting.Diagnostics",
        "Microsoft.AspNetCore.HttpLogging.HttpLoggingMiddleware",
        "Microsoft.AspNetCore.Routing.EndpointMiddleware",
        "Microsoft.AspNetCore.Routing.EndpointRoutingMiddleware",
        "Microsoft.AspNetCore.Routing.Matching.DfaMatcher",
        "Microsoft.AspNetCore.Server.Kestrel.BadRequests",
        "Microsoft.AspNetCore.StaticFiles.StaticFileMiddleware",
    ];

    /// <inheritdoc />
    public override void OnEnd(Activity data)
    {
        if (data.Kind != ActivityKind.Server)
            return;
        var hasPath = data.GetTagItem(Path) is not null;
        foreach (var name in Addresses)
        {
            if (data.GetTagItem(name) is not null)
                data.SetTag(name, null);
        }

        if (hasPath && data.GetTagItem("http.route") is string route)
            data.SetTag(Path, route.StartsWith('/') ? route : $"/{route}");
    }

    /// <summary>Keeps paths out of the log.</summary>
    public static void Apply(ILoggingBuilder logging)
    {
        foreach (var category in Categories)
        {
            logging.AddFilter(category, LogLevel.Warning);
            logging.AddFilter<ConsoleLoggerProvider>(category, LogLevel.Warning); // of this provider alone, it goes before others
        }
    }
}
