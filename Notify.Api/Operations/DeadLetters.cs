using FluentValidation;
using Marten;
using Notify.Api.Contract;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Projections;
using Notify.Projections.Hosting;
using Notify.Projections.OpenDeliveries;
using Npgsql;
using Wolverine.Marten;

namespace Notify.Api.Operations;

/// <summary>Which dead letters: by reason, by client.</summary>
public sealed record DeadLetterQuery
{
    public string? Reason { get; init; }
    public string? Client { get; init; }
}

/// <summary>Sends dead letters on their way again: the body of <c>POST /v1/dead-letters/replay</c>.</summary>
public sealed record ReplayDeadLetters
{
    public IReadOnlyList<string>? Ids { get; init; }
    public DeadLetterQuery? Query { get; init; }
    public string? Reason { get; init; }
    public bool? DryRun { get; init; }
}

/// <summary>The shape of a replay.</summary>
public sealed class ReplayDeadLettersValidator : AbstractValidator<ReplayDeadLetters>
{
    /// <summary>The rules.</summary>
    public ReplayDeadLettersValidator()
    {
        RuleFor(r => r.Reason).NotEmpty().MaximumLength(500).WithMessage("say why, in at most 500 characters; it is kept in the notification's stream");
        RuleFor(r => r.Ids).Must((r, _) => r.Ids is not null ^ r.Query is not null).WithMessage("give either ids or query");
        RuleFor(r => r.Ids).Must(ids => ids!.Count is > 0 and <= 1000 && ids.All(i => Guid.TryParse(i, out _))).When(r => r.Ids is not null).WithMessage("must be 1 to 1,000 delivery IDs");
    }
}

/// <summary>Deliveries that used up their attempts, and the way back for them.</summary>
public static class DeadLetters
{
    private const int Page = 1000;
    private static readonly ReplayDeadLettersValidator Validator = new();

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder app)
    {
        app.MapGet("/v1/dead-letters", ListAsync).RequireScope(Scopes.Operate).WithName("ListDeadLetters").WithTags("Operate")
            .WithSummary("Dead letters, newest first; reason, client, limit.");
        app.MapPost("/v1/dead-letters/replay", ReplayAsync).RequireScope(Scopes.Operate).WithName("ReplayDeadLetters").WithTags("Operate")
            .WithSummary("Send dead letters on their way again; opt-out and expiry are checked anew. dryRun only tells what would happen.");
    }

    private static async Task<IResult> ListAsync(HttpContext http, NpgsqlDataSource database, string? reason, string? client, int? limit)
    {
        if (limit is < 1 or > Page) return Problem.Invalid(new Dictionary<string, string[]> { ["limit"] = ["must be 1 to 1,000"] });
        await using var connection = await database.OpenConnectionAsync(http.RequestAborted);
        var rows = await OpenDeliveryTable.DeadAsync(connection, Prefix(client), reason, limit ?? 100, http.RequestAborted);
        return Results.Ok(new
        {
            items = rows.Select(r =>
            {
                var id = NotificationKey.Parse(r.Notification);
                return new { DeliveryId = r.Id, Client = id?.ClientId, EventId = id?.EventId, Queue = r.Queue.Name, r.Attempts, r.Reason, RequestedAt = r.EnqueuedAt };
            }),
        });
    }

    private static async Task<IResult> ReplayAsync(HttpContext http, IDocumentStore store, IMartenOutbox outbox, TimeProvider clock)
    {
        var (body, problem) = await RequestBody.ReadAsync(http.Request, Validator);
        if (body is null) return problem!;
        var cancellation = http.RequestAborted;
        var now = clock.GetUtcNow();
        await using var session = store.LightweightSession();
        await session.BeginTransactionAsync(cancellation);
        var connection = session.Connection!;

        var ids = body.Ids?.Select(Guid.Parse).Distinct().ToArray()
            ?? [.. (await OpenDeliveryTable.DeadAsync(connection, Prefix(body.Query!.Client), body.Query.Reason, Page, cancellation)).Select(r => r.Id)];
        var rows = (await OpenDeliveryTable.LockAsync(connection, ids, cancellation)).Where(r => r.State == OpenState.Dead).ToList();
        await NotificationStreams.LockAsync(session, rows.Select(r => r.Notification), cancellation);
        var notifications = await NotificationStreams.LoadAsync(session, [.. rows.Select(r => r.Notification).Distinct()], cancellation);
        var recipients = await NotificationStreams.RecipientsOfAsync(session, notifications.Values.Select(n => n.Request), cancellation);

        var redriven = new List<OpenDelivery>();
        var results = new List<object>();
        foreach (var id in ids)
        {
            var row = rows.FirstOrDefault(r => r.Id == id);
            string? hindrance = "NotDeadLettered";
            if (row is not null && notifications.TryGetValue(row.Notification, out var n))
            {
                (var @event, hindrance) = NotificationDecider.Redrive(n, id, recipients.Of(n.Request), body.Reason!, Callers.Of(http).ClientId, now);
                if (@event is not null)
                {
                    session.Events.Append(row.Notification, @event);
                    redriven.Add(row with { State = OpenState.Queued, Attempts = 0, DueAt = now + OpenDelivery.QueueSafetyNet, Reason = null });
                }
            }

            results.Add(new { DeliveryId = id, Result = hindrance is null ? "replayed" : "refused", Reason = hindrance });
        }

        if (body.DryRun != true && redriven.Count > 0)
        {
            await OpenDeliveryTable.PutAsync(connection, redriven, cancellation);
            await outbox.CarryAsync(session, redriven);
            await session.SaveChangesAsync(cancellation);
        }

        return Results.Ok(new { dryRun = body.DryRun == true, replayed = redriven.Count, results });
    }

    private static string? Prefix(string? client) => client is null ? null : NotificationKey.Of(client, "");
}
