namespace Notify.Api.Recipients;

using FluentValidation;
using Marten;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Reference;
using Notify.Delivery.Erasures;
using Notify.Delivery.Privacy;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Infrastructure.Postgres;

/// <summary>The person to erase: the body of <c>POST /v1/erasures</c>. Exactly one of the three.</summary>
public sealed record ErasePerson
{
    /// <summary>A registered user.</summary>
    public string? UserId { get; init; }

    /// <summary>An email address of somebody registered or not.</summary>
    public string? Email { get; init; }

    /// <summary>A phone number with country code of somebody registered or not.</summary>
    public string? Phone { get; init; }
}

/// <summary>The counts of an erasure; nothing that was kept.</summary>
/// <param name="Users">Registered users that were erased: 0 or 1.</param>
/// <param name="Keys">Keys that were destroyed. 0 where nothing was kept, or was erased before.</param>
public sealed record ErasureCounts(int Users, int Keys);

/// <summary>The shape of an erasure.</summary>
public sealed class ErasePersonValidator : AbstractValidator<ErasePerson>
{
    private const string OneRule = "give exactly one of userId, email and phone";

    /// <summary>The rules.</summary>
    public ErasePersonValidator()
    {
        RuleFor(e => e.UserId).Must((e, _) => new[] { e.UserId, e.Email, e.Phone }.Count(v => v is not null) == 1).WithMessage(OneRule);
        RuleFor(e => e.UserId).Must(u => Identifiers.IsUserId(u!)).When(e => e.UserId is not null).WithMessage(Identifiers.UserIdRule);
        RuleFor(e => e.Email).Must(m => ContactRules.IsEmail(m!)).When(e => e.Email is not null).WithMessage(ContactRules.EmailRule);
        RuleFor(e => e.Phone)
            .Must(p => ContactRules.ToE164(p!) is not null)
            .When(e => e.Phone is not null)
            .WithMessage(ContactRules.PhoneRule);
    }
}

/// <summary>Erases people, registered or not.</summary>
public static class ErasePersonEndpoint
{
    private const string Shared = "several_users";

    private const string SharedDetail =
        "Several registered users have this address or number, and an erasure must not take more than one of them. "
        + "Erase by userId: what was sent to the address alone goes with the last user who has it.";

    private static readonly ErasePersonValidator Validator = new();

    /// <summary>Maps the endpoint.</summary>
    public static void Map(IEndpointRouteBuilder app) =>
        app.MapPost("/v1/erasures", EraseAsync)
            .RequireScope(Scopes.Recipients)
            .WithName("ErasePerson")
            .WithTags("Recipients")
            .WithSummary("Erase a person")
            .WithDescription(
                "By user ID, email address or phone number, registered or not. Every key of the person is destroyed, and with it what was "
                    + "sealed under it: contact details, the content of notifications and the addresses that they went to, also to people "
                    + "who are not registered, replies and receipts, and what was given to be suppressed. By user: with everything that "
                    + "was sent to present and former addresses of theirs, unless another user has the address now. By address: with the "
                    + "registered user who has it. What is on its way ends with the reason Erased. Suppressions stay, and so "
                    + "do events, which "
                    + "prove what happened. Again it is the same, and counts nothing. This cannot be taken back."
            )
            .Takes("Somebody who is not registered", new ErasePerson { Phone = "+1 202 555 0147" })
            .Takes("A registered user", new ErasePerson { UserId = "u-42" })
            .Answers(200, "Erased.", new ErasureCounts(1, 3))
            .Fails(StatusCodes.Status409Conflict, Shared, SharedDetail);

    private static async Task<IResult> EraseAsync(
        HttpContext http,
        ReadDatabase database,
        UserReferences references,
        PersonFinder finder,
        PersonEraser eraser,
        TimeProvider clock
    )
    {
        var (body, problem) = await RequestBody.ReadAsync(http.Request, Validator);
        if (body is null)
            return problem!;
        var namedBy =
            body.UserId is not null ? "userId"
            : body.Email is not null ? "email"
            : "phone";
        if (body.UserId is { } id)
            body = body with { UserId = await references.FindAsync(id, http.RequestAborted) };
        ErasureResult? result = null;
        await StreamChanges.RepeatAsync(
            clock,
            async () =>
            {
                if (await FindAsync(body, database, finder, http.RequestAborted) is { } person)
                    result = await eraser.EraseAsync(person, namedBy, Callers.Of(http).ClientId, http.RequestAborted);
            },
            http.RequestAborted
        );
        return result is null
            ? Problem.Of(StatusCodes.Status409Conflict, Shared, SharedDetail)
            : Results.Ok(new ErasureCounts(result.Users, result.Keys));
    }

    private static async Task<PersonToErase?> FindAsync(
        ErasePerson body,
        ReadDatabase database,
        PersonFinder finder,
        CancellationToken cancellation
    )
    {
        await using var read = await database.OpenAsync(cancellation);
        return body switch
        {
            { UserId: { } user } => await finder.OfUserAsync(read.Session, read.Connection, user, cancellation),
            { Email: { } email } => await finder.OfAddressAsync(read.Session, read.Connection, Channel.Email, email, cancellation),
            _ => await finder.OfAddressAsync(read.Session, read.Connection, Channel.Sms, ContactRules.ToE164(body.Phone!)!, cancellation),
        };
    }
}
