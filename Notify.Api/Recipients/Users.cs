namespace Notify.Api.Recipients;

using FluentValidation;
using Marten;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Reference;
using Notify.Delivery.Erasures;
using Notify.Delivery.Privacy;
using Notify.Delivery.Recipients;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Recipients;
using Notify.Domain.Templates;
using Notify.Infrastructure.Postgres;

/// <summary>A user's contact details: the body of <c>PUT /v1/users/{userId}</c>. Absent or <c>null</c> details are removed.</summary>
public sealed record PutUser
{
    /// <summary>An email address.</summary>
    public string? Email { get; init; }

    /// <summary>A phone number with country code; kept and shown in E.164.</summary>
    public string? Phone { get; init; }

    /// <summary>A BCP 47 language tag.</summary>
    public string? Locale { get; init; }

    /// <summary>An IANA time zone.</summary>
    public string? TimeZone { get; init; }
}

/// <summary>A user's contact details.</summary>
/// <param name="UserId">The user.</param>
/// <param name="Email">Their email address.</param>
/// <param name="Phone">Their phone number, E.164.</param>
/// <param name="Locale">Their language, BCP 47.</param>
/// <param name="TimeZone">Their IANA time zone.</param>
public sealed record UserDetails(string UserId, string? Email, string? Phone, string? Locale, string? TimeZone);

/// <summary>A user, with the devices on which they can be reached.</summary>
/// <param name="UserId">The user.</param>
/// <param name="Email">Their email address.</param>
/// <param name="Phone">Their phone number, E.164.</param>
/// <param name="Locale">Their language, BCP 47.</param>
/// <param name="TimeZone">Their IANA time zone.</param>
/// <param name="Devices">Without tokens.</param>
public sealed record UserResource(
    string UserId,
    string? Email,
    string? Phone,
    string? Locale,
    string? TimeZone,
    IReadOnlyList<DeviceResource> Devices
);

/// <summary>A device.</summary>
/// <param name="DeviceId">Follows from its token.</param>
/// <param name="Platform">Which provider carries a push to it.</param>
/// <param name="RegisteredAt">When it was last registered.</param>
/// <param name="App">The bundle ID that it was registered with; absent: none.</param>
/// <param name="Environment">Which of Apple's servers it was registered with; absent: none was named.</param>
public sealed record DeviceResource(
    string DeviceId,
    Platform Platform,
    DateTimeOffset RegisteredAt,
    string? App = null,
    PushEnvironment? Environment = null
);

/// <summary>The shape of contact details.</summary>
public sealed class PutUserValidator : AbstractValidator<PutUser>
{
    /// <summary>The rules.</summary>
    public PutUserValidator()
    {
        RuleFor(u => u.Email).Must(e => ContactRules.IsEmail(e!)).When(u => u.Email is not null).WithMessage(ContactRules.EmailRule);
        RuleFor(u => u.Phone)
            .Must(p => ContactRules.ToE164(p!) is not null)
            .When(u => u.Phone is not null)
            .WithMessage(ContactRules.PhoneRule);
        RuleFor(u => u.Locale).Must(l => TemplateLocale.IsTag(l!)).When(u => u.Locale is not null).WithMessage(TemplateLocale.Rule);
        RuleFor(u => u.TimeZone)
            .Must(z => ContactRules.IsTimeZone(z!))
            .When(u => u.TimeZone is not null)
            .WithMessage("must be an IANA time zone, such as Asia/Seoul");
    }
}

