using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Text.Json;
using FluentValidation;
using Marten;
using Notify.Api.Access;
using Notify.Api.ClientTokens;
using Notify.Api.Contract;
using Notify.Api.Recipients;
using Notify.Api.Reference;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Domain.Recipients;
using Notify.Domain.Templates;
using Notify.Projections.Net;
using Notify.Projections.Privacy;

namespace Notify.Api.Notifications;

/// <summary>A client asks for a notification: the body of <c>POST /v1/notifications</c>.</summary>
public sealed record RequestNotification
{
    /// <summary>Your own ID of the event: 1 to 128 of A-Z a-z 0-9 . _ ~ : -. Permanently unique per client.</summary>
    [Required]
    public string? EventId { get; init; }

    /// <summary>The registered user to reach. Either this or <c>to</c>.</summary>
    public string? UserId { get; init; }

    /// <summary>A person who is not registered. Either this or <c>userId</c>.</summary>
    public RequestedRecipient? To { get; init; }

    /// <summary>The channels to use; absent: the template's, else all by which the person can be reached.</summary>
    public IReadOnlyList<Channel>? Channels { get; init; }

    /// <summary>
    /// The category, such as <c>shipping</c>: people opt in and out by category. 1 to 64 of a-z 0-9 . _ -. Absent: the template's.
    /// </summary>
    public string? Category { get; init; }

    /// <summary>How urgent it is; absent: <c>normal</c>.</summary>
    public Priority? Priority { get; init; }

    /// <summary>The template of its content. Either this or <c>content</c>.</summary>
    public RequestedTemplate? Template { get; init; }

    /// <summary>The content. Either this or <c>template</c>.</summary>
    public RequestedContent? Content { get; init; }

    /// <summary>When to send, to the microsecond and up to the year 9999; absent or past: now.</summary>
    public DateTimeOffset? SendAt { get; init; }

    /// <summary>Its expiry. After this time it is not sent any more.</summary>
    public DateTimeOffset? ExpiresAt { get; init; }

    /// <summary>Anything of yours, kept with the notification; an object.</summary>
    public JsonElement? Metadata { get; init; }

    /// <summary>The category of notifications that name none.</summary>
    public const string DefaultCategory = "default";
}

/// <summary>A template, and what to fill it with.</summary>
public sealed record RequestedTemplate
{
    /// <summary>The template's key. Its current version is used, whenever the notification is sent.</summary>
    [Required]
    public string? Key { get; init; }

    /// <summary>The language to write in, BCP 47; absent: the user's own. Where a template lacks <c>ko-KR</c> it takes <c>ko</c>, else its
    /// default.</summary>
    public string? Locale { get; init; }

    /// <summary>The template's parameters, by name; an object of at most 64 KiB. They are values: nothing in them is evaluated.</summary>
    public JsonElement? Params { get; init; }
}

/// <summary>Literal content.</summary>
public sealed record RequestedContent
{
    /// <summary>Heading of a push, subject of an email; at most 1,000 characters.</summary>
    public string? Title { get; init; }

    /// <summary>Text of a push or SMS, plain text of an email; at most 10,000 characters. As SMS at most as many segments as the
    /// installation allows, counted with tracked links where it asks for these.</summary>
    public string? Body { get; init; }

    /// <summary>HTML of an email; at most 200,000 characters.</summary>
    public string? Html { get; init; }

    /// <summary>Handed to the app with a push; an object.</summary>
    public JsonElement? Data { get; init; }

    /// <summary>Where a tap leads: an absolute https address of at most 2,000 characters.</summary>
    public string? Url { get; init; }

    /// <summary>How a push looks, sounds and behaves.</summary>
    public PushOptions? Push { get; init; }

    /// <summary>Files of an email: at most 10, together at most 5,242,880 bytes before base64. They do not count towards the limit of a
    /// request's size.</summary>
    public IReadOnlyList<RequestedAttachment>? Attachments { get; init; }

    /// <summary>The tracking of its emails and SMS; absent: none.</summary>
    public TrackOptions? Track { get; init; }
}

/// <summary>A person who is not registered.</summary>
public sealed record RequestedRecipient
{
    /// <summary>An email address.</summary>
    public string? Email { get; init; }

    /// <summary>A phone number with country code.</summary>
    public string? Phone { get; init; }

    /// <summary>A device.</summary>
    public RequestedDevice? Device { get; init; }
}

