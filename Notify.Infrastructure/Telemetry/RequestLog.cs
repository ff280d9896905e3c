namespace Notify.Infrastructure.Telemetry;

using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

/// <summary>
/// A line for each request, with its route's template in the place of the path: at the level Debug of <c>Notify.Requests</c>, which
/// <c>Logging:LogLevel:Notify.Requests</c> switches on.
/// </summary>
public static class RequestLog
{
    /// <summary>The lines' category.</summary>
    public const string Category = "Notify.Requests";

    /// <summary>Adds the lines.</summary>
    public static void Use(IApplicationBuilder app)
    {
        var log = app.ApplicationServices.GetRequiredService<ILoggerFactory>().CreateLogger(Category);
        var clock = app.ApplicationServices.GetService<TimeProvider>() ?? TimeProvider.System;
        app.Use(
            async (context, next) =>
            {
                if (!log.IsEnabled(LogLevel.Debug))
                {
                    await next(context);
                    return;
                }

                var (began, route) = (clock.GetTimestamp(), TemplateOf(context));
                try
                {
                    await next(context);
                }
                finally
                {
                    log.LogDebug(
                        "{Method} {Route} was answered {Status} in {Milliseconds} ms.",
                        context.Request.Method,
                        route,
                        context.Response.StatusCode,
                        (long)clock.GetElapsedTime(began).TotalMilliseconds
                    );
                }
            }
        );
    }

    private static string TemplateOf(HttpContext context) =>
        (context.GetEndpoint() as RouteEndpoint)?.RoutePattern.RawText is { } text ? $"/{text.TrimStart('/')}" : "(no route)";
}
