using Notify.Api.Contract;
using Notify.Domain.Clients;
using Notify.Projections.QueueBacklog;

namespace Notify.Api.Operations;

/// <summary>The queues as operators watch them.</summary>
public static class Queues
{
    /// <summary>Maps <c>GET /v1/queues</c>.</summary>
    public static void Map(IEndpointRouteBuilder app) =>
        app.MapGet("/v1/queues", async (QueueBacklogReader reader, HttpContext http) => Results.Ok(new { queues = await reader.ReadAsync(http.RequestAborted) }))
            .RequireScope(Scopes.Operate).WithName("GetQueues").WithTags("Operate")
            .WithSummary("Every queue, counted in deliveries, with the age of the oldest and how many workers it wants.");
}
