namespace Notify.Api.Notifications;

using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Reference;
using Notify.Domain.Clients;

/// <summary>Many requests at once: the body of <c>POST /v1/notifications/batch</c>.</summary>
public sealed record RequestNotifications
{
    /// <summary>1 to 1,000 requests.</summary>
    [Required]
    public IReadOnlyList<RequestNotification>? Notifications { get; init; }
}

/// <summary>The results of a batch.</summary>
/// <param name="Results">One for each item, in the order given.</param>
public sealed record BatchResult(IReadOnlyList<BatchItemResult> Results);

/// <summary>The result of one item of a batch.</summary>
/// <param name="EventId">The item's own, where it had one.</param>
/// <param name="Status"><c>accepted</c>, <c>duplicate</c> or <c>rejected</c>.</param>
/// <param name="Error">The reason why it was rejected.</param>
public sealed record BatchItemResult(string? EventId, string Status, BatchItemError? Error = null);

/// <summary>The reason why an item was rejected; a rejected item uses up no ID.</summary>
/// <param name="Code">As a problem's code.</param>
/// <param name="Detail">A sentence about the fault and its remedy.</param>
/// <param name="Errors">Every fault, by field; beyond the first 100, their number.</param>
public sealed record BatchItemError(string Code, string Detail, IDictionary<string, string[]>? Errors = null);

/// <summary>The endpoint that accepts many notifications at once.</summary>
public static class RequestNotificationsEndpoint
{
    /// <summary>The most notifications in one batch.</summary>
    public const int MaxBatch = 1000;

    /// <summary>Maps <c>POST /v1/notifications/batch</c>.</summary>
    public static void Map(IEndpointRouteBuilder app) =>
        app.MapPost("/v1/notifications/batch", BatchAsync)
            .RequireScope(Scopes.Send)
            .OpenToTests()
            .WithOwnLimit()
            .WithName("RequestNotifications")
            .WithTags("Send")
            .WithSummary("Request up to 1,000 notifications")
            .WithDescription(
                "One bad item harms no other: each has a result of its own, in the order given. Items are accepted "
                    + "as single requests are."
            )
            .Takes(
                "Two at once",
                new RequestNotifications
                {
                    Notifications =
                    [
                        RequestNotificationEndpoint.Example with
                        {
                            EventId = "order-124-shipped",
                        },
                        RequestNotificationEndpoint.ToNumber with
                        {
                            EventId = "code-78",
                        },
                    ],
                }
            )
            .Answers(
                200,
                "What became of each.",
                new BatchResult([
                    new BatchItemResult("order-124-shipped", "accepted"),
                    new BatchItemResult(
                        "code-78",
                        "rejected",
                        new BatchItemError("event_id_conflict", "The event ID was used for another request.")
                    ),
                ])
            )
            .Fails(429, "rate_limited", RequestNotificationEndpoint.TooMany);

    private static async Task<IResult> BatchAsync(
        HttpContext http,
        TemplateRequests requests,
        RequestNotificationValidator validator,
        AcceptLimit limit,
        Acceptance acceptance,
        ILogger<RequestNotification> log
    )
    {
        var (document, problem) = await RequestBody.ReadAsync(http.Request, RequestBody.MaxBatchBytes);
        if (document is null)
            return problem!;
        using (document)
        {
            var root = document.RootElement;
            var errors = new Dictionary<string, string[]>();
            foreach (var field in root.EnumerateObject().Where(f => f.Name != "notifications"))
                errors[field.Name] = ["is not known here; known is notifications"];
            if (!root.TryGetProperty("notifications", out var list) || list.ValueKind != JsonValueKind.Array)
                errors["notifications"] = ["must be a list"];
            else if (list.GetArrayLength() is 0 or > MaxBatch)
                errors["notifications"] = ["must have 1 to 1,000 items"];
            if (errors.Count > 0)
                return Problem.Invalid(errors);

            var client = Callers.Of(http);
            if (limit.Take(http.Response, client, list.GetArrayLength()) is { } over)
                return over;
            if (!acceptance.HasRoomFor(client, list.GetArrayLength()))
                return Problem.Busy();
            var results = await Task.WhenAll(
                list.EnumerateArray().Select(item => ItemAsync(requests, validator, client, item, log, http.RequestAborted))
            );
            return Results.Ok(new BatchResult(results));
        }
    }

    private static async Task<BatchItemResult> ItemAsync(
        TemplateRequests requests,
        RequestNotificationValidator validator,
        Client client,
        JsonElement item,
        ILogger log,
        CancellationToken aborted
    )
    {
        var eventId =
            item.ValueKind == JsonValueKind.Object && item.TryGetProperty("eventId", out var id) && id.ValueKind == JsonValueKind.String
                ? id.GetString()
                : null;
        var errors = RequestBody.Bind(item, validator, out var request);
        if (errors is not null)
            return new BatchItemResult(
                eventId,
                "rejected",
                new BatchItemError("invalid_request", "The item has faults; errors names each of them by field.", errors)
            );
        try
        {
            var (result, faults, hindrance) = await requests.AcceptAsync(client, request!, item, aborted: aborted);
            if (hindrance is not null)
                return new BatchItemResult(eventId, "rejected", new BatchItemError(hindrance.Code, hindrance.Detail));
            if (faults is not null)
                return new BatchItemResult(
                    eventId,
                    "rejected",
                    new BatchItemError("invalid_request", "The item has faults; errors names each of them by field.", faults)
                );
            return result switch
            {
                AcceptResult.Accepted => new BatchItemResult(eventId, "accepted"),
                AcceptResult.Duplicate => new BatchItemResult(eventId, "duplicate"),
                _ => new BatchItemResult(
                    eventId,
                    "rejected",
                    new BatchItemError("event_id_conflict", "The event ID was used for another request.")
                ),
            };
        }
        catch (Exception e)
            when (e is Notify.Infrastructure.Postgres.CommitBusyException or Notify.Infrastructure.Postgres.CommitWaitException)
        {
            var wasTried = e is Notify.Infrastructure.Postgres.CommitWaitException { WasTried: true };
            return new BatchItemResult(
                eventId,
                "rejected",
                new BatchItemError("busy", wasTried ? Problem.WaitedDetail : Problem.BusyDetail)
            );
        }
        catch (Exception e) when (Notify.Infrastructure.Postgres.DatabaseFaults.IsPassing(e))
        {
            return new BatchItemResult(
                eventId,
                "rejected",
                new BatchItemError("storage_unavailable", "The database does not answer; send the item again.")
            );
        }
#pragma warning disable CA1031 // An item fails alone: the others of the batch are durable, and their results are returned.
        catch (Exception e) when (e is not OperationCanceledException)
#pragma warning restore CA1031
        {
            log.LogError(e, "An item of a batch failed by a fault of ours.");
            return new BatchItemResult(
                eventId,
                "rejected",
                new BatchItemError(
                    "internal_error",
                    "Something failed on our side; send the item again, and if it keeps failing, tell the operators."
                )
            );
        }
    }
}
