namespace Notify.Api.ClientTokens;

using System.ComponentModel.DataAnnotations;
using FluentValidation;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Reference;
using Notify.Delivery.Privacy;
using Notify.Domain.Clients;

/// <summary>A service asks for a token for one of its users' apps: the body of <c>POST /v1/client-tokens</c>.</summary>
public sealed record CreateClientToken
{
    /// <summary>Whose app will use it: it acts for this user alone.</summary>
    [Required]
    public string? UserId { get; init; }

    /// <summary>For how many seconds it counts: 1 to 3,600.</summary>
    [Required]
    public int? TtlSeconds { get; init; }

    /// <summary>The app's permissions: devices, preferences, history, ack, and send: with a category; at most 50.</summary>
    [Required]
    public IReadOnlyList<string>? Allow { get; init; }
}

/// <summary>A client token; it is shown once and stored nowhere.</summary>
/// <param name="Token">To be sent as <c>Authorization: Bearer</c>. Hand it to the app over TLS, and do not log it.</param>
/// <param name="ExpiresAt">Until when it counts; it ends sooner where the client is disabled, the secret that it was made with is revoked,
/// or the user is erased.</param>
public sealed record CreatedClientToken(string Token, DateTimeOffset ExpiresAt);

/// <summary>The shape of a request for a token.</summary>
public sealed class CreateClientTokenValidator : AbstractValidator<CreateClientToken>
{
    /// <summary>The rules.</summary>
    public CreateClientTokenValidator()
    {
        RuleFor(t => t.UserId).Must(Identifiers.IsUserId).WithMessage(Identifiers.UserIdRule);
        RuleFor(t => t.TtlSeconds).Must(s => s is >= 1 and <= 3600).WithMessage("must be 1 to 3,600");
        RuleFor(t => t.Allow).Must(a => a is { Count: > 0 and <= 50 }).WithMessage("must name 1 to 50 things that the app may do");
        RuleForEach(t => t.Allow).Must(TokenGrants.IsGrant).WithMessage(TokenGrants.Rule);
    }
}

/// <summary>Makes tokens for the apps of a service's users, so that no app needs an appSecret.</summary>
public static class CreateClientTokenEndpoint
{
    private static readonly CreateClientTokenValidator Validator = new();

    /// <summary>Maps <c>POST /v1/client-tokens</c>.</summary>
    public static void Map(IEndpointRouteBuilder app) =>
        app.MapPost("/v1/client-tokens", CreateAsync)
            .RequireScope(Scopes.Recipients)
            .Traced()
            .WithName("CreateClientToken")
            .WithTags("Recipients")
            .WithSummary("Make a token for a user's app")
            .WithDescription(
                "An app never holds an appSecret: it signs in to your service, and your service makes it a short-lived token "
                    + "that acts for this one user, as `Authorization: Bearer`. "
                    + "`devices`: register and remove the user's devices. `preferences`: read and set their preferences, and "
                    + "how they came about. `history`: list their notifications. `ack`: acknowledge their pushes of this "
                    + "client. "
                    + "`send:` and a category: send to themselves in that category, under event IDs that begin with "
                    + $"`{ClientToken.EventIdPrefix}`; needs the scope `send` too; the category's caps count also for what an "
                    + "app calls critical. Everything else answers 403. Clocks may differ by a minute. A client that is "
                    + "disabled takes its tokens with it, and so do a secret that is revoked (those that were made with it) "
                    + "and a user who is erased; a scope that the client loses counts for its tokens, too. Event IDs are the "
                    + "client's, not the user's: let apps make random ones."
            )
            .Takes(
                "For an app with a settings page",
                new CreateClientToken
                {
                    UserId = "u-42",
                    TtlSeconds = 900,
                    Allow = [TokenGrants.Devices, TokenGrants.Preferences, TokenGrants.History, TokenGrants.Ack],
                }
            )
            .Takes(
                "For an app that sends its user a code",
                new CreateClientToken
                {
                    UserId = "u-42",
                    TtlSeconds = 60,
                    Allow = ["send:otp"],
                }
            )
            .Answers(
                201,
                "The token.",
                new CreatedClientToken(
                    "eyJhbGciOiJIUzI1NiIsImtpZCI6IjEiLCJ0eXAiOiJub3RpZnktY2xpZW50K2p3dCJ9.eyJzdWIiOiJ1LTQyIn0.Zk3mQ9tV0c7H1pLxY5sB8aJ2eR6uWfGdNiKoTjXyMhA",
                    new DateTimeOffset(2126, 12, 1, 9, 15, 0, TimeSpan.Zero)
                )
            );

    private static async Task<IResult> CreateAsync(HttpContext http, TokenKeys keys, UserReferences users, TimeProvider clock)
    {
        var (wanted, problem) = await RequestBody.ReadAsync(http.Request, Validator);
        if (wanted is null)
            return problem!;
        var client = Callers.Of(http);
        var allow = wanted.Allow!.Distinct(StringComparer.Ordinal).ToList();
        if (allow.Any(a => a.StartsWith(TokenGrants.SendPrefix, StringComparison.Ordinal)) && !client.Scopes.Contains(Scopes.Send))
            return Problem.Of(
                StatusCodes.Status403Forbidden,
                "missing_scope",
                "This client lacks the scope \"send\", so it cannot let an app send. Ask an administrator for it, or leave "
                    + "send: out of allow."
            );
        var categories = allow
            .Where(a => a.StartsWith(TokenGrants.SendPrefix, StringComparison.Ordinal))
            .Select(a => a[TokenGrants.SendPrefix.Length..]);
        if (categories.FirstOrDefault(c => !client.Sending.Covers(c)) is { } category)
            return new Hindrance(SendingRules.Category, SendingRules.CategoryDetail(category)).ToResult();
        var userRef = await users.FindAsync(wanted.UserId!, http.RequestAborted);
        AccessLog.Concerns(http, userRef);

        var now = clock.GetUtcNow();
        var expiresAt = DateTimeOffset.FromUnixTimeSeconds(now.ToUnixTimeSeconds() + wanted.TtlSeconds!.Value);
        http.Response.Headers.CacheControl = "no-store";
        var made = new ClientToken(client.ClientId, client.Mode, userRef, allow) { SecretId = Callers.SecretOf(http) };
        var token = keys.Make(made, now, expiresAt);
        return Results.Json(new CreatedClientToken(token, expiresAt), statusCode: StatusCodes.Status201Created);
    }
}
