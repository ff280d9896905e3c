using System.Text.Json;
using FluentValidation;
using Marten;
using Notify.Api.Contract;
using Notify.Api.Recipients;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Domain.Recipients;
using Notify.Projections.Net;

namespace Notify.Api.Notifications;

/// <summary>A client asks for a notification: the body of <c>POST /v1/notifications</c>.</summary>
public sealed record RequestNotification
{
    public string? EventId { get; init; }
    public string? UserId { get; init; }
    public RequestedRecipient? To { get; init; }
    public IReadOnlyList<Channel>? Channels { get; init; }
    public string? Category { get; init; }
    public Priority? Priority { get; init; }
    public JsonElement? Template { get; init; }
    public RequestedContent? Content { get; init; }
    public DateTimeOffset? SendAt { get; init; }
    public DateTimeOffset? ExpiresAt { get; init; }
    public JsonElement? Metadata { get; init; }

    /// <summary>The category of notifications that name none.</summary>
    public const string DefaultCategory = "default";
}

/// <summary>Literal content.</summary>
public sealed record RequestedContent
{
    public string? Title { get; init; }
    public string? Body { get; init; }
    public string? Html { get; init; }
    public JsonElement? Data { get; init; }
    public string? Url { get; init; }
}

/// <summary>Someone who is not registered.</summary>
public sealed record RequestedRecipient
{
    public string? Email { get; init; }
    public string? Phone { get; init; }
    public RequestedDevice? Device { get; init; }
}

/// <summary>A device of someone who is not registered.</summary>
public sealed record RequestedDevice
{
    public Platform? Platform { get; init; }
    public string? Token { get; init; }
    public WebPushSubscription? Subscription { get; init; }
}

/// <summary>The shape of a request; what depends on the clock or on stored state is decided after it was accepted.</summary>
public sealed class RequestNotificationValidator : AbstractValidator<RequestNotification>
{
    /// <summary>The rules.</summary>
    public RequestNotificationValidator(OutboundGuard? guard = null)
    {
        RuleFor(r => r.EventId).Must(Identifiers.IsEventId).WithMessage("must be 1 to 128 of A-Z a-z 0-9 . _ ~ : -");
        RuleFor(r => r.UserId).Must(Identifiers.IsUserId).When(r => r.UserId is not null).WithMessage(Identifiers.UserIdRule);
        RuleFor(r => r.UserId).NotNull().When(r => r.To is null).WithMessage("name the user, or give to");
        RuleFor(r => r.To).Null().When(r => r.UserId is not null).WithMessage("give either userId or to, not both");
        RuleFor(r => r.Channels).Must(c => c!.Count is > 0 and <= 3 && c.Distinct().Count() == c.Count).When(r => r.Channels is not null)
            .WithMessage("must name at least one channel, and each only once");
        RuleFor(r => r.Category).Must(Identifiers.IsKey).When(r => r.Category is not null).WithMessage(Identifiers.KeyRule);
        RuleFor(r => r.Template).Null().WithMessage("templates are not available in this version; send content");
        RuleFor(r => r.Content).NotNull().When(r => r.Template is null).WithMessage("say what to send");
        RuleFor(r => r.ExpiresAt).GreaterThan(r => r.SendAt).When(r => r.SendAt is not null && r.ExpiresAt is not null).WithMessage("must be later than sendAt");
        RuleFor(r => r.Metadata).Must(m => m!.Value.ValueKind == JsonValueKind.Object).When(r => r.Metadata is { ValueKind: not JsonValueKind.Null }).WithMessage("must be an object");
        RuleFor(r => r.Content!).SetValidator(new RequestedContentValidator()).When(r => r.Content is not null);
        RuleFor(r => r.To!).SetValidator(new RequestedRecipientValidator(guard)).When(r => r.To is not null);
    }
}

/// <summary>The shape of literal content.</summary>
public sealed class RequestedContentValidator : AbstractValidator<RequestedContent>
{
    /// <summary>The rules.</summary>
    public RequestedContentValidator()
    {
        RuleFor(c => c).Must(c => c.Title is { Length: > 0 } || c.Body is { Length: > 0 } || c.Html is { Length: > 0 } || c.Data is not null)
            .WithName("content").OverridePropertyName("").WithMessage("needs a title, body, html or data");
        RuleFor(c => c.Title).MaximumLength(1000).WithMessage("must be at most 1,000 characters");
        RuleFor(c => c.Body).MaximumLength(10_000).WithMessage("must be at most 10,000 characters");
        RuleFor(c => c.Html).MaximumLength(200_000).WithMessage("must be at most 200,000 characters");
        RuleFor(c => c.Data).Must(d => d!.Value.ValueKind == JsonValueKind.Object).When(c => c.Data is { ValueKind: not JsonValueKind.Null }).WithMessage("must be an object");
        RuleFor(c => c.Url).Must(u => u!.Length <= 2000 && Uri.TryCreate(u, UriKind.Absolute, out var uri) && uri.Scheme == Uri.UriSchemeHttps)
            .When(c => c.Url is not null).WithMessage("must be an absolute https address of at most 2,000 characters");
    }
}

