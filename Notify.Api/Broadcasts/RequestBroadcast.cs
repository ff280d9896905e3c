namespace Notify.Api.Broadcasts;

using System.ComponentModel.DataAnnotations;
using System.Diagnostics;
using System.Text.Json;
using FluentValidation;
using Marten;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Notifications;
using Notify.Api.Reference;
using Notify.Delivery.Broadcasts;
using Notify.Delivery.Payloads;
using Notify.Delivery.Privacy;
using Notify.Domain.Broadcasts;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Content;
using Notify.Domain.Templates;
using Notify.Domain.Topics;
using Notify.Infrastructure.Networking;

/// <summary>A client asks that a notification be sent to many: the body of <c>POST /v1/broadcasts</c>.</summary>
public sealed record RequestBroadcast
{
    /// <summary>Your own ID of it: 1 to 128 of A-Z a-z 0-9 . _ ~ : -. Permanently unique per client.</summary>
    [Required]
    public string? BroadcastId { get; init; }

    /// <summary>To those who follow this topic. Exactly one of <c>topic</c>, <c>filter</c> and <c>all</c>.</summary>
    public string? Topic { get; init; }

    /// <summary>To those who follow some topics and not others.</summary>
    public BroadcastFilter? Filter { get; init; }

    /// <summary>true: to every registered user.</summary>
    public bool? All { get; init; }

    /// <summary>The channels to use; absent: the template's, else all by which each person can be reached.</summary>
    public IReadOnlyList<Channel>? Channels { get; init; }

    /// <summary>The category: people opt in and out by category. 1 to 64 of a-z 0-9 . _ -. Absent: the template's.</summary>
    public string? Category { get; init; }

    /// <summary>How urgent it is; absent: <c>bulk</c>.</summary>
    public Priority? Priority { get; init; }

    /// <summary>The template of its content, in each person's language. Either this or <c>content</c>.</summary>
    public RequestedTemplate? Template { get; init; }

    /// <summary>The content, without attachments. Either this or <c>template</c>.</summary>
    public RequestedContent? Content { get; init; }

    /// <summary>When it starts; absent or past: now.</summary>
    public DateTimeOffset? SendAt { get; init; }

    /// <summary>Its expiry. After this time no further user gets it.</summary>
    public DateTimeOffset? ExpiresAt { get; init; }
}

/// <summary>The recipients of a broadcast: users that match every list. At least one list is given; each has at most 20 items.</summary>
public sealed record BroadcastFilter
{
    /// <summary>Those who follow at least one of these.</summary>
    public IReadOnlyList<string>? TopicsAny { get; init; }

    /// <summary>Of them, those who follow each of these.</summary>
    public IReadOnlyList<string>? TopicsAll { get; init; }

    /// <summary>Of them, those who follow none of these.</summary>
    public IReadOnlyList<string>? TopicsNone { get; init; }

    /// <summary>Those whose language is one of these BCP 47 tags; <c>ko</c> is also met by <c>ko-KR</c>.</summary>
    public IReadOnlyList<string>? Locales { get; init; }

    /// <summary>Those who live in one of these IANA time zones.</summary>
    public IReadOnlyList<string>? TimeZones { get; init; }
}

/// <summary>The shape of a broadcast.</summary>
public sealed class RequestBroadcastValidator : AbstractValidator<RequestBroadcast>
{
    private const int MostItems = 20;

