namespace Notify.Api.Notifications;

using System.Text.Json;
using Marten;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Reference;
using Notify.Delivery.Privacy;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Domain.Templates;

/// <summary>The result of a request.</summary>
/// <param name="EventId">The request's own.</param>
/// <param name="Status">The current status of the notification.</param>
/// <param name="Duplicate">Whether the same request was accepted before.</param>
public sealed record RequestedNotification(string EventId, NotificationStatus Status, bool Duplicate);

/// <summary>The endpoint that accepts a notification.</summary>
public static class RequestNotificationEndpoint
{
    /// <summary>Maps <c>POST /v1/notifications</c>.</summary>
    public static void Map(IEndpointRouteBuilder app)
    {
        app.MapPost("/v1/notifications", OneAsync)
            .RequireScope(Scopes.Send)
            .OrToken(TokenGrants.Send)
            .OpenToTests()
            .WithOwnLimit()
            .WithName("RequestNotification")
            .WithTags("Send")
            .WithSummary("Request a notification")
            .WithDescription(
                "Answers 202 only when the notification is durable. The same event ID is never acted upon twice: the same "
                    + "request again answers 200 and sends nothing, another one 409. "
                    + "A rejected request uses up no ID. An unknown user, or one who cannot be reached, is accepted and ends "
                    + "as suppressed, with the reason among its events."
            )
            .Takes("To a registered user", Example)
            .Takes("An SMS to a number", ToNumber)
            .Takes("With a template", WithTemplate)
            .Takes("Later, and not too late", Scheduled)
            .Takes("A push with a sound and a picture", Rich)
            .Takes("An email with a file", WithFile)
            .Answers(202, "It is durable.", new RequestedNotification("order-123-shipped", NotificationStatus.Accepted, false), "Location")
            .Answers(
                200,
                "The same request was accepted before; nothing is sent again.",
                new RequestedNotification("order-123-shipped", NotificationStatus.Delivered, true)
            )
            .FailsUngranted()
            .Fails(409, "event_id_conflict", ConflictDetail("order-123-shipped"))
            .Fails(429, "rate_limited", TooMany);
    }

    /// <summary>A request to a registered user, for the reference.</summary>
    internal static RequestNotification Example =>
        new()
        {
            EventId = "order-123-shipped",
            UserId = "u-42",
            Channels = [Channel.Push, Channel.Sms],
            Category = "shipping",
            Priority = Priority.Critical,
            Content = new RequestedContent
            {
                Title = "On its way",
                Body = "Your order 123 has left our house.",
                Data = JsonSerializer.SerializeToElement(new { orderId = "123" }),
                Url = "https://example.com/orders/123",
            },
            Metadata = JsonSerializer.SerializeToElement(new { campaign = "none" }),
        };

    /// <summary>A request to a number, for the reference.</summary>
    internal static RequestNotification ToNumber =>
        new()
        {
            EventId = "code-77",
            To = new RequestedRecipient { Phone = "+12025550123" },
            Channels = [Channel.Sms],
            Category = "otp",
            Priority = Priority.Critical,
            Content = new RequestedContent { Body = "Your code is 402817." },
        };

    private static RequestNotification WithTemplate =>
        new()
        {
            EventId = "order-125-shipped",
            UserId = "u-42",
            Template = new RequestedTemplate
            {
                Key = "order-shipped",
                Locale = "ko",
                Params = JsonSerializer.SerializeToElement(new { name = "민수", orderUrl = "https://example.com/orders/125" }),
            },
        };

    private static RequestNotification Scheduled =>
        new()
        {
            EventId = "reminder-9",
            UserId = "u-42",
            Category = "reminders",
            Priority = Priority.Bulk,
            SendAt = new DateTimeOffset(2126, 12, 1, 9, 0, 0, TimeSpan.Zero),
            ExpiresAt = new DateTimeOffset(2126, 12, 1, 12, 0, 0, TimeSpan.Zero),
            Content = new RequestedContent { Title = "Tomorrow at ten", Body = "We look forward to seeing you." },
        };

