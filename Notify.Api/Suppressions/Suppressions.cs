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
using Notify.Domain.Privacy;
using Notify.Domain.Suppressions;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>An address that must not be used.</summary>
/// <param name="Id">Follows from channel and address: the same address is the same suppression.</param>
/// <param name="Channel">sms or email.</param>
/// <param name="Address">Masked; absent once it cannot be read any more because the person was erased.</param>
/// <param name="Reason">Why: OptedOutAtProvider, Complained, HardBounced, BadAddress, ByRequest or Blocked.</param>
/// <param name="Source">The source: a provider, or <c>api</c>.</param>
/// <param name="By">The reporter: a client, or the provider.</param>
/// <param name="Since">When the reason and the expiry were reported.</param>
/// <param name="ExpiresAt">From then on the address may be used again; absent: not before the suppression is lifted.</param>
public sealed record SuppressionResource(
    string Id,
    Channel Channel,
    string? Address,
    string Reason,
    string Source,
    string By,
    DateTimeOffset Since,
    DateTimeOffset? ExpiresAt
)
{
    internal static SuppressionResource Example =>
        new(
            "sms_cV5jFq9d0y2Xb7mQk1nT4zL8wRaEoHu3sG6iPvNtYcM",
            Channel.Sms,
            "+1•••0147",
            SuppressionReasons.OptedOutAtProvider,
            "twilio",
            "twilio",
            new DateTimeOffset(2026, 12, 1, 9, 0, 0, TimeSpan.Zero),
            null
        );

    internal static SuppressionResource Of(Suppression s, string? address) =>
        new(s.Id, s.Channel, address is null ? null : MaskedAddress.Of(s.Channel, address), s.Reason, s.Source, s.By, s.Since, s.ExpiresAt);
}

/// <summary>A page of suppressions.</summary>
/// <param name="Items">Active suppressions, the newest first.</param>
/// <param name="Next">Where the next page begins: give it as <c>after</c>. Absent on the last page.</param>
public sealed record SuppressionList(IReadOnlyList<SuppressionResource> Items, string? Next);

