namespace Notify.Api.Notifications;

using System.ComponentModel.DataAnnotations;
using FluentValidation;
using Marten;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Reference;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.Digests;
using Notify.Delivery.EventStore;
using Notify.Delivery.Privacy;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;

/// <summary>The result of a cancel.</summary>
/// <param name="EventId">The notification's.</param>
/// <param name="Status">The current status of the notification.</param>
/// <param name="Stopped">The deliveries that were stopped; none where nothing had been planned yet.</param>
public sealed record CancelledNotification(string EventId, NotificationStatus Status, IReadOnlyList<Guid> Stopped);

/// <summary>
/// Cancels the deliveries of a notification that are not in flight. This is exact: waiting rows are deleted from the table in which
/// claims are made.
/// </summary>
public static class CancelNotification
{
    /// <summary>Maps <c>POST /v1/notifications/{eventId}/cancel</c>.</summary>
    public static void Map(IEndpointRouteBuilder app) =>
        app.MapPost("/v1/notifications/{eventId}/cancel", CancelAsync)
            .RequireScope(Scopes.Send)
            .OpenToTests()
            .WithName("CancelNotification")
            .WithTags("Send")
            .WithSummary("Withdraw a notification")
            .WithDescription(
                "Stops every delivery that is not in flight, exactly: what it names as stopped was not and will not be sent. "
                    + "Said again it stops nothing more and answers 200. What waits in a digest is taken out of it; a digest that is "
                    + "withdrawn before it closes is so with all that waits in it."
            )
            .Answers(
                200,
                "What was stopped.",
                new CancelledNotification(
                    "order-123-shipped",
                    NotificationStatus.Cancelled,
                    [Guid.Parse("0b1f7c3e-52ab-8d0e-9c41-6a7d2f90e513")]
                )
            )
            .FailsNotFound("notification with this event ID")
            .Fails(409, "already_dispatched", AlreadyDispatched);

    private const string AlreadyDispatched =
        "Nothing could be stopped: every delivery is in flight or has ended, or the digest that told it has closed. Ask for "
        + "the notification to see how.";

    private static async Task<IResult> CancelAsync(
        string eventId,
        HttpContext http,
        IDocumentStore store,
        UserReferences users,
        TimeProvider clock
    )
    {
        var client = Callers.Of(http);
        var key = Visibility.OwnKey(http, await users.FindEventIdAsync(eventId, http.RequestAborted));
        var cancellation = http.RequestAborted;
        await using var session = store.LightweightSession();
        await session.BeginTransactionAsync(cancellation);
        var taken = await OpenDeliveryTable.TakeWaitingAsync(session.Connection!, key, cancellation);
        // A transaction that was planning it has replaced its row by its deliveries: the first statement waited for that commit, the
        // second one finds the deliveries.
        if (taken.Count == 0)
            taken = await OpenDeliveryTable.TakeWaitingAsync(session.Connection!, key, cancellation);
        await DigestWithdrawal.TakeOutAsync(session.Connection!, key, cancellation);
        await NotificationStreams.LockAsync(session, [key], cancellation);
        if (await NotificationStreams.LoadAsync(session, key, cancellation) is not { } notification)
            return Problem.NotFound("notification with this event ID");

        var now = clock.GetUtcNow();
        if (NotificationDecider.Cancel(notification, taken, client.ClientId, now) is not { } cancelled)
            return NotificationDecider.IsCancelled(notification)
                ? Stopped(notification, [])
                : Problem.Of(StatusCodes.Status409Conflict, "already_dispatched", AlreadyDispatched);
        session.Events.Append(key, cancelled);
        if (notification.IsToBePlanned)
            await DigestWithdrawal.WithdrawMembersAsync(session, notification, client.ClientId, now, cancellation);
        await session.SaveChangesAsync(cancellation);
        return Stopped(Notification.Evolve(notification, key, cancelled)!, cancelled.Deliveries);

        IResult Stopped(Notification n, IReadOnlyList<Guid> deliveries) =>
            Results.Ok(new CancelledNotification(eventId, NotificationStatusRule.Of(n), deliveries));
    }
}

/// <summary>Another time for what is not yet due: the body of <c>POST …/reschedule</c>.</summary>
public sealed record RescheduleNotification
{
    /// <summary>When to send instead.</summary>
    [Required]
    public DateTimeOffset? SendAt { get; init; }
}

/// <summary>The result of a reschedule.</summary>
/// <param name="EventId">The notification's.</param>
/// <param name="Status">The current status of the notification.</param>
/// <param name="SendAt">When it will be sent.</param>
public sealed record RescheduledNotification(string EventId, NotificationStatus Status, DateTimeOffset SendAt);

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
        app.MapPost("/v1/notifications/{eventId}/reschedule", RescheduleAsync)
            .RequireScope(Scopes.Send)
            .OpenToTests()
            .WithName("RescheduleNotification")
            .WithTags("Send")
            .WithSummary("Move a scheduled notification")
            .WithDescription(
                "Chooses another sendAt, as long as the notification is not yet due. A time that has passed means at once; a "
                    + "time at or after expiresAt is a fault."
            )
            .Takes("To the next day", new RescheduleNotification { SendAt = NextDay })
            .Answers(200, "It is moved.", new RescheduledNotification("order-123-shipped", NotificationStatus.Scheduled, NextDay))
            .FailsNotFound("notification with this event ID")
            .Fails(409, "already_due", AlreadyDue);

    private const string AlreadyDue = "It is due, or has ended, and cannot be moved any more.";

    private static DateTimeOffset NextDay => new(2126, 12, 2, 9, 0, 0, TimeSpan.Zero);

    private static async Task<IResult> RescheduleAsync(
        string eventId,
        HttpContext http,
        IDocumentStore store,
        UserReferences users,
        TimeProvider clock
    )
    {
        var (body, problem) = await RequestBody.ReadAsync(http.Request, Validator);
        if (body is null)
            return problem!;
        var client = Callers.Of(http);
        var key = Visibility.OwnKey(http, await users.FindEventIdAsync(eventId, http.RequestAborted));
        var cancellation = http.RequestAborted;
        await using var session = store.LightweightSession();
        await session.BeginTransactionAsync(cancellation);
        var rows = await OpenDeliveryTable.LockAsync(session.Connection!, [DeterministicId.OfPlanning(key)], cancellation);
        await NotificationStreams.LockAsync(session, [key], cancellation);
        if (await NotificationStreams.LoadAsync(session, key, cancellation) is not { } notification)
            return Problem.NotFound("notification with this event ID");
        if (
            rows.Count == 0
            || NotificationDecider.Reschedule(notification, body.SendAt!.Value, client.ClientId, clock.GetUtcNow()) is not { } moved
        )
            return Problem.Of(StatusCodes.Status409Conflict, "already_due", AlreadyDue);
        if (moved.SendAt >= notification.Request.ExpiresAt)
            return Problem.Invalid(new Dictionary<string, string[]> { ["sendAt"] = ["must be earlier than the notification's expiresAt"] });
        await OpenDeliveryTable.PutAsync(session.Connection!, [.. rows.Select(r => r with { DueAt = moved.SendAt })], cancellation);
        await DigestWithdrawal.MoveAsync(session.Connection!, notification, moved.SendAt, cancellation);
        session.Events.Append(key, moved);
        await session.SaveChangesAsync(cancellation);
        return Results.Ok(
            new RescheduledNotification(eventId, NotificationStatusRule.Of(Notification.Evolve(notification, key, moved)!), moved.SendAt)
        );
    }
}