    /// <summary>The rules.</summary>
    public RequestBroadcastValidator(OutboundGuard guard, SmsLimits sms)
    {
        var notification = new RequestNotificationValidator(guard, sms);
        RuleFor(b => b.BroadcastId).Must(Identifiers.IsEventId).WithMessage("must be 1 to 128 of A-Z a-z 0-9 . _ ~ : -");
        RuleFor(b => b.Topic)
            .Must((b, _) => new[] { b.Topic is not null, b.Filter is not null, b.All is not null }.Count(given => given) == 1)
            .WithMessage("say whom it is for: give exactly one of topic, filter and all");
        RuleFor(b => b.Topic).Must(Identifiers.IsKey).When(b => b.Topic is not null).WithMessage(Identifiers.KeyRule);
        RuleFor(b => b.All).Must(a => a == true).When(b => b.All is not null).WithMessage("must be true; for others give topic or filter");
        RuleFor(b => b.Filter)
            .Custom(
                (filter, context) =>
                {
                    if (filter is null)
                        return;
                    var lists = new (string Name, IReadOnlyList<string>? Items, Func<string?, bool> IsRight, string Rule)[]
                    {
                        ("TopicsAny", filter.TopicsAny, Identifiers.IsKey, $"each topic {Identifiers.KeyRule}"),
                        ("TopicsAll", filter.TopicsAll, Identifiers.IsKey, $"each topic {Identifiers.KeyRule}"),
                        ("TopicsNone", filter.TopicsNone, Identifiers.IsKey, $"each topic {Identifiers.KeyRule}"),
                        ("Locales", filter.Locales, l => l is not null && TemplateLocale.IsTag(l), $"each {TemplateLocale.Rule}"),
                        (
                            "TimeZones",
                            filter.TimeZones,
                            z => z is not null && ContactRules.IsTimeZone(z),
                            "each must be an IANA time zone, such as Asia/Seoul"
                        ),
                    };
                    if (lists.All(l => l.Items is null or { Count: 0 }))
                        context.AddFailure("Filter", "must have something in at least one of its lists; for everybody give all: true");
                    foreach (var (name, items, isRight, rule) in lists)
                    {
                        if (items?.Count > MostItems)
                            context.AddFailure($"Filter.{name}", "must have at most 20 items");
                        if (items?.All(isRight) == false)
                            context.AddFailure($"Filter.{name}", rule);
                    }
                }
            );
        RuleFor(b => b.Content!.Attachments)
            .Null()
            .When(b => b.Content is not null)
            .WithMessage("a broadcast has no attachments; link to the file instead");
        // All else is as in a request for one person.
        RuleFor(b => b)
            .Custom(
                (broadcast, context) =>
                {
                    foreach (var fault in notification.Validate(AsNotification(broadcast)).Errors)
                        context.AddFailure(fault.PropertyName, fault.ErrorMessage);
                }
            );
    }

    /// <summary>Returns one of its notifications, with a user and an event ID that stand for all of them.</summary>
    public static RequestNotification AsNotification(RequestBroadcast b) =>
        new()
        {
            EventId = "each",
            UserId = "each",
            Channels = b.Channels,
            Category = b.Category,
            Priority = b.Priority ?? Priority.Bulk,
            Template = b.Template,
            Content = b.Content,
            SendAt = b.SendAt,
            ExpiresAt = b.ExpiresAt,
        };
}

/// <summary>The result of a request for a broadcast.</summary>
/// <param name="BroadcastId">The request's own.</param>
/// <param name="State">The current state of the broadcast.</param>
/// <param name="Duplicate">Whether the same request was accepted before.</param>
public sealed record RequestedBroadcast(string BroadcastId, BroadcastState State, bool Duplicate);

/// <summary>Accepts broadcasts.</summary>
public static class RequestBroadcastEndpoint
{
    /// <summary>Maps <c>POST /v1/broadcasts</c>.</summary>
    public static void Map(IEndpointRouteBuilder app) =>
        app.MapPost("/v1/broadcasts", RequestAsync)
            .RequireScope(Scopes.Send)
            .OpenToTests()
            .WithOwnLimit()
            .WithName("RequestBroadcast")
            .WithTags("Send")
            .WithSummary("Send to many")
            .WithDescription(
                "To those who follow a topic, to those whom a filter describes, or to every registered user. Answers 202 only "
                    + "when it is durable; the same broadcast ID is never acted upon twice. "
                    + "From `sendAt` on, each user gets a notification of their own, which can be asked for like any other, as "
                    + "`{broadcastId}@{userId}`; "
                    + "answers show the event ID with a reference in place of the user's ID; preferences, suppressions and "
                    + "categories count for it as ever. "
                    + "Users have their turn in the order of their IDs, and only as fast as the queues are emptied; whoever "
                    + "joins or leaves a topic meanwhile is met as they are when their turn comes. "
                    + "A broadcast to nobody is refused; one that is for later, and whose topics are empty then, completes with none."
            )
            .Takes("To a topic, with a template", Example)
            .Takes(
                "To those who follow one topic and not another, and read English",
                new RequestBroadcast
                {
                    BroadcastId = "spring-sale-2",
                    Filter = new BroadcastFilter
                    {
                        TopicsAny = ["club-news"],
                        TopicsNone = ["no-offers"],
                        Locales = ["en"],
                    },
                    Category = "weekly-offers",
                    Content = new RequestedContent { Title = "Spring sale", Body = "Until Sunday." },
                }
            )
            .Answers(202, "It is durable.", new RequestedBroadcast("order-news-1", BroadcastState.Scheduled, false), "Location")
            .Answers(
                200,
                "The same request was accepted before; nothing is sent again.",
                new RequestedBroadcast("order-news-1", BroadcastState.Completed, true)
            )
            .FailsUngranted()
            .Fails(403, SendingRules.Broadcast, SendingRules.BroadcastDetail)
            .Fails(409, "broadcast_id_conflict", ConflictDetail("order-news-1"))
            .Fails(
                429,
                "rate_limited",
                "This client asks for more than its limit allows. Send the same request again after Retry-After: nothing was stored."
            );

