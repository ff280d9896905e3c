using Notify.Api.Contract;
using Notify.Domain.Clients;
using Notify.Projections.ProviderHealth;

namespace Notify.Api.Operations;

/// <summary>The providers' health as operators watch it.</summary>
public static class Providers
{
    /// <summary>Maps <c>GET /v1/providers</c>.</summary>
    public static void Map(IEndpointRouteBuilder app) =>
        app.MapGet("/v1/providers", async (ProviderHealthReader reader, HttpContext http) =>
                Results.Ok(new { windowSeconds = (int)ProviderHealthReader.Window.TotalSeconds, providers = await reader.ReadAsync(http.RequestAborted) }))
            .RequireScope(Scopes.Operate).WithName("GetProviders").WithTags("Operate")
            .WithSummary("Every provider: health, circuit, calls per minute, error rate, latency, and the open alert.")
            .WithDescription("Counted over the last windowSeconds from live clients' deliveries; a few seconds behind. health is healthy, failing or halted (an alert is open), or idle (no calls). "
                + "errorRate counts calls that failed or were refused for our configuration, not addresses that are dead or do not want it. circuit is closed while calls go out.");
}
