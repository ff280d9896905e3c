namespace Notify.Api.Notifications;

using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Text.Json;
using FluentValidation;
using Notify.Api.Contract;
using Notify.Delivery.Privacy;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Recipients;
using Notify.Domain.Templates;
using Notify.Infrastructure.Networking;

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