/// <summary>A device of a person who is not registered.</summary>
public sealed record RequestedDevice
{
    /// <summary>Which provider carries the push.</summary>
    [Required]
    public Platform? Platform { get; init; }

    /// <summary>The token that the platform gave to the app; for iOS and Android.</summary>
    public string? Token { get; init; }

    /// <summary>The browser's subscription; for the web.</summary>
    public WebPushSubscription? Subscription { get; init; }

    /// <summary>The bundle ID of the app that the token belongs to; for iOS. Absent: the installation's default app.</summary>
    public string? App { get; init; }

    /// <summary>
    /// Which of Apple's servers know the token: <c>sandbox</c> for an app installed from Xcode. Absent: <c>production</c>, or the only
    /// one that the app is configured for.
    /// </summary>
    public PushEnvironment? Environment { get; init; }
}

/// <summary>The shape of a request. Rules that depend on the clock or on stored state are evaluated after acceptance.</summary>
public sealed class RequestNotificationValidator : AbstractValidator<RequestNotification>
{
    /// <summary>The rules.</summary>
    /// <param name="guard">Tells where a browser's push service may be.</param>
    /// <param name="sms">How long an SMS may be.</param>
    /// <param name="ring">Tells whether apps may be stored.</param>
    public RequestNotificationValidator(OutboundGuard? guard = null, SmsLimits? sms = null, MasterKeyRing? ring = null)
    {
        RuleFor(r => r.EventId).Must(Identifiers.IsEventId).WithMessage("must be 1 to 128 of A-Z a-z 0-9 . _ ~ : -");
        RuleFor(r => r.UserId).Must(Identifiers.IsUserId).When(r => r.UserId is not null).WithMessage(Identifiers.UserIdRule);
        RuleFor(r => r.UserId).NotNull().When(r => r.To is null).WithMessage("name the user, or give to");
        RuleFor(r => r.To).Null().When(r => r.UserId is not null).WithMessage("give either userId or to, not both");
        RuleFor(r => r.Channels)
            .Must(c => c!.Count is > 0 and <= 3 && c.Distinct().Count() == c.Count)
            .When(r => r.Channels is not null)
            .WithMessage("must name at least one channel, and each only once");
        RuleFor(r => r.Category).Must(Identifiers.IsKey).When(r => r.Category is not null).WithMessage(Identifiers.KeyRule);
        RuleFor(r => r.Template).Null().When(r => r.Content is not null).WithMessage("give either template or content, not both");
        RuleFor(r => r.Content).NotNull().When(r => r.Template is null).WithMessage("say what to send, here or by a template");
        RuleFor(r => r.Template!).SetValidator(new RequestedTemplateValidator()).When(r => r.Template is not null);
        RuleFor(r => r.ExpiresAt)
            .GreaterThan(r => r.SendAt)
            .When(r => r.SendAt is not null && r.ExpiresAt is not null)
            .WithMessage("must be later than sendAt");
        RuleFor(r => r.Metadata)
            .Must(m => m!.Value.ValueKind == JsonValueKind.Object)
            .When(r => r.Metadata is { ValueKind: not JsonValueKind.Null })
            .WithMessage("must be an object");
        RuleFor(r => r.Content!).SetValidator(new RequestedContentValidator()).When(r => r.Content is not null);
        RuleFor(r => r.Content!)
            .Custom(
                (content, context) =>
                {
                    var limits = sms ?? new SmsLimits();
                    if (limits.Excess(content.Body, content.Track) is { } segments)
                        context.AddFailure(
                            "Content.Body",
                            TooManySegments(limits.AsSent(content.Body!, content.Track), segments, limits.MaxSegments)
                        );
                }
            )
            .When(r => r.Content is not null && r.Channels?.Contains(Channel.Sms) == true);
        RuleFor(r => r.To!).SetValidator(new RequestedRecipientValidator(guard, ring)).When(r => r.To is not null);
    }

    private static string TooManySegments(string body, int segments, int most) =>
        string.Create(
            CultureInfo.InvariantCulture,
            $"takes {segments} SMS segments{(SmsText.IsGsm7(body) ? "" : " (67 characters each, since some are not in the GSM 7-bit alphabet)")}, and at most {most} are allowed; shorten it, or leave sms out of channels"
        );
}