/// <summary>The addresses that must not be used, and the way back for them. They belong to the installation.</summary>
public static class SuppressionEndpoints
{
    private const int MaxPage = 500;
    private static readonly string[] Known = ["channel", "reason", "address", "limit", "after"];
    private static readonly LookUpAddressValidator Validator = new();

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder app)
    {
        app.MapGet("/v1/suppressions", ListAsync)
            .RequireScope(Scopes.Recipients)
            .Traced()
            .WithName("ListSuppressions")
            .WithTags("Recipients")
            .WithSummary("List suppressed addresses")
            .WithDescription("Those that stand now, the newest first; addresses are masked. What expired or was lifted is not listed.")
            .Query("channel", "Only those of this channel: sms or email.", "sms")
            .Query("reason", "Only those of this reason.", SuppressionReasons.OptedOutAtProvider)
            .Query(
                "address",
                "Only this one; together with channel. Addresses in URLs end in the logs of whatever stands in between: rather "
                    + "use the look-up.",
                "+12025550147"
            )
            .Query("limit", "How many at most: 1 to 500; absent: 50.", 50)
            .Query("after", "The `next` of the answer before, for the page after it.", "NjM4OTk0MjQwMDAwMDAwMDAwIHNtc19jVjVqRnE")
            .Answers(200, "A page.", new SuppressionList([SuppressionResource.Example], "NjM4OTk0MjQwMDAwMDAwMDAwIHNtc19jVjVqRnE"));
        app.MapPost("/v1/suppressions/lookup", LookUpAsync)
            .RequireScope(Scopes.Recipients)
            .OpenToTests()
            .Traced()
            .WithName("LookUpSuppression")
            .WithTags("Recipients")
            .WithSummary("Whether an address is suppressed")
            .WithDescription("The address is compared by its keyed hash, and neither stored nor logged.")
            .Takes("A number", new LookUpAddress { Channel = Channel.Sms, Address = "+1 202 555 0147" })
            .Answers(200, "Its suppression, or an empty list.", new SuppressionList([SuppressionResource.Example], null));
        app.MapDelete("/v1/suppressions/{suppressionId}", LiftAsync)
            .RequireScope(Scopes.Recipients)
            .WithName("LiftSuppression")
            .WithTags("Recipients")
            .WithSummary("Lift a suppression")
            .WithDescription(
                "The address may be used again from now on. Who lifted it, and when, stays on record; a provider that was told "
                    + "STOP goes on refusing until it is told START."
            )
            .Answers(204, "It is lifted.")
            .FailsNotFound("suppression that stands");
    }

    private static async Task<IResult> ListAsync(
        HttpContext http,
        ReadDatabase database,
        SubjectKeys keys,
        MasterKeyRing ring,
        TimeProvider clock
    )
    {
        var query = http.Request.Query;
        var errors = new Dictionary<string, string[]>();
        foreach (var name in query.Keys.Where(k => !Known.Contains(k)))
            errors[name] = [$"is not known here; known are {string.Join(", ", Known)}"];
        var limit = 50;
        if (query["limit"].FirstOrDefault() is { } limitText && !(int.TryParse(limitText, out limit) && limit is >= 1 and <= MaxPage))
            errors["limit"] = ["must be 1 to 500"];
        Channel? channel = query["channel"].FirstOrDefault() switch
        {
            "sms" => Channel.Sms,
            "email" => Channel.Email,
            _ => null,
        };
        if (query.ContainsKey("channel") && channel is null)
            errors["channel"] = ["must be sms or email"];
        var reason = query["reason"].FirstOrDefault();
        if (reason is not null && !SuppressionReasons.All.Contains(reason))
            errors["reason"] = [$"must be one of {string.Join(", ", SuppressionReasons.All)}"];
        (DateTimeOffset, string)? after = null;
        if (query["after"].FirstOrDefault() is { } cursor && (after = PageCursor.Read(cursor)) is null)
            errors["after"] = [PageCursor.Rule];
        string? wanted = null;
        if (query["address"].FirstOrDefault() is { } text)
        {
            // A plus that was not encoded arrives as a blank.
            var address = channel is null
                ? null
                : AddressRules.Normal(channel, channel == Channel.Sms && text.StartsWith(' ') ? $"+{text[1..]}" : text);
            if (channel is null)
                errors.TryAdd("channel", ["say which channel the address is of: sms or email"]);
            else if (address is null)
                errors["address"] = [AddressRules.Rule(channel)];
            else
                wanted = address;
        }

        if (errors.Count > 0)
            return Problem.Invalid(errors);
        await using var read = await database.OpenAsync(http.RequestAborted);
        var id = wanted is null ? null : await IdOfAsync(read.Connection, ring, channel!.Value, wanted, http.RequestAborted);
        var page = await SuppressionTable.ListAsync(
            read.Connection,
            channel,
            reason,
            id,
            clock.GetUtcNow(),
            limit + 1,
            after,
            http.RequestAborted
        );
        var next = page.Count > limit ? PageCursor.Of(page[limit - 1].Since, page[limit - 1].Id) : null;
        return Results.Ok(new SuppressionList(await ShowAsync(read.Connection, keys, [.. page.Take(limit)], http.RequestAborted), next));
    }

    private static async Task<IResult> LookUpAsync(
        HttpContext http,
        ReadDatabase database,
        SubjectKeys keys,
        MasterKeyRing ring,
        TimeProvider clock
    )
    {
        var (body, problem) = await RequestBody.ReadAsync(http.Request, Validator);
        if (body is null)
            return problem!;
        var channel = body.Channel!.Value;
        await using var read = await database.OpenAsync(http.RequestAborted);
        var id = await IdOfAsync(read.Connection, ring, channel, AddressRules.Normal(channel, body.Address!)!, http.RequestAborted);
        var found = await SuppressionTable.StandingAsync(read.Connection, [id], clock.GetUtcNow(), http.RequestAborted);
        return Results.Ok(new SuppressionList(await ShowAsync(read.Connection, keys, [.. found.Values], http.RequestAborted), null));
    }

    private static async Task<string> IdOfAsync(
        NpgsqlConnection connection,
        MasterKeyRing ring,
        Channel channel,
        string address,
        CancellationToken cancellation
    )
    {
        var prints = await ring.ReadAsync(connection, HashedText.Of(channel, address), cancellation, notes: false);
        return Suppression.IdOf(channel, prints.Of(channel, address)!);
    }

    private static async Task<IResult> LiftAsync(
        string suppressionId,
        HttpContext http,
        IDocumentStore store,
        SubjectKeys keys,
        TimeProvider clock
    )
    {
        var lifted = false;
        await StreamChanges.RepeatAsync(
            clock,
            async () =>
            {
                await using var session = store.LightweightSession();
                lifted = await SuppressionTable.LiftAsync(
                    session,
                    keys,
                    suppressionId,
                    LiftReasons.ByRequest,
                    Callers.Of(http).ClientId,
                    clock.GetUtcNow(),
                    http.RequestAborted
                );
                if (lifted)
                    await session.SaveChangesAsync(http.RequestAborted);
            },
            http.RequestAborted
        );
        return lifted ? Results.NoContent() : Problem.NotFound("suppression that stands");
    }

    private static async Task<IReadOnlyList<SuppressionResource>> ShowAsync(
        NpgsqlConnection connection,
        SubjectKeys keys,
        IReadOnlyList<Suppression> found,
        CancellationToken cancellation
    )
    {
        var opened = await keys.ForAsync(connection, found.Where(s => s.Address is not null).Select(s => s.Address!.Value), cancellation);
        return [.. found.Select(s => SuppressionResource.Of(s, AddressOf(s)))];

        string? AddressOf(Suppression s) =>
            s.Address is { } address
                ? opened.OpenText(address, SealedPlace.OfSuppressed(Suppression.KeyOf(s.Channel, s.Fingerprint)))
                : null;
    }
}