    private static RequestNotification Rich =>
        new()
        {
            EventId = "match-3-goal",
            UserId = "u-42",
            Channels = [Channel.Push],
            Category = "sports",
            Content = new RequestedContent
            {
                Title = "Goal!",
                Body = "1:0 in the 12th minute",
                Url = "https://example.com/matches/3",
                Push = new PushOptions
                {
                    Sound = "cheer",
                    Badge = 3,
                    Image = "https://example.com/matches/3.jpg",
                    CollapseKey = "match-3",
                    TtlSeconds = 5400,
                    Android = new AndroidOptions
                    {
                        ChannelId = "scores",
                        Icon = "ball",
                        Color = "#1a7f37",
                    },
                    Ios = new IosOptions
                    {
                        ThreadId = "match-3",
                        Category = "MATCH",
                        InterruptionLevel = InterruptionLevel.TimeSensitive,
                    },
                    Web = new WebOptions { Icon = "https://example.com/ball.png", RequireInteraction = false },
                },
            },
        };

    private static RequestNotification WithFile =>
        new()
        {
            EventId = "invoice-2026-17",
            To = new RequestedRecipient { Email = "minsu@example.com" },
            Channels = [Channel.Email],
            Category = "invoices",
            Content = new RequestedContent
            {
                Title = "Your invoice 17",
                Body = "It is attached.",
                Attachments =
                [
                    new RequestedAttachment
                    {
                        Filename = "invoice-17.txt",
                        ContentType = "text/plain",
                        Content = "VG90YWw6IDQyIEVVUgo=",
                    },
                ],
            },
        };

    /// <summary>The detail of a 429.</summary>
    internal const string TooMany =
        "This client asks for more than its limit allows. Send the same request again after Retry-After: " + "nothing was stored.";

    private static string ConflictDetail(string eventId) =>
        $"The event ID {eventId} was used for another request. It stays taken for ever: choose a new one, or send the first "
        + "request unchanged.";

    private static async Task<IResult> OneAsync(
        HttpContext http,
        TemplateRequests requests,
        RequestNotificationValidator validator,
        AcceptLimit limit,
        UserReferences users,
        IDocumentStore store
    )
    {
        var (document, problem) = await RequestBody.ReadAsync(
            http.Request,
            RequestBody.MaxBytes,
            RequestBody.MaxAttachmentBytes,
            RequestedAttachmentValidator.BytesOf
        );
        if (document is null)
            return problem!;
        var client = Callers.Of(http);
        var (accepting, eventId, refused) = await BeginAsync(http, client, document, requests, validator, limit, users);
        document = null; // the body is not held while the commit is waited for
        if (accepting is null)
            return refused!;
        var (result, faults, hindrance) = await accepting;
        if (faults is not null)
            return Problem.Invalid(faults);
        if (hindrance is not null)
            return hindrance.ToResult();
        switch (result)
        {
            case AcceptResult.Accepted:
                return Results.Accepted(
                    $"/v1/notifications/{eventId}",
                    new RequestedNotification(eventId!, NotificationStatus.Accepted, false)
                );
            case AcceptResult.Duplicate:
                await using (var session = store.QuerySession())
                {
                    var key = NotificationKey.Of(client.ClientId, eventId!);
                    var state = (
                        await Notify.Delivery.EventStore.NotificationStreams.LoadAsync(session, [key], http.RequestAborted)
                    ).States.GetValueOrDefault(key);
                    var status = state is null ? NotificationStatus.Accepted : NotificationStatusRule.Of(state);
                    return Results.Ok(new RequestedNotification(eventId!, status, true));
                }

            default:
                return Problem.Of(StatusCodes.Status409Conflict, "event_id_conflict", ConflictDetail(eventId!));
        }
    }

    // Reads the request and adds it to those that wait; the document is not used any more afterwards.
    private static async ValueTask<(Task<AcceptAnswer>? Accepting, string? EventId, IResult? Refused)> BeginAsync(
        HttpContext http,
        Client client,
        JsonDocument document,
        TemplateRequests requests,
        RequestNotificationValidator validator,
        AcceptLimit limit,
        UserReferences users
    )
    {
        using (document)
        {
            var errors = RequestBody.Bind(document.RootElement, validator, out var request);
            if (errors is not null)
                return (null, null, Problem.Invalid(errors));
            if (Callers.TokenOf(http) is { } token)
            {
                var userRef = request!.UserId is { } userId ? await users.FindAsync(userId, http.RequestAborted) : null;
                if (token.HindranceToSend(request, userRef) is { } hindrance)
                    return (null, null, Problem.Of(StatusCodes.Status403Forbidden, Callers.TokenLacks, hindrance));
            }

            if (limit.Take(http.Response, client, 1) is { } over)
                return (null, null, over);
            return (
                requests.AcceptAsync(client, request!, document.RootElement, Callers.AppOf(http), http.RequestAborted),
                request!.EventId,
                null
            );
        }
    }
}
