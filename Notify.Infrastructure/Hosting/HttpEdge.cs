namespace Notify.Infrastructure.Hosting;

using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.HttpOverrides;
using Microsoft.Extensions.Configuration;
using Microsoft.Net.Http.Headers;
using Notify.Infrastructure.Telemetry;
using IPNetwork = System.Net.IPNetwork;

/// <summary>An endpoint's own <c>Content-Security-Policy</c>, where it is not the strictest one.</summary>
public sealed record ContentPolicy(string Value);

/// <summary>
/// The edge of every host: it listens for operators apart from callers where <c>Notify:ManagementUrl</c> says so, believes
/// proxies that <c>Notify:TrustedProxies</c> names, and sets security headers on every answer.
/// </summary>
public sealed class HttpEdge
{
    /// <summary>The strictest policy: for answers that no page is made of.</summary>
    public const string Strict = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

    // Browsers use https alone from then on: a year, as the preload lists ask for at least.
    private const string TransportSecurity = "max-age=31536000";

    private static readonly PathString[] ForOperators = ["/metrics", "/docs", "/openapi"];

    private readonly IReadOnlyList<IPNetwork> proxies;

    private HttpEdge(int? managementPort, IReadOnlyList<IPNetwork> proxies) => (ManagementPort, this.proxies) = (managementPort, proxies);

    /// <summary>The port at which alone <c>/metrics</c>, <c>/docs</c> and <c>/openapi</c> are served; <c>null</c>: at every one.</summary>
    public int? ManagementPort { get; }

    /// <summary>Reads the settings; every fault is added to <paramref name="faults"/>.</summary>
    /// <param name="urls">The addresses at which the host listens; gets the management listener's address.</param>
    public static HttpEdge Read(IConfiguration configuration, ref string urls, ICollection<string> faults)
    {
        int? port = null;
        if (configuration["Notify:ManagementUrl"] is { Length: > 0 } url)
        {
            port = PortOf(url);
            if (port is null)
                faults.Add($"Notify:ManagementUrl is \"{url}\"; give one address to listen on: http://127.0.0.1:9080");
            else if (urls.Split(';').Any(u => PortOf(u) == port))
                faults.Add($"Notify:ManagementUrl has the port {port}, at which callers are served too ({urls}); give another one");
            else
                urls = $"{urls};{url}";
        }

        return new HttpEdge(port, ReadProxies(configuration, faults));
    }

    /// <summary>Adds the edge to a host, before all else.</summary>
    public void Use(IApplicationBuilder app)
    {
        if (proxies.Count > 0)
            app.UseForwardedHeaders(Forwarded());
        RequestLog.Use(app);
        app.Use(
            (context, next) =>
            {
                context.Response.OnStarting(
                    static state =>
                    {
                        Secure((HttpContext)state);
                        return Task.CompletedTask;
                    },
                    context
                );
                return next(context);
            }
        );
    }

    /// <summary>Answers 404 where operators' pages are asked for at callers' port.</summary>
    public void UseManagement(IApplicationBuilder app)
    {
        if (ManagementPort is not { } port)
            return;
        app.Use(
            (context, next) =>
            {
                if (context.Connection.LocalPort == port || !Array.Exists(ForOperators, p => context.Request.Path.StartsWithSegments(p)))
                    return next(context);
                context.Response.StatusCode = StatusCodes.Status404NotFound;
                return Task.CompletedTask;
            }
        );
    }

    private static void Secure(HttpContext context)
    {
        var headers = context.Response.Headers;
        headers.XContentTypeOptions = "nosniff";
        headers.TryAdd("Referrer-Policy", "no-referrer");
        headers.TryAdd(HeaderNames.ContentSecurityPolicy, context.GetEndpoint()?.Metadata.GetMetadata<ContentPolicy>()?.Value ?? Strict);
        // Answers of the API contain secrets and personal data, and caches on the way keep all that is not forbidden.
        if (context.Request.Path.StartsWithSegments("/v1"))
            headers.TryAdd(HeaderNames.CacheControl, "no-store");
        if (context.Request.IsHttps)
            headers.TryAdd(HeaderNames.StrictTransportSecurity, TransportSecurity);
    }

    private ForwardedHeadersOptions Forwarded()
    {
        var options = new ForwardedHeadersOptions
        {
            ForwardedHeaders = ForwardedHeaders.XForwardedFor | ForwardedHeaders.XForwardedProto,
            ForwardLimit = null, // as far back as proxies are trusted
        };
        options.KnownProxies.Clear();
        options.KnownIPNetworks.Clear();
        foreach (var network in proxies)
            options.KnownIPNetworks.Add(network);
        return options;
    }

    private static List<IPNetwork> ReadProxies(IConfiguration configuration, ICollection<string> faults)
    {
        var networks = new List<IPNetwork>();
        const StringSplitOptions Entries = StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries;
        foreach (var text in (configuration["Notify:TrustedProxies"] ?? "").Split(',', Entries))
        {
            if (IPNetwork.TryParse(text, out var network))
                networks.Add(network);
            else if (IPAddress.TryParse(text, out var address))
                networks.Add(new IPNetwork(address, address.GetAddressBytes().Length * 8));
            else
                faults.Add($"Notify:TrustedProxies has \"{text}\"; give addresses or networks such as 10.0.0.7, 10.1.0.0/16");
        }

        return networks;
    }

    private static int? PortOf(string url)
    {
        try
        {
            var address = BindingAddress.Parse(url.Contains("://", StringComparison.Ordinal) ? url : "");
            return address is { Port: > 0, IsUnixPipe: false, PathBase.Length: 0 } ? address.Port : null;
        }
        catch (Exception e) when (e is FormatException or InvalidOperationException)
        {
            return null;
        }
    }
}
