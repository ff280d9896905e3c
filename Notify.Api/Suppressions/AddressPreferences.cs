namespace Notify.Api.Suppressions;

using System.ComponentModel.DataAnnotations;
using FluentValidation;
using Marten;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Recipients;
using Notify.Api.Reference;
using Notify.Delivery.Privacy;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Recipients;
using Notify.Infrastructure.Postgres;

/// <summary>
/// The preferences of an unregistered person about categories at an address: the body of <c>PUT /v1/address-preferences</c>.
/// </summary>
public sealed record PutAddressPreferences
{
    /// <summary>sms or email.</summary>
    [Required]
    public Channel? Channel { get; init; }

    /// <summary>The phone number with country code, or the email address.</summary>
    [Required]
    public string? Address { get; init; }

    /// <summary>By category: whether it may be sent there; others stay as they are. 1 to 100.</summary>
    [Required]
    public IReadOnlyDictionary<string, ChannelChoice>? Categories { get; init; }
}

/// <summary>The categories that an unregistered person opted out of at an address.</summary>
/// <param name="Channel">sms or email.</param>
/// <param name="OptedOut">The categories that are not sent there, unless they are required.</param>
public sealed record AddressPreferencesResource(Channel Channel, IReadOnlyList<string> OptedOut);

/// <summary>The shape of such a wish.</summary>
public sealed class PutAddressPreferencesValidator : AbstractValidator<PutAddressPreferences>
{
    private const int MostCategories = 100;

    /// <summary>The rules.</summary>
    public PutAddressPreferencesValidator()
    {
        RuleFor(p => p.Channel).Must(c => c is Channel.Sms or Channel.Email).WithMessage("must be sms or email");
        RuleFor(p => p.Address)
            .Must((p, a) => a is not null && AddressRules.Normal(p.Channel, a) is not null)
            .WithMessage(p => AddressRules.Rule(p.Channel));
        RuleFor(p => p.Categories)
            .Must(c => c is { Count: > 0 and <= MostCategories } && c.All(w => Identifiers.IsKey(w.Key) && w.Value?.OptIn is not null))
            .WithMessage($"must have 1 to {MostCategories} categories, each with optIn; a category {Identifiers.KeyRule}");
    }
}

/// <summary>
/// Preferences of people who are not registered, by address and category. They apply to unregistered addresses alone, never to a
/// registered user.
/// </summary>
public static class AddressPreferences
{
    private static readonly PutAddressPreferencesValidator Validator = new();
    private static readonly LookUpAddressValidator LookUpValidator = new();

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder app)
    {
        app.MapPut("/v1/address-preferences", PutAsync)
            .RequireScope(Scopes.Recipients)
            .WithName("PutAddressPreferences")
            .WithTags("Recipients")
            .WithSummary("Note what somebody said at an address")
            .WithDescription(
                "For people who are not registered: which categories they want no more at an address, or want again. An unsubscribe "
                    + "link in an email does the same. "
                    + "It holds where `to` names the address, not for a registered user who has it; a required category passes it. To "
                    + "stop everything to an address, suppress it."
            )
            .Takes(
                "No more offers by email",
                new PutAddressPreferences
                {
                    Channel = Channel.Email,
                    Address = "name@example.com",
                    Categories = new Dictionary<string, ChannelChoice> { ["weekly-offers"] = new() { OptIn = false } },
                }
            )
            .Answers(200, "As it is now.", new AddressPreferencesResource(Channel.Email, ["weekly-offers"]));
        app.MapPost("/v1/address-preferences/lookup", LookUpAsync)
            .RequireScope(Scopes.Recipients)
            .OpenToTests()
            .Traced()
            .WithName("LookUpAddressPreferences")
            .WithTags("Recipients")
            .WithSummary("What was said at an address")
            .WithDescription("The address is in the body, so that it is in no log of addresses.")
            .Takes("An email address", new LookUpAddress { Channel = Channel.Email, Address = "name@example.com" })
            .Answers(200, "What was said.", new AddressPreferencesResource(Channel.Email, ["weekly-offers"]));
    }

    private static async Task<IResult> PutAsync(HttpContext http, IDocumentStore store, MasterKeyRing ring, TimeProvider clock)
    {
        var (body, problem) = await RequestBody.ReadAsync(http.Request, Validator);
        if (body is null)
            return problem!;
        var (channel, by) = (body.Channel!.Value, Callers.NameOf(http));
        var address = AddressRules.Normal(channel, body.Address!)!;
        var fingerprint = (await ring.ReadAsync(store, HashedText.Of(channel, address), http.RequestAborted)).Of(channel, address)!;
        AddressChoices? after = null;
        await StreamChanges.RunAsync<AddressChoices>(
            store,
            AddressChoices.KeyOf(channel, fingerprint),
            clock,
            (_, current, now) =>
            {
                after = current;
                var events = new List<object>();
                foreach (var (category, wish) in body.Categories!)
                {
                    if (after?.OptedOut.Contains(category) == true != wish.OptIn)
                        continue;
                    object said =
                        wish.OptIn == true
                            ? new AddressOptedIn(channel, fingerprint, category, by, SuppressAddressEndpoint.Source, now)
                            : new AddressOptedOut(channel, fingerprint, category, by, SuppressAddressEndpoint.Source, now);
                    events.Add(said);
                    after = AddressChoices.Evolve(after, AddressChoices.KeyOf(channel, fingerprint), said);
                }

                return Task.FromResult<IReadOnlyList<object>>(events);
            },
            http.RequestAborted
        );
        return Results.Ok(new AddressPreferencesResource(channel, [.. after?.OptedOut ?? []]));
    }

    private static async Task<IResult> LookUpAsync(HttpContext http, ReadDatabase database, MasterKeyRing ring)
    {
        var (body, problem) = await RequestBody.ReadAsync(http.Request, LookUpValidator);
        if (body is null)
            return problem!;
        var channel = body.Channel!.Value;
        var address = AddressRules.Normal(channel, body.Address!)!;
        await using var read = await database.OpenAsync(http.RequestAborted);
        var prints = await ring.ReadAsync(read.Connection, HashedText.Of(channel, address), http.RequestAborted, notes: false);
        var key = AddressChoices.KeyOf(channel, prints.Of(channel, address)!);
        var found = await read.Session.LoadAsync<AddressChoices>(key, http.RequestAborted);
        return Results.Ok(new AddressPreferencesResource(channel, [.. found?.OptedOut ?? []]));
    }
}
