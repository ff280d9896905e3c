using System.Security.Cryptography;
using FluentValidation;
using Marten;
using Notify.Api.Contract;
using Notify.Domain.Clients;
using Notify.Projections;
using Notify.Projections.Hosting;
using Notify.Projections.Privacy;

namespace Notify.Api.Clients;

/// <summary>A new client: the body of <c>POST /v1/clients</c>.</summary>
public sealed record CreateClient
{
    public string? Name { get; init; }
    public ClientMode? Mode { get; init; }
    public IReadOnlyList<string>? Scopes { get; init; }
}

/// <summary>The shape of a new client.</summary>
public sealed class CreateClientValidator : AbstractValidator<CreateClient>
{
    /// <summary>The rules.</summary>
    public CreateClientValidator()
    {
        RuleFor(c => c.Name).NotEmpty().MaximumLength(100).WithMessage("must be 1 to 100 characters");
        RuleFor(c => c.Scopes).Must(s => s is { Count: > 0 } && s.All(Domain.Clients.Scopes.All.Contains))
            .WithMessage($"must be some of {string.Join(", ", Domain.Clients.Scopes.All)}");
    }
}

/// <summary>Clients and their secrets. A secret is random, shown once, and kept as a keyed hash.</summary>
public static class ClientEndpoints
{
    private static readonly CreateClientValidator Validator = new();

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder app)
    {
        app.MapPost("/v1/clients", CreateAsync).RequireScope(Scopes.Admin).WithName("CreateClient").WithTags("Clients")
            .WithSummary("Create a client. Its secret is shown this once.");
        app.MapGet("/v1/clients", ListAsync).RequireScope(Scopes.Admin).WithName("ListClients").WithTags("Clients").WithSummary("All clients, without secrets.");
        app.MapPost("/v1/clients/{clientId}/secrets", RotateAsync).RequireScope(Scopes.Admin).WithName("RotateSecret").WithTags("Clients")
            .WithSummary("Give a client another secret. Two may be active; the older of two is revoked.");
        app.MapDelete("/v1/clients/{clientId}/secrets/{secretId}", RevokeAsync).RequireScope(Scopes.Admin).WithName("RevokeSecret").WithTags("Clients")
            .WithSummary("Revoke a secret.");
        app.MapDelete("/v1/clients/{clientId}", DisableAsync).RequireScope(Scopes.Admin).WithName("DisableClient").WithTags("Clients")
            .WithSummary("Shut a client out. Its notifications stay.");
    }

    /// <summary>Registers a client.</summary>
    /// <returns>Its key and the only copy of its secret.</returns>
    public static async Task<(string AppKey, string AppSecret)> RegisterAsync(
        IDocumentStore store, MasterKeyRing ring, string name, ClientMode mode, IReadOnlyList<string> scopes, string by, DateTimeOffset now, CancellationToken cancellation)
    {
        var clientId = "c_" + RandomNumberGenerator.GetString("abcdefghijkmnpqrstuvwxyz23456789", 16);
        var (issued, secret) = NewSecret(ring, by, now);
        await using var session = store.LightweightSession();
        session.Events.StartStream(Client.KeyOf(clientId), new ClientRegistered(clientId, name, mode, scopes, by, now), issued);
        await session.SaveChangesAsync(cancellation);
        return (clientId, secret);
    }

    /// <summary>Registers a client for an operator and prints its key and secret as one line of JSON. Settings: <c>name</c>, <c>mode</c>, <c>scopes</c>.</summary>
    /// <returns>The exit code.</returns>
    public static async Task<int> CreateFromCommandLineAsync(IServiceProvider services, IConfiguration settings)
    {
        var scopes = settings["scopes"]?.Split(',') ?? [.. Scopes.All];
        if (scopes.Except(Scopes.All).FirstOrDefault() is { } unknown) return NotifyHost.Fail("notify-api", $"\"{unknown}\" is not a scope; scopes are {string.Join(", ", Scopes.All)}");
        if (!Enum.TryParse<ClientMode>(settings["mode"] ?? "live", ignoreCase: true, out var mode)) return NotifyHost.Fail("notify-api", "--mode is live or test");
        var (key, secret) = await RegisterAsync(
            services.GetRequiredService<IDocumentStore>(), services.GetRequiredService<MasterKeyRing>(), settings["name"] ?? "development", mode, scopes,
            "operator", services.GetRequiredService<TimeProvider>().GetUtcNow(), default);
        Console.WriteLine(System.Text.Json.JsonSerializer.Serialize(new { appKey = key, appSecret = secret }));
        return 0;
    }

    private static async Task<IResult> CreateAsync(HttpContext http, IDocumentStore store, MasterKeyRing ring, TimeProvider clock)
    {
        var (body, problem) = await RequestBody.ReadAsync(http.Request, Validator);
        if (body is null) return problem!;
        var (key, secret) = await RegisterAsync(
            store, ring, body.Name!, body.Mode ?? ClientMode.Live, [.. body.Scopes!.Distinct()], Callers.Of(http).ClientId, clock.GetUtcNow(), http.RequestAborted);
        return Results.Created($"/v1/clients/{key}", new { clientId = key, appKey = key, appSecret = secret });
    }

    private static async Task<IResult> ListAsync(HttpContext http, IDocumentStore store)
    {
        await using var session = store.QuerySession();
        var clients = await session.Query<Client>().OrderBy(c => c.Name).ToListAsync(http.RequestAborted);
        return Results.Ok(new
        {
            clients = clients.Select(c => new { c.ClientId, c.Name, c.Mode, c.Scopes, c.IsDisabled, Secrets = c.Secrets.Select(s => new { s.Id, s.IssuedAt }) }),
        });
    }

    private static Task<IResult> RotateAsync(string clientId, HttpContext http, IDocumentStore store, MasterKeyRing ring, Callers callers, TimeProvider clock) =>
        ChangeAsync(clientId, http, store, callers, client =>
        {
            var now = clock.GetUtcNow();
            var by = Callers.Of(http).ClientId;
            var (issued, secret) = NewSecret(ring, by, now);
            object[] events = client.Secrets.Count >= Client.MaxSecrets
                ? [new SecretRevoked(client.Secrets.OrderBy(s => s.IssuedAt).First().Id, by, now), issued]
                : [issued];
            return (events, Results.Created($"/v1/clients/{clientId}/secrets/{issued.SecretId}", new { appKey = clientId, appSecret = secret, issued.SecretId }));
        });

    private static Task<IResult> RevokeAsync(string clientId, string secretId, HttpContext http, IDocumentStore store, Callers callers, TimeProvider clock) =>
        ChangeAsync(clientId, http, store, callers, client => client.Secrets.Any(s => s.Id == secretId)
            ? ([new SecretRevoked(secretId, Callers.Of(http).ClientId, clock.GetUtcNow())], Results.NoContent())
            : ([], Problem.NotFound("such secret of this client")));

    private static Task<IResult> DisableAsync(string clientId, HttpContext http, IDocumentStore store, Callers callers, TimeProvider clock) =>
        ChangeAsync(clientId, http, store, callers, client =>
            (client.IsDisabled ? [] : [new ClientDisabled(Callers.Of(http).ClientId, clock.GetUtcNow())], Results.NoContent()));

    private static async Task<IResult> ChangeAsync(
        string clientId, HttpContext http, IDocumentStore store, Callers callers, Func<Client, (IReadOnlyList<object> Events, IResult Result)> decide)
    {
        await using var session = store.LightweightSession();
        await NotificationStreams.LockAsync(session, [Client.KeyOf(clientId)], http.RequestAborted);
        if (await session.LoadAsync<Client>(Client.KeyOf(clientId), http.RequestAborted) is not { } client) return Problem.NotFound("such client");
        var (events, result) = decide(client);
        if (events.Count > 0)
        {
            session.Events.Append(client.Id, events);
            await session.SaveChangesAsync(http.RequestAborted);
            callers.Forget(clientId);
        }

        return result;
    }

    private static (SecretIssued Issued, string Secret) NewSecret(MasterKeyRing ring, string by, DateTimeOffset now)
    {
        var secret = System.Buffers.Text.Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32));
        var id = "s_" + RandomNumberGenerator.GetString("abcdefghijkmnpqrstuvwxyz23456789", 8);
        return (new SecretIssued(id, Callers.Hash(ring, secret), by, now), secret);
    }
}