/// <summary>The shape of an unregistered recipient.</summary>
public sealed class RequestedRecipientValidator : AbstractValidator<RequestedRecipient>
{
    /// <summary>The rules.</summary>
    public RequestedRecipientValidator(OutboundGuard? guard = null)
    {
        RuleFor(t => t).Must(t => t.Email is not null || t.Phone is not null || t.Device is not null).OverridePropertyName("").WithMessage("needs an email, phone or device");
        RuleFor(t => t.Email).Must(e => ContactRules.IsEmail(e!)).When(t => t.Email is not null).WithMessage(ContactRules.EmailRule);
        RuleFor(t => t.Phone).Must(p => ContactRules.ToE164(p!) is not null).When(t => t.Phone is not null).WithMessage(ContactRules.PhoneRule);
        RuleFor(t => t.Device!).Custom((d, context) =>
        {
            foreach (var (field, fault) in ContactRules.CheckDevice(d.Platform, d.Token, d.Subscription, guard)) context.AddFailure($"Device.{field}", fault);
        }).When(t => t.Device is not null);
    }
}

/// <summary>The endpoints that accept notifications.</summary>
public static class RequestNotificationEndpoint
{
    private const int MaxBatch = 1000;

    /// <summary>Maps <c>POST /v1/notifications</c> and <c>…/batch</c>.</summary>
    public static void Map(IEndpointRouteBuilder app)
    {
        app.MapPost("/v1/notifications", OneAsync).RequireScope(Scopes.Send).WithName("RequestNotification").WithTags("Send")
            .WithSummary("Request a notification. 202 only when it is durable; the same event ID is never acted upon twice.");
        app.MapPost("/v1/notifications/batch", BatchAsync).RequireScope(Scopes.Send).WithName("RequestNotifications").WithTags("Send")
            .WithSummary("Request up to 1,000 notifications; one bad item harms no other.");
    }

    private static async Task<IResult> OneAsync(HttpContext http, Acceptance acceptance, RequestNotificationValidator validator, IDocumentStore store)
    {
        var (document, problem) = await RequestBody.ReadAsync(http.Request);
        if (document is null) return problem!;
        using (document)
        {
            var client = Callers.Of(http);
            var errors = RequestBody.Bind(document.RootElement, validator, out var request);
            if (errors is not null) return Problem.Invalid(errors);
            var result = await acceptance.AcceptAsync(client, request!, document.RootElement);
            switch (result)
            {
                case AcceptResult.Accepted:
                    return Results.Accepted($"/v1/notifications/{request!.EventId}", new { request.EventId, Status = "accepted", Duplicate = false });
                case AcceptResult.Duplicate:
                    await using (var session = store.QuerySession())
                    {
                        var state = await Projections.NotificationStreams.LoadAsync(session, NotificationKey.Of(client.ClientId, request!.EventId!), http.RequestAborted);
                        return Results.Ok(new { request.EventId, Status = state is null ? NotificationStatus.Accepted : NotificationStatusRule.Of(state), Duplicate = true });
                    }

                default:
                    return Problem.Of(StatusCodes.Status409Conflict, "event_id_conflict",
                        $"The event ID {request!.EventId} was used for another request. It stays taken for ever: choose a new one, or send the first request unchanged.");
            }
        }
    }

    private static async Task<IResult> BatchAsync(HttpContext http, Acceptance acceptance, RequestNotificationValidator validator)
    {
        var (document, problem) = await RequestBody.ReadAsync(http.Request, RequestBody.MaxBatchBytes);
        if (document is null) return problem!;
        using (document)
        {
            var root = document.RootElement;
            var errors = new Dictionary<string, string[]>();
            foreach (var field in root.EnumerateObject().Where(f => f.Name != "notifications")) errors[field.Name] = ["is not known here; known is notifications"];
            if (!root.TryGetProperty("notifications", out var list) || list.ValueKind != JsonValueKind.Array) errors["notifications"] = ["must be a list"];
            else if (list.GetArrayLength() is 0 or > MaxBatch) errors["notifications"] = ["must have 1 to 1,000 items"];
            if (errors.Count > 0) return Problem.Invalid(errors);

            var client = Callers.Of(http);
            var results = await Task.WhenAll(list.EnumerateArray().Select(item => ItemAsync(acceptance, validator, client, item)));
            return Results.Ok(new { results });
        }
    }

    private static async Task<BatchItemResult> ItemAsync(Acceptance acceptance, RequestNotificationValidator validator, Client client, JsonElement item)
    {
        var eventId = item.ValueKind == JsonValueKind.Object && item.TryGetProperty("eventId", out var id) && id.ValueKind == JsonValueKind.String ? id.GetString() : null;
        var errors = RequestBody.Bind(item, validator, out var request);
        if (errors is not null) return new BatchItemResult(eventId, "rejected", new BatchItemError("invalid_request", "The item has faults; errors names each of them by field.", errors));
        try
        {
            return await acceptance.AcceptAsync(client, request!, item) switch
            {
                AcceptResult.Accepted => new BatchItemResult(eventId, "accepted"),
                AcceptResult.Duplicate => new BatchItemResult(eventId, "duplicate"),
                _ => new BatchItemResult(eventId, "rejected", new BatchItemError("event_id_conflict", "The event ID was used for another request.")),
            };
        }
        catch (Exception e) when (Projections.DatabaseFaults.IsPassing(e))
        {
            return new BatchItemResult(eventId, "rejected", new BatchItemError("storage_unavailable", "The database does not answer; send the item again."));
        }
    }

    private sealed record BatchItemResult(string? EventId, string Status, BatchItemError? Error = null);

    private sealed record BatchItemError(string Code, string Detail, IDictionary<string, string[]>? Errors = null);
}