    private static RequestBroadcast Example =>
        new()
        {
            BroadcastId = "order-news-1",
            Topic = "club-news",
            Category = "shipping",
            Template = new RequestedTemplate
            {
                Key = "order-shipped",
                Params = JsonSerializer.SerializeToElement(new { name = "all of you" }),
            },
            SendAt = new DateTimeOffset(2126, 12, 1, 9, 0, 0, TimeSpan.Zero),
            ExpiresAt = new DateTimeOffset(2126, 12, 2, 9, 0, 0, TimeSpan.Zero),
        };

    private static string ConflictDetail(string broadcastId) =>
        $"The broadcast ID {broadcastId} was used for another request. It stays taken for ever: choose a new one, or send the "
        + "first request unchanged.";

    private static async Task<IResult> RequestAsync(
        HttpContext http,
        RequestBroadcastValidator validator,
        TemplateRequests templates,
        Acceptance acceptance,
        AcceptLimit limit,
        IDocumentStore store,
        SubjectKeys keys,
        AudienceDetails details,
        TimeProvider clock
    )
    {
        var (document, problem) = await RequestBody.ReadAsync(http.Request);
        if (document is null)
            return problem!;
        using (document)
        {
            var errors = RequestBody.Bind(document.RootElement, validator, out var request);
            if (errors is not null)
                return Problem.Invalid(errors);
            var client = Callers.Of(http);
            if (request!.Topic is null && !client.Sending.BroadcastToAll)
                return new Hindrance(SendingRules.Broadcast, SendingRules.BroadcastDetail).ToResult();
            if (limit.Take(http.Response, client, 1) is { } over)
                return over;

            var (key, received, each) = (
                Broadcast.KeyOf(client.ClientId, request!.BroadcastId!),
                acceptance.ReceivedOf(document.RootElement),
                RequestBroadcastValidator.AsNotification(request)
            );
            // Before a connection is held: it is read over another one.
            var (template, faults) = request.Template is null ? (null, null) : await templates.ResolveAsync(each);
            var category = request.Category ?? template?.Category ?? RequestNotification.DefaultCategory;
            if (faults is null && SendingRules.Check(client, category, request.Channels) is { } hindrance)
                return hindrance.ToResult();
            await using var session = store.LightweightSession();
            await session.BeginTransactionAsync(http.RequestAborted);
            if (await BroadcastTable.HashAsync(session.Connection!, key, http.RequestAborted) is { } known)
                return await KnownAsync(session, request, key, known, received, http.RequestAborted);

            faults ??= await AudienceFaultsAsync(details, session, request, clock.GetUtcNow(), http.RequestAborted);
            if (faults is not null)
                return Problem.Invalid(faults);

            var now = clock.GetUtcNow();
            var broadcast = new Broadcast(
                key,
                BroadcastState.Scheduled,
                request.SendAt,
                request.ExpiresAt,
                request.SendAt > now ? request.SendAt : now,
                "",
                0,
                null,
                null,
                null
            );
            if (!await BroadcastTable.AddAsync(session.Connection!, broadcast, client.ClientId, received.Hash, now, http.RequestAborted))
                return await KnownAsync(
                    session,
                    request,
                    key,
                    (await BroadcastTable.HashAsync(session.Connection!, key, http.RequestAborted))!,
                    received,
                    http.RequestAborted
                );
            var (sealing, payloads) = (await keys.CurrentAsync(session.Connection!, [key], http.RequestAborted), new PayloadBatch(now));
            session.Events.StartStream(
                key,
                new BroadcastRequested(
                    client.ClientId,
                    request.BroadcastId!,
                    client.Mode,
                    AudienceOf(request),
                    category,
                    each.Priority!.Value,
                    request.Channels ?? client.Sending.Channels,
                    payloads.Seal(sealing, key, Domain.Privacy.SealedPlace.OfPayload(key), Acceptance.PayloadOf(each)),
                    request.SendAt,
                    request.ExpiresAt,
                    received.Hash,
                    Activity.Current?.Id,
                    now,
                    template?.Pin,
                    !client.Sending.Required
                )
            );
            await PayloadTable.AddAsync(session.Connection!, payloads.Rows, http.RequestAborted);
            await session.SaveChangesAsync(http.RequestAborted);
            return Results.Accepted(
                $"/v1/broadcasts/{request.BroadcastId}",
                new RequestedBroadcast(request.BroadcastId!, BroadcastState.Scheduled, false)
            );
        }
    }

