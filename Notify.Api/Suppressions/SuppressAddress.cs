namespace Notify.Api.Suppressions;

using System.ComponentModel.DataAnnotations;
using FluentValidation;
using Marten;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Reference;
using Notify.Delivery.Privacy;
using Notify.Delivery.Suppressions;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Suppressions;

/// <summary>An address that must not be used: the body of <c>POST /v1/suppressions</c>.</summary>
public sealed record SuppressAddress
{
    /// <summary>sms or email. For push remove the device instead.</summary>
    [Required]
    public Channel? Channel { get; init; }

    /// <summary>The phone number with country code, or the email address.</summary>
    [Required]
    public string? Address { get; init; }

    /// <summary>Why: OptedOutAtProvider, Complained, HardBounced, BadAddress, ByRequest or Blocked.</summary>
    [Required]
    public string? Reason { get; init; }

    /// <summary>From then on it may be used again; absent: 30 days for Blocked, and for the others not before it is lifted.</summary>
    public DateTimeOffset? ExpiresAt { get; init; }
}

/// <summary>The shape of a suppression.</summary>
public sealed class SuppressAddressValidator : AbstractValidator<SuppressAddress>
{
    public const string DeviceRule =
        "a push goes to a device, not to an address; remove the device with DELETE /v1/users/{userId}/devices/{deviceId}";

    /// <summary>The rules.</summary>
    public SuppressAddressValidator()
    {
        RuleFor(s => s.Channel)
            .Cascade(CascadeMode.Stop)
            .NotNull()
            .WithMessage("must be sms or email")
            .NotEqual(Channel.Push)
            .WithMessage(DeviceRule);
        RuleFor(s => s.Address)
            .Must((s, a) => a is not null && AddressRules.Normal(s.Channel, a) is not null)
            .When(s => s.Channel != Channel.Push)
            .WithMessage(s => AddressRules.Rule(s.Channel));
        RuleFor(s => s.Reason)
            .Must(r => SuppressionReasons.All.Contains(r!))
            .WithMessage($"must be one of {string.Join(", ", SuppressionReasons.All)}");
    }
}

/// <summary>Rules for the addresses of a channel.</summary>
public static class AddressRules
{
    /// <summary>Returns the rule as text.</summary>
    public static string Rule(Channel? channel) =>
        channel switch
        {
            Channel.Sms => ContactRules.PhoneRule,
            Channel.Email => ContactRules.EmailRule,
            _ => "must be a phone number or an email address",
        };

    /// <summary>The address in the form in which it is kept; <c>null</c> if it is none of the channel's.</summary>
    public static string? Normal(Channel? channel, string address) =>
        channel switch
        {
            Channel.Sms => ContactRules.ToE164(address),
            Channel.Email => ContactRules.IsEmail(address) ? address : null,
            _ => null,
        };
}

/// <summary>Suppresses an address for the whole installation.</summary>
public static class SuppressAddressEndpoint
{
    /// <summary>The source of a suppression that a client requested.</summary>
    public const string Source = "api";

    private static readonly SuppressAddressValidator Validator = new();

    /// <summary>Maps the endpoint.</summary>
    public static void Map(IEndpointRouteBuilder app) =>
        app.MapPost("/v1/suppressions", SuppressAsync)
            .RequireScope(Scopes.Recipients)
            .WithName("SuppressAddress")
            .WithTags("Recipients")
            .WithSummary("Suppress an address")
            .WithDescription(
                "From now on nothing is sent to it, whoever it belongs to, registered or not, and whatever is required; also "
                    + "not what is planned already. Suppressed again it is the same suppression: "
                    + "a heavier reason or a later end is taken over, a lighter or shorter one is not. The address is kept "
                    + "sealed; lists show it masked."
            )
            .Takes(
                "A number whose owner wrote STOP elsewhere",
                new SuppressAddress
                {
                    Channel = Channel.Sms,
                    Address = "+1 202 555 0147",
                    Reason = SuppressionReasons.OptedOutAtProvider,
                }
            )
            .Takes(
                "A mailbox that is full, until next century",
                new SuppressAddress
                {
                    Channel = Channel.Email,
                    Address = "full@example.com",
                    Reason = SuppressionReasons.Blocked,
                    ExpiresAt = new DateTimeOffset(2126, 12, 1, 0, 0, 0, TimeSpan.Zero),
                }
            )
            .Answers(201, "It is suppressed.", SuppressionResource.Example)
            .Answers(200, "It was suppressed before.", SuppressionResource.Example);

    private static async Task<IResult> SuppressAsync(
        HttpContext http,
        IDocumentStore store,
        SubjectKeys keys,
        MasterKeyRing ring,
        TimeProvider clock
    )
    {
        var (body, problem) = await RequestBody.ReadAsync(http.Request, Validator);
        if (body is null)
            return problem!;
        if (body.ExpiresAt <= clock.GetUtcNow())
            return Problem.Invalid(new Dictionary<string, string[]> { ["expiresAt"] = ["must be in the future"] });

        var (channel, address, by) = (body.Channel!.Value, AddressRules.Normal(body.Channel, body.Address!)!, Callers.Of(http).ClientId);
        var expiresAt = body.ExpiresAt?.ToUniversalTime();
        var fingerprint = (await ring.ReadAsync(store, HashedText.Of(channel, address), http.RequestAborted)).Of(channel, address)!;
        var (id, subject) = (Suppression.IdOf(channel, fingerprint), Suppression.KeyOf(channel, fingerprint));
        (Suppression State, bool IsNew)? result = null;
        await StreamChanges.RepeatAsync(
            clock,
            async () =>
            {
                var now = clock.GetUtcNow();
                await using var session = store.LightweightSession();
                await session.BeginTransactionAsync(http.RequestAborted);
                await SuppressionTable.LockAsync(session.Connection!, [id], http.RequestAborted); // a request that lifts it erases the key
                var sealedAddress = (await keys.CurrentAsync(session.Connection!, [subject], http.RequestAborted)).Seal(
                    subject,
                    Domain.Privacy.SealedPlace.OfSuppressed(subject),
                    address
                );
                var learned = new AddressToSuppress(
                    channel,
                    fingerprint,
                    body.Reason!,
                    Source,
                    by,
                    expiresAt ?? Suppression.ExpiryOf(body.Reason!, now),
                    sealedAddress
                );
                result = (await SuppressionTable.SuppressAsync(session, [learned], now, http.RequestAborted))[id];
                session.QueueSqlCommand("select 1"); // a session without changes would not commit
                await session.SaveChangesAsync(http.RequestAborted);
            },
            http.RequestAborted
        );
        var (state, isNew) = result!.Value;
        var resource = SuppressionResource.Of(state, address);
        return isNew ? Results.Json(resource, statusCode: StatusCodes.Status201Created) : Results.Ok(resource);
    }
}
