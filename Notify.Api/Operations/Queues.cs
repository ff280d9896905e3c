namespace Notify.Api.Operations;

using Notify.Api.Access;
using Notify.Api.Reference;
using Notify.Delivery.Monitoring;
using Notify.Domain.Clients;

/// <summary>Every queue.</summary>
/// <param name="Queues">One for each lane and priority.</param>
public sealed record QueueList(IReadOnlyList<QueueBacklog> Queues);

/// <summary>The queues as operators watch them.</summary>
public static class Queues
{
    /// <summary>Maps <c>GET /v1/queues</c>.</summary>
    public static void Map(IEndpointRouteBuilder app) =>
        app.MapGet(
                "/v1/queues",
                async (QueueBacklogReader reader, HttpContext http) =>
                    Results.Ok(new QueueList(await reader.ReadAsync(http.RequestAborted)))
            )
            .RequireScope(Scopes.Operate)
            .WithName("GetQueues")
            .WithTags("Operate")
            .WithSummary("The queues")
            .WithDescription(
                "Every queue, also the empty ones, counted in deliveries: right at every commit. Add Dispatch hosts while "
                    + "suggestedWorkers is above the number that run."
            )
            .Answers(
                200,
                "The queues.",
                new QueueList([new QueueBacklog("sms_critical", "sms", "critical", 120, 40, 3, 0, 1.25, 61.3, 58.9, 1)])
            );
}