/// <summary>The shape of what names a template; whether there is one, and what it needs, is asked afterwards.</summary>
public sealed class RequestedTemplateValidator : AbstractValidator<RequestedTemplate>
{
    /// <summary>The rules.</summary>
    public RequestedTemplateValidator()
    {
        RuleFor(t => t.Key).Must(Identifiers.IsTemplateKey).WithMessage(Identifiers.TemplateKeyRule);
        RuleFor(t => t.Locale).Must(l => TemplateLocale.IsTag(l!)).When(t => t.Locale is not null).WithMessage(TemplateLocale.Rule);
        RuleFor(t => t.Params)
            .Must(p => p!.Value.ValueKind == JsonValueKind.Object)
            .When(t => t.Params is { ValueKind: not JsonValueKind.Null })
            .WithMessage("must be an object");
    }
}

/// <summary>The shape of literal content.</summary>
public sealed class RequestedContentValidator : AbstractValidator<RequestedContent>
{
    /// <summary>The rules.</summary>
    public RequestedContentValidator()
    {
        RuleFor(c => c)
            .Must(c => c.Title is { Length: > 0 } || c.Body is { Length: > 0 } || c.Html is { Length: > 0 } || c.Data is not null)
            .WithName("content")
            .OverridePropertyName("")
            .WithMessage("needs a title, body, html or data");
        RuleFor(c => c.Title).MaximumLength(1000).WithMessage("must be at most 1,000 characters");
        RuleFor(c => c.Body).MaximumLength(10_000).WithMessage("must be at most 10,000 characters");
        RuleFor(c => c.Html).MaximumLength(200_000).WithMessage("must be at most 200,000 characters");
        RuleFor(c => c.Data)
            .Must(d => d!.Value.ValueKind == JsonValueKind.Object)
            .When(c => c.Data is { ValueKind: not JsonValueKind.Null })
            .WithMessage("must be an object");
        RuleFor(c => c.Url)
            .Must(u => u!.Length <= 2000 && Uri.TryCreate(u, UriKind.Absolute, out var uri) && uri.Scheme == Uri.UriSchemeHttps)
            .When(c => c.Url is not null)
            .WithMessage("must be an absolute https address of at most 2,000 characters");
        RuleFor(c => c.Push!).SetValidator(new PushOptionsValidator()).When(c => c.Push is not null);
        RuleForEach(c => c.Attachments).SetValidator(new RequestedAttachmentValidator()).When(c => c.Attachments is not null);
        RuleFor(c => c.Attachments)
            .Custom(
                (files, context) =>
                {
                    if (RequestedAttachmentValidator.Excess(files!) is { } excess)
                        context.AddFailure(excess);
                }
            )
            .When(c => c.Attachments is not null);
    }
}

/// <summary>The shape of an unregistered recipient.</summary>
public sealed class RequestedRecipientValidator : AbstractValidator<RequestedRecipient>
{
    /// <summary>The rules.</summary>
    public RequestedRecipientValidator(OutboundGuard? guard = null, MasterKeyRing? ring = null)
    {
        RuleFor(t => t)
            .Must(t => t.Email is not null || t.Phone is not null || t.Device is not null)
            .OverridePropertyName("")
            .WithMessage("needs an email, phone or device");
        RuleFor(t => t.Email).Must(e => ContactRules.IsEmail(e!)).When(t => t.Email is not null).WithMessage(ContactRules.EmailRule);
        RuleFor(t => t.Phone)
            .Must(p => ContactRules.ToE164(p!) is not null)
            .When(t => t.Phone is not null)
            .WithMessage(ContactRules.PhoneRule);
        RuleFor(t => t.Device!)
            .Custom(
                (d, context) =>
                {
                    foreach (
                        var (field, fault) in ContactRules
                            .CheckDevice(d.Platform, d.Token, d.Subscription, guard)
                            .Concat(AppRules.Check(d.Platform, d.App, d.Environment, ring))
                    )
                        context.AddFailure($"Device.{field}", fault);
                }
            )
            .When(t => t.Device is not null);
    }
}

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
                "Answers 202 only when the notification is durable. The same event ID is never acted upon twice: the same request again answers 200 and sends nothing, another one 409. "
                    + "A rejected request uses up no ID. An unknown user, or one who cannot be reached, is accepted and ends as suppressed, with the reason among its events."
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
        $"The event ID {eventId} was used for another request. It stays taken for ever: choose a new one, or send the first request unchanged.";

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
                        await Projections.NotificationStreams.LoadAsync(session, [key], http.RequestAborted)
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
