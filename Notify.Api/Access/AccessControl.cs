namespace Notify.Api.Access;

using Notify.Api.Contract;

/// <summary>
/// That test clients may call an endpoint although it writes: it writes only what is their own, and reaches the sandbox alone.
/// </summary>
public sealed record OpenToTestsNote;

/// <summary>That each call of an endpoint by a client is recorded; see <see cref="AccessLog"/>.</summary>
public sealed record TracedNote;

/// <summary>
/// That an endpoint has a limit of its own, and the one for all other requests does not count; see <see cref="RequestLimit"/>.
/// </summary>
public sealed record LimitedNote;

/// <summary>
/// Passes a request on if its caller is known, may make it and does not make too many, and records it where it shows what is not the
/// caller's own. Every endpoint that asks for a scope goes through here.
/// </summary>
public sealed class AccessControl(Callers callers, RequestLimit limit, AccessLog log, Refusals refusals)
{
    /// <summary>Whether test clients may call an endpoint: it reads, or says that what it writes is the caller's own.</summary>
    /// <param name="notes">The endpoint's metadata.</param>
    public static bool IsOpenToTests(IEnumerable<object> notes)
    {
        var methods = notes.OfType<HttpMethodMetadata>().SelectMany(m => m.HttpMethods).ToList();
        return notes.OfType<OpenToTestsNote>().Any() || methods.TrueForAll(m => HttpMethods.IsGet(m) || HttpMethods.IsHead(m));
    }

    /// <summary>Runs the rest of the pipeline, or answers why not.</summary>
    /// <param name="scopes">The scopes of which the caller needs one.</param>
    public async ValueTask<object?> RunAsync(
        EndpointFilterInvocationContext context,
        EndpointFilterDelegate next,
        IReadOnlyList<string> scopes
    )
    {
        var http = context.HttpContext;
        if (await callers.RequireAnyAsync(http, scopes) is { } refused)
            return refused;
        if (limit.Take(http) is { } over)
            return over;
        var result = await next(context);
        var status = (result as IStatusCodeHttpResult)?.StatusCode ?? StatusCodes.Status200OK;
        if (status == StatusCodes.Status403Forbidden)
            refusals.Power(http, Callers.Of(http).ClientId, Problem.CodeOf(result) ?? "forbidden");
        // Nothing is shown that could not be recorded: an exception here takes the answer's place.
        if (AccessLog.IsTraced(http))
            await log.RecordAsync(http, status);
        return result;
    }
}

/// <summary>Access rules, declared at each endpoint.</summary>
public static class AccessExtensions
{
    /// <summary>Lets only clients with the scope pass.</summary>
    public static RouteHandlerBuilder RequireScope(this RouteHandlerBuilder endpoint, string scope) => endpoint.RequireAnyScope(scope);

    /// <summary>Lets only clients with one of the scopes pass; the first is the one to ask for.</summary>
    public static RouteHandlerBuilder RequireAnyScope(this RouteHandlerBuilder endpoint, params string[] scopes) =>
        endpoint
            .WithMetadata(new ScopeNote(scopes[0], [.. scopes.Skip(1)]))
            .AddEndpointFilter(
                (context, next) => context.HttpContext.RequestServices.GetRequiredService<AccessControl>().RunAsync(context, next, scopes)
            );

    /// <summary>Opens an endpoint to apps whose client token allows it.</summary>
    /// <param name="grant">One of <see cref="Notify.Api.Access.TokenGrants"/>.</param>
    public static RouteHandlerBuilder OrToken(this RouteHandlerBuilder endpoint, string grant) =>
        endpoint.WithMetadata(new Notify.Api.Access.TokenNote(grant)).RequireCors(ClientTokens.AppOrigins.Policy);

    /// <summary>Lets test clients call an endpoint that writes; without this they may only read.</summary>
    public static RouteHandlerBuilder OpenToTests(this RouteHandlerBuilder endpoint) => endpoint.WithMetadata(new OpenToTestsNote());

    /// <summary>Records each call by a client.</summary>
    public static RouteHandlerBuilder Traced(this RouteHandlerBuilder endpoint) => endpoint.WithMetadata(new TracedNote());

    /// <summary>403 for what the limits of a client's scope <c>send</c> do not cover.</summary>
    public static RouteHandlerBuilder FailsUngranted(this RouteHandlerBuilder endpoint) =>
        endpoint
            .WithMetadata(new ProblemNote(403, SendingRules.Category, SendingRules.CategoryDetail("shipping")))
            .WithMetadata(new ProblemNote(403, SendingRules.Channels, SendingRules.ChannelDetail("sms")));

    /// <summary>Says that the endpoint takes places in a limit of its own.</summary>
    public static RouteHandlerBuilder WithOwnLimit(this RouteHandlerBuilder endpoint) => endpoint.WithMetadata(new LimitedNote());
}
