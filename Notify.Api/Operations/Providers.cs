namespace Notify.Api.Operations;

using Notify.Api.Access;
using Notify.Api.Reference;
using Notify.Delivery.Hosting;
using Notify.Delivery.Monitoring;
using Notify.Domain.Clients;
using Notify.Domain.Routing;

/// <summary>Every provider.</summary>
/// <param name="WindowSeconds">How far back rates and latencies go.</param>
/// <param name="Providers">One for each provider and lane.</param>
/// <param name="LiveToSandbox">Whether live clients' sends go to the sandbox on lanes without a provider of their own.</param>
public sealed record ProviderList(int WindowSeconds, IReadOnlyList<ProviderHealth> Providers, bool LiveToSandbox = false);

/// <summary>The providers' health as operators watch it.</summary>
public static class Providers
{
    /// <summary>Maps <c>GET /v1/providers</c>.</summary>
    public static void Map(IEndpointRouteBuilder app) =>
        app.MapGet(
                "/v1/providers",
                async (ProviderHealthReader reader, SandboxSettings sandbox, HttpContext http) =>
                {
                    var providers = await reader.ReadAsync(http.RequestAborted);
                    return Results.Ok(
                        new ProviderList(
                            (int)ProviderHealthReader.Window.TotalSeconds,
                            providers,
                            sandbox.TakesLive || providers.Any(p => p.Sandbox)
                        )
                    );
                }
            )
            .RequireScope(Scopes.Operate)
            .WithName("GetProviders")
            .WithTags("Operate")
            .WithSummary("The providers")
            .WithDescription(
                "Each provider's health, counted over the last windowSeconds from live clients' deliveries; a few seconds "
                    + "behind. health is healthy, failing or halted (an alert is open), or idle (no calls). "
                    + "errorRate counts calls that failed or were refused for our configuration, not addresses that are dead or do not "
                    + "want it. circuit is closed while it is sent to, open while others of its route take its place, halfOpen while "
                    + "it is tried with one delivery at a time. "
                    + "A lane's providers stand in its route by position; where it goes by weight, weight is what each "
                    + "gets now. changes tells why. "
                    + "liveToSandbox is the switch Notify:LiveToSandbox, as this host has it or as a running Dispatch host does; "
                    + "sandbox tells it of each provider."
            )
            .Answers(200, "The providers.", new ProviderList(300, [Example]));

    private static ProviderHealth Example
    {
        get
        {
            var at = new DateTimeOffset(2026, 12, 1, 9, 0, 0, TimeSpan.Zero);
            return new ProviderHealth(
                "twilio",
                "sms",
                Health.Failing,
                CircuitState.Open,
                12.4,
                0.91,
                41.5,
                118.2,
                at,
                "20503",
                at.AddSeconds(4),
                null,
                1,
                null,
                null,
                at.AddSeconds(4),
                at.AddSeconds(14),
                null,
                "5 failures in a row: Retry 20503",
                [new ProviderHistory("CircuitOpened", at.AddSeconds(4), "5 failures in a row: Retry 20503", at.AddSeconds(14))]
            );
        }
    }
}
