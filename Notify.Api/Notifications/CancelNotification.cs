using FluentValidation;
using Marten;
using Notify.Api.Contract;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Projections;
using Notify.Projections.OpenDeliveries;

namespace Notify.Api.Notifications;

/// <summary>Withdraws what of a notification is not in flight: exact, because what waits is taken out of the table that claims are made in.</summary>
public static class CancelNotification
{
    /// <summary>Maps <c>POST /v1/notifications/{eventId}/cancel</c>.</summary>
    public static void Map(IEndpointRouteBuilder app) =>
        app.MapPost("/v1/notifications/{eventId}/cancel", CancelAsync).RequireScope(Scopes.Send).WithName("CancelNotification").WithTags("Send")
            .WithSummary("Withdraw what is not in flight. 200 with what was stopped; 409 when nothing could be.");

    private static async Task<IResult> CancelAsync(string eventId, HttpContext http, IDocumentStore store, TimeProvider clock)
    {
        var client = Callers.Of(http);
        var key = NotificationKey.Of(client.ClientId, eventId);
        var cancellation = http.RequestAborted;
        await using var session = store.LightweightSession();
        await session.BeginTransactionAsync(cancellation);
        var taken = await OpenDeliveryTable.TakeWaitingAsync(session.Connection!, key, cancellation);
        await NotificationStreams.LockAsync(session, [key], cancellation);
        if (await NotificationStreams.LoadAsync(session, key, cancellation) is not { } notification) return Problem.NotFound("notification with this event ID");
        if (NotificationStatusRule.Of(notification) == NotificationStatus.Cancelled) return Stopped(notification, []); // said before: nothing more to do

        if (NotificationDecider.Cancel(notification, taken, client.ClientId, clock.GetUtcNow()) is not { } cancelled)
            return Problem.Of(StatusCodes.Status409Conflict, "already_dispatched", "Nothing could be stopped: every delivery is in flight or has ended. Ask for the notification to see how.");
        session.Events.Append(key, cancelled);
        await session.SaveChangesAsync(cancellation);
        return Stopped(Notification.Evolve(notification, key, cancelled)!, cancelled.Deliveries);

        IResult Stopped(Notification n, IReadOnlyList<Guid> deliveries) => Results.Ok(new { eventId, Status = NotificationStatusRule.Of(n), Stopped = deliveries });
    }
}

/// <summary>Another time for what is not yet due: the body of <c>POST …/reschedule</c>.</summary>
public sealed record RescheduleNotification
{
    public DateTimeOffset? SendAt { get; init; }
}

/// <summary>The shape of a reschedule.</summary>
public sealed class RescheduleNotificationValidator : AbstractValidator<RescheduleNotification>
{
    /// <summary>The rules.</summary>
    public RescheduleNotificationValidator() => RuleFor(r => r.SendAt).NotNull().WithMessage("say when");
}

/// <summary>Moves a notification that is not yet due.</summary>
public static class RescheduleEndpoint
{
    private static readonly RescheduleNotificationValidator Validator = new();

    /// <summary>Maps <c>POST /v1/notifications/{eventId}/reschedule</c>.</summary>
    public static void Map(IEndpointRouteBuilder app) =>
        app.MapPost("/v1/notifications/{eventId}/reschedule", RescheduleAsync).RequireScope(Scopes.Send).WithName("RescheduleNotification").WithTags("Send")
            .WithSummary("Choose another sendAt while it is not yet due.");

    private static async Task<IResult> RescheduleAsync(string eventId, HttpContext http, IDocumentStore store, TimeProvider clock)
    {
        var (body, problem) = await RequestBody.ReadAsync(http.Request, Validator);
        if (body is null) return problem!;
        var client = Callers.Of(http);
        var key = NotificationKey.Of(client.ClientId, eventId);
        var cancellation = http.RequestAborted;
        await using var session = store.LightweightSession();
        await session.BeginTransactionAsync(cancellation);
        var rows = await OpenDeliveryTable.LockAsync(session.Connection!, [DeterministicId.OfPlanning(key)], cancellation);
        await NotificationStreams.LockAsync(session, [key], cancellation);
        if (await NotificationStreams.LoadAsync(session, key, cancellation) is not { } notification) return Problem.NotFound("notification with this event ID");
        if (rows.Count == 0 || NotificationDecider.Reschedule(notification, body.SendAt!.Value, client.ClientId, clock.GetUtcNow()) is not { } moved)
            return Problem.Of(StatusCodes.Status409Conflict, "already_due", "It is due, or has ended, and cannot be moved any more.");
        await OpenDeliveryTable.PutAsync(session.Connection!, [.. rows.Select(r => r with { DueAt = moved.SendAt })], cancellation);
        session.Events.Append(key, moved);
        await session.SaveChangesAsync(cancellation);
        return Results.Ok(new { eventId, Status = NotificationStatusRule.Of(Notification.Evolve(notification, key, moved)!), moved.SendAt });
    }
}