    private static async Task<IResult> KnownAsync(
        IDocumentSession session,
        RequestBroadcast request,
        string key,
        string known,
        ReceivedRequest received,
        CancellationToken cancellation
    ) =>
        received.IsThatOf(known)
            ? Results.Ok(
                new RequestedBroadcast(
                    request.BroadcastId!,
                    (await BroadcastTable.FindAsync(session.Connection!, key, cancellation))!.State,
                    true
                )
            )
            : Problem.Of(StatusCodes.Status409Conflict, "broadcast_id_conflict", ConflictDetail(request.BroadcastId!));

    private static Audience AudienceOf(RequestBroadcast request) =>
        request.Topic is { } topic ? Audience.Of(topic)
        : request.Filter is { } filter
            ? new Audience(filter.TopicsAny ?? [], filter.TopicsAll ?? [], filter.TopicsNone ?? [], filter.Locales, filter.TimeZones)
        : Audience.Everybody;

    // A topic that is not there is a mistake at any time; one that nobody follows yet may have followers when the time comes.
    private static async Task<IDictionary<string, string[]>?> AudienceFaultsAsync(
        AudienceDetails details,
        IDocumentSession session,
        RequestBroadcast request,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        var named = new[]
        {
            ("topic", request.Topic is { } t ? [t] : null),
            ("filter.topicsAny", request.Filter?.TopicsAny),
            ("filter.topicsAll", request.Filter?.TopicsAll),
            ("filter.topicsNone", request.Filter?.TopicsNone),
        };
        var wanted = named.SelectMany(n => n.Item2 ?? []).Distinct().Select(Topic.KeyOf).ToArray();
        var there =
            wanted.Length == 0
                ? []
                : (await session.LoadManyAsync<Topic>(cancellation, wanted)).Select(f => f.Key).ToHashSet(StringComparer.Ordinal);
        var faults = named
            .SelectMany(n =>
                (n.Item2 ?? [])
                    .Where(k => !there.Contains(k))
                    .Select(k => (Field: n.Item1, Fault: $"there is no topic {k}; PUT /v1/topics/{k} makes it"))
            )
            .GroupBy(f => f.Field)
            .ToDictionary(g => g.Key, g => g.Select(f => f.Fault).Distinct().ToArray());
        if (faults.Count > 0)
            return faults;
        if (request.SendAt > now || !await details.IsNobodyAsync(session, session.Connection!, AudienceOf(request), cancellation))
            return null;
        var (field, fault) =
            request.Topic is not null ? ("topic", "nobody follows this topic yet, so this would reach nobody")
            : request.Filter is not null ? ("filter", "no user is as the filter says, so this would reach nobody")
            : ("all", "no user is registered yet, so this would reach nobody");
        return new Dictionary<string, string[]> { [field] = [fault] };
    }
}