/// <summary>Registered users.</summary>
public static class Users
{
    private static readonly PutUserValidator Validator = new();

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder app)
    {
        app.MapPut("/v1/users/{userId}", PutAsync)
            .RequireScope(Scopes.Recipients)
            .WithName("PutUser")
            .WithTags("Recipients")
            .WithSummary("Register a user, or give new contact details")
            .WithDescription(
                "Takes the place of the details given before: what is absent or null is not known any more, and deliveries "
                    + "that need it are left out with the reason NoContact. Devices, preferences and topics stay. "
                    + "Several users may have the same number or address. Users belong to the installation: every client may send to them."
            )
            .Takes(
                "Reachable by email and phone",
                new PutUser
                {
                    Email = Someone.Email,
                    Phone = "+1 202 555 0123",
                    Locale = "en-US",
                    TimeZone = "America/New_York",
                }
            )
            .Answers(200, "As they are kept.", Someone);
        app.MapGet("/v1/users/{userId}", GetAsync)
            .RequireScope(Scopes.Recipients)
            .Traced()
            .WithName("GetUser")
            .WithTags("Recipients")
            .WithSummary("A user's contact details and devices")
            .WithDescription("As last given. Tokens are not shown.")
            .Answers(
                200,
                "The user.",
                new UserResource(
                    Someone.UserId,
                    Someone.Email,
                    Someone.Phone,
                    Someone.Locale,
                    Someone.TimeZone,
                    [new DeviceResource("d_7kQ2mX0aVbN3sT9yLpR4wE", Platform.Ios, new DateTimeOffset(2026, 12, 1, 9, 0, 0, TimeSpan.Zero))]
                )
            )
            .FailsNotFound("such user");
        app.MapDelete("/v1/users/{userId}", EraseAsync)
            .RequireScope(Scopes.Recipients)
            .WithName("EraseUser")
            .WithTags("Recipients")
            .WithSummary("Erase a user")
            .WithDescription(
                "The user's key is destroyed, and with it everything personal in every event. So is what was sent to every number and "
                    + "address that the user ever had without naming the user, and what was given to be suppressed of it, "
                    + "unless another user "
                    + "has it now; it stays suppressed. The events stay and prove what happened. This cannot be taken back. "
                    + "For people who are "
                    + "not registered: POST /v1/erasures."
            )
            .Answers(204, "Erased.")
            .FailsNotFound("such user");
    }

    private static UserDetails Someone => new("u-42", "name@example.com", "+12025550123", "en-US", "America/New_York");

    private static async Task<IResult> PutAsync(
        string userId,
        HttpContext http,
        IDocumentStore store,
        UserReferences users,
        SubjectKeys keys,
        MasterKeyRing ring,
        TimeProvider clock
    )
    {
        if (!Identifiers.IsUserId(userId))
            return Problem.Invalid(new Dictionary<string, string[]> { ["userId"] = [Identifiers.UserIdRule] });
        var (user, problem) = await RequestBody.ReadAsync(http.Request, Validator);
        if (user is null)
            return problem!;

        var details = new ContactDetails(
            user.Email,
            user.Phone is null ? null : ContactRules.ToE164(user.Phone),
            user.Locale,
            user.TimeZone
        );
        var userRef = await users.FindAsync(userId, http.RequestAborted);
        var subject = Recipient.KeyOf(userRef);
        var userIds = new Dictionary<string, string> { [subject] = userId };
        var place = Domain.Privacy.SealedPlace.OfDetails(subject);
        await RecipientChanges.RunAsync(
            store,
            userRef,
            clock,
            async (session, recipient, now) =>
            {
                var current = await keys.CurrentAsync(session.Connection!, [subject], http.RequestAborted, userIds);
                if (recipient is { IsErased: false, Details: not null } && current.DetailsOf(recipient) == details)
                    return [];
                var prints = await ring.ReadAsync(session.Connection!, HashedTextsOf(details), http.RequestAborted);
                return [Given(current.SealJson(subject, place, details), details, prints, Callers.Of(http).ClientId, now)];
            },
            http.RequestAborted
        );
        return Results.Ok(new UserDetails(userId, details.Email, details.Phone, details.Locale, details.TimeZone));
    }

    /// <summary>The event of contact details.</summary>
    public static ContactDetailsGiven Given(
        Domain.Privacy.Sealed kept,
        ContactDetails details,
        IFingerprints ring,
        string by,
        DateTimeOffset now
    ) =>
        new(
            kept,
            details.Email is not null,
            details.Phone is not null,
            details.Email is null ? null : ring.OfEmail(details.Email),
            details.Phone is null ? null : ring.OfPhone(details.Phone),
            by,
            now
        );

    /// <summary>The addresses among contact details, as their fingerprints are made of them.</summary>
    internal static IEnumerable<HashedText> HashedTextsOf(ContactDetails details) =>
        HashedText.Of(Channel.Email, details.Email).Concat(HashedText.Of(Channel.Sms, details.Phone));

    private static async Task<IResult> GetAsync(
        string userId,
        HttpContext http,
        UserReferences users,
        SubjectKeys keys,
        ReadDatabase database
    )
    {
        var userRef = await users.FindAsync(userId, http.RequestAborted);
        await using var read = await database.OpenAsync(http.RequestAborted);
        var recipient = await read.Session.LoadAsync<Recipient>(Recipient.KeyOf(userRef), http.RequestAborted);
        if (recipient is null || recipient.IsErased)
            return Problem.NotFound("such user");
        var details = recipient.Details is { } sealedDetails
            ? (await keys.ForAsync(read.Connection, [sealedDetails], http.RequestAborted)).DetailsOf(recipient)
            : null;
        var last = await DeviceTable.LastRegisteredAsync(read.Connection, [.. recipient.Devices.Select(d => d.Id)], http.RequestAborted);
        return Results.Ok(
            new UserResource(
                userId,
                details?.Email,
                details?.Phone,
                details?.Locale,
                details?.TimeZone,
                [
                    .. recipient.Devices.Select(d => new DeviceResource(
                        d.Id,
                        d.Platform,
                        Devices.LastRegistered(d, last),
                        d.App?.Id,
                        d.App?.Environment
                    )),
                ]
            )
        );
    }

    private static async Task<IResult> EraseAsync(
        string userId,
        HttpContext http,
        ReadDatabase database,
        UserReferences references,
        PersonFinder finder,
        PersonEraser eraser,
        TimeProvider clock
    )
    {
        var (userRef, users) = (await references.FindAsync(userId, http.RequestAborted), 0);
        await StreamChanges.RepeatAsync(
            clock,
            async () =>
            {
                PersonToErase person;
                await using (var read = await database.OpenAsync(http.RequestAborted))
                    person = await finder.OfUserAsync(read.Session, read.Connection, userRef, http.RequestAborted);
                users = (await eraser.EraseAsync(person, "userId", Callers.Of(http).ClientId, http.RequestAborted)).Users;
            },
            http.RequestAborted
        );
        return users > 0 ? Results.NoContent() : Problem.NotFound("such user");
    }
}
