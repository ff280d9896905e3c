namespace Notify.Api.Notifications;

using System.ComponentModel.DataAnnotations;
using FluentValidation;
using Marten;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Reference;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.EventStore;
using Notify.Delivery.Privacy;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;

/// <summary>An app's acknowledgement of a push: the body of <c>POST …/ack</c>.</summary>
public sealed record AcknowledgeDelivery
{
    /// <summary>The push: its delivery's ID.</summary>
    [Required]
    public Guid? DeliveryId { get; init; }

    /// <summary><c>delivered</c>: the device has it; <c>opened</c>: the person opened it, which says that the device has it, too.</summary>
    [Required]
    public AcknowledgedEvent? Event { get; init; }
}

/// <summary>The events of a push that an app can acknowledge.</summary>
public enum AcknowledgedEvent
{
    Delivered,
    Opened,
}

/// <summary>The shape of an acknowledgement.</summary>
public sealed class AcknowledgeDeliveryValidator : AbstractValidator<AcknowledgeDelivery>
{
    /// <summary>The rules.</summary>
    public AcknowledgeDeliveryValidator()
    {
        RuleFor(a => a.DeliveryId).NotNull().WithMessage("say which delivery");
        RuleFor(a => a.Event).NotNull().WithMessage("say what happened: delivered or opened");
    }
}

/// <summary>Accepts an app's acknowledgement of a push, because push providers report no delivery. Duplicates change nothing.</summary>
public static class AcknowledgeDeliveryEndpoint
{
    private static readonly AcknowledgeDeliveryValidator Validator = new();

    /// <summary>Maps <c>POST /v1/notifications/{eventId}/ack</c>.</summary>
    public static void Map(IEndpointRouteBuilder app) =>
        app.MapPost("/v1/notifications/{eventId}/ack", AcknowledgeAsync)
            .RequireAnyScope(Scopes.Send, Scopes.Recipients)
            .OrToken(TokenGrants.Ack)
            .OpenToTests()
            .WithName("AcknowledgeDelivery")
            .WithTags("Send")
            .WithSummary("Acknowledge a push")
            .WithDescription(
                "Tells that a push reached the device, or that the person opened it. Said again it changes nothing and answers "
                    + "200. The scope `recipients` will do as well. Carriers and mail servers tell of SMS and email by themselves."
            )
            .Takes("Opened", new AcknowledgeDelivery { DeliveryId = ExampleId, Event = AcknowledgedEvent.Opened })
            .Answers(
                200,
                "The delivery as it is now.",
                NotificationResource.Example.Deliveries[0] with
                {
                    Channel = Channel.Push,
                    Provider = "apns",
                    Status = DeliveryStatus.Delivered,
                    DeviceId = "d_7kQ2mX0aVbN3sT9yLpR4wE",
                }
            )
            .FailsNotFound("notification with this event ID")
            .Fails(404, "no_such_delivery", NoSuchDelivery)
            .Fails(409, "not_sent", NotSent);

    private const string NoSuchDelivery =
        "The notification has no push with this deliveryId. Ask for the notification to see its deliveries.";

    private const string NotSent = "This push was left out and never sent, so no device can have it. Check the deliveryId.";

    private static Guid ExampleId => Guid.Parse("0b1f7c3e-52ab-8d0e-9c41-6a7d2f90e513");

    private static async Task<IResult> AcknowledgeAsync(
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
        var (key, id, cancellation) = (
            Visibility.OwnKey(http, await users.FindEventIdAsync(eventId, http.RequestAborted)),
            body.DeliveryId!.Value,
            http.RequestAborted
        );
        await using var session = store.LightweightSession();
        await session.BeginTransactionAsync(cancellation);
        var open = (await OpenDeliveryTable.LockAsync(session.Connection!, [id], cancellation)).FirstOrDefault();
        await NotificationStreams.LockAsync(session, [key], cancellation);
        if (
            await NotificationStreams.LoadAsync(session, key, cancellation) is not { } notification
            || !Callers.MaySee(http, notification.Request.UserRef)
        )
            return Problem.NotFound("notification with this event ID");
        if (!notification.Deliveries.TryGetValue(id, out var delivery) || delivery.Channel != Channel.Push)
            return Problem.Of(StatusCodes.Status404NotFound, "no_such_delivery", NoSuchDelivery);
        if (delivery.Lane is null)
            return Problem.Of(StatusCodes.Status409Conflict, "not_sent", NotSent);

        var isCalling = open?.State == OpenState.InFlight;
        var what = body.Event == AcknowledgedEvent.Opened ? ReportKind.Opened : ReportKind.Delivered;
        var reported = ReportDecider.Decide(
            notification,
            delivery,
            new DeliveryReport(what, DeliveryReport.App, clock.GetUtcNow()),
            isCalling
        );
        if (reported.Events.Count > 0)
        {
            session.Events.Append(key, reported.Events);
            if (open is not null && reported.Delivery.IsTerminal)
            {
                if (isCalling)
                    await OpenDeliveryTable.EndInFlightAsync(session.Connection!, [id], cancellation);
                else
                    await OpenDeliveryTable.RemoveAsync(session.Connection!, [id], cancellation);
            }

            await session.SaveChangesAsync(cancellation);
        }

        return Results.Ok(DeliveryResource.Of(reported.Delivery));
    }
}
