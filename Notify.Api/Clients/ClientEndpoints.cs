namespace Notify.Api.Clients;

using System.ComponentModel.DataAnnotations;
using System.Security.Cryptography;
using Marten;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Reference;
using Notify.Delivery.EventStore;
using Notify.Delivery.Privacy;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Infrastructure.Hosting;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>Every client.</summary>
/// <param name="Clients">By name.</param>
public sealed record ClientList(IReadOnlyList<ClientResource> Clients);

/// <summary>A client as administrators see it.</summary>
/// <param name="ClientId">Also its appKey.</param>
/// <param name="Name">Its display name.</param>
/// <param name="Mode">Live, or to the sandbox only.</param>
/// <param name="Scopes">Its scopes.</param>
/// <param name="Grants">The limits within which it may use its scopes, where some were given.</param>
/// <param name="IsDisabled">Whether it is disabled.</param>
/// <param name="AcceptPerSecond">How many notifications it may request each second; 0: any number; absent: as configured.</param>
/// <param name="AcceptBurst">How many it may request at once; absent: as configured.</param>
/// <param name="Secrets">Its valid secrets, at most two, without the secrets themselves.</param>
public sealed record ClientResource(
    string ClientId,
    string Name,
    ClientMode Mode,
    IReadOnlyList<string> Scopes,
    ClientGrants? Grants,
    bool IsDisabled,
    int? AcceptPerSecond,
    int? AcceptBurst,
    IReadOnlyList<SecretResource> Secrets
);

/// <summary>A valid secret.</summary>
/// <param name="Id">By which it can be revoked.</param>
/// <param name="IssuedAt">When it was made.</param>
/// <param name="LastUsedAt">When it was last used, within some minutes; absent: never, as far as is known.</param>
public sealed record SecretResource(string Id, DateTimeOffset IssuedAt, DateTimeOffset? LastUsedAt = null);

/// <summary>Clients and their secrets. A secret is random, shown once, and kept as a keyed hash.</summary>
public static class ClientEndpoints
{
    private static readonly CreateClientValidator Validator = new();
    private static readonly ChangePowersValidator PowersValidator = new();

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder app)
    {
        app.MapPost("/v1/clients", CreateAsync)
            .RequireScope(Scopes.Admin)
            .Traced()
            .WithName("CreateClient")
            .WithTags("Clients")
            .WithSummary("Create a client")
            .WithDescription("Answers its key and secret; the secret is shown this once and kept only as a keyed hash.")
            .Takes(
                "A shop that sends and reads",
                new CreateClient
                {
                    Name = "shop",
                    Mode = ClientMode.Live,
                    Scopes = [Scopes.Send, Scopes.Read],
                    AcceptPerSecond = 500,
                    AcceptBurst = 1000,
                }
            )
            .Takes(
                "One for codes, that passes opt-outs where a category is required",
                new CreateClient
                {
                    Name = "sign-in",
                    Scopes = [Scopes.Send],
                    Grants = new ClientGrants
                    {
                        Send = new SendLimits
                        {
                            Categories = ["otp"],
                            Channels = [Channel.Sms],
                            Required = true,
                        },
                    },
                }
            )
            .Header(IdempotentRequests.Header, IdempotentRequests.HeaderRule, KeyExample)
            .Answers(201, "It is made, now or by the same request before.", new CreatedClient(Someone, Someone, Secret), "Location")
            .Fails(409, "idempotency_key_conflict", IdempotentRequests.Conflict)
            .Fails(409, "idempotency_key_spent", IdempotentRequests.Spent);
        app.MapGet("/v1/clients", ListAsync)
            .RequireScope(Scopes.Admin)
            .Traced()
            .WithName("ListClients")
            .WithTags("Clients")
            .WithSummary("List clients")
            .WithDescription("Every client, by name, without secrets.")
            .Answers(
                200,
                "The clients.",
                new ClientList([
                    new ClientResource(
                        Someone,
                        "shop",
                        ClientMode.Live,
                        [Scopes.Send, Scopes.Read],
                        new ClientGrants { Send = new SendLimits { Categories = ["shipping"] } },
                        false,
                        500,
                        1000,
                        [new SecretResource("s_h7k2m9qa", Then, Then)]
                    ),
                ])
            );
        app.MapPut("/v1/clients/{clientId}/scopes", ChangePowersAsync)
            .RequireScope(Scopes.Admin)
            .Traced()
            .WithName("ChangeClientScopes")
            .WithTags("Clients")
            .WithSummary("Change what a client may do")
            .WithDescription(
                "Its scopes and their limits, as a whole: here at once, at " + "other hosts within two seconds. The secrets stay."
            )
            .Takes(
                "Sending in one category",
                new ChangePowers
                {
                    Scopes = [Scopes.Send],
                    Grants = new ClientGrants { Send = new SendLimits { Categories = ["shipping"] } },
                }
            )
            .Answers(204, "It is changed.")
            .FailsNotFound("such client");
        app.MapPost("/v1/clients/{clientId}/secrets", RotateAsync)
            .RequireScope(Scopes.Admin)
            .Traced()
            .WithName("RotateSecret")
            .WithTags("Clients")
            .WithSummary("Rotate a client's secret")
            .WithDescription(
                "Gives the client another secret, shown this once; with an Idempotency-Key for a day. Two may be active, so that one "
                    + "can be replaced without a pause; a third revokes one that was not used within a day, first one that was never used. "
                    + "Where both are in use it is refused, unless `revoke` names one or `force` is true."
            )
            .TakesOptionally("Although both secrets are in use", new RotateSecret { Force = true })
            .Header(IdempotentRequests.Header, IdempotentRequests.HeaderRule, KeyExample)
            .Answers(
                201,
                "The new secret, made now or by the same request before.",
                new CreatedSecret(Someone, Secret, "s_h7k2m9qa"),
                "Location"
            )
            .FailsNotFound("such client, or no such secret of it,")
            .Fails(409, "secrets_in_use", SecretRotator.InUse)
            .Fails(409, "idempotency_key_conflict", IdempotentRequests.Conflict)
            .Fails(409, "idempotency_key_spent", IdempotentRequests.Spent);
        app.MapDelete("/v1/clients/{clientId}/secrets/{secretId}", RevokeAsync)
            .RequireScope(Scopes.Admin)
            .Traced()
            .WithName("RevokeSecret")
            .WithTags("Clients")
            .WithSummary("Revoke a secret")
            .WithDescription("The secret counts no more: here at once, at other hosts within two seconds.")
            .Answers(204, "It is revoked.")
            .FailsNotFound("such secret of this client");
        app.MapDelete("/v1/clients/{clientId}", DisableAsync)
            .RequireScope(Scopes.Admin)
            .Traced()
            .WithName("DisableClient")
            .WithTags("Clients")
            .WithSummary("Shut a client out")
            .WithDescription("The client may not call any more. Its notifications stay, and what it sent goes on.")
            .Answers(204, "It is shut out.")
            .FailsNotFound("such client");
    }

    private const string KeyExample = "6f1c1b1e-6c8e-4f0e-9a53-0a4f6d3f2a11";

    private const string Someone = "c_k3v9x2m7q4w8z5ab",
        Secret = "Zm9yLWV4YW1wbGUtb25seS1ub3QtYS1yZWFsLXNlY3JldA";

    private static DateTimeOffset Then => new(2026, 12, 1, 9, 0, 0, TimeSpan.Zero);

    /// <summary>Registers a client.</summary>
    /// <returns>Its key and the only copy of its secret.</returns>
    public static async Task<(string AppKey, string AppSecret)> RegisterAsync(
        IDocumentStore store,
        MasterKeyRing ring,
        CreateClient client,
        string by,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        await using var session = store.LightweightSession();
        var (clientId, secret) = Register(session, ring, client, by, now);
        await session.SaveChangesAsync(cancellation);
        return (clientId, secret);
    }

    private static (string ClientId, string Secret) Register(
        IDocumentSession session,
        MasterKeyRing ring,
        CreateClient client,
        string by,
        DateTimeOffset now
    )
    {
        var clientId = "c_" + RandomNumberGenerator.GetString("abcdefghijkmnpqrstuvwxyz23456789", 16);
        var (issued, secret) = NewSecret(ring, clientId, by, now);
        session.Events.StartStream(
            Client.KeyOf(clientId),
            new ClientRegistered(
                clientId,
                client.Name!,
                client.Mode ?? ClientMode.Live,
                [.. client.Scopes!.Distinct()],
                by,
                now,
                client.AcceptPerSecond,
                client.AcceptBurst,
                client.Grants?.ToSend()
            ),
            issued
        );
        return (clientId, secret);
    }

    private static async Task<IResult> CreateAsync(
        HttpContext http,
        IDocumentStore store,
        MasterKeyRing ring,
        IdempotentRequests requests,
        TimeProvider clock
    )
    {
        var (body, problem) = await RequestBody.ReadAsync(http.Request, Validator);
        if (body is null)
            return problem!;
        await using var session = store.LightweightSession();
        await session.BeginTransactionAsync(http.RequestAborted);
        var idempotent = await requests.BeginAsync(http, session.Connection!, "create client", body);
        if (idempotent.Answer is { } answer)
            return answer;
        var (key, secret) = Register(session, ring, body, Callers.Of(http).ClientId, clock.GetUtcNow());
        var made = new CreatedClient(key, key, secret);
        await idempotent.KeepAsync(session.Connection!, $"/v1/clients/{key}", made);
        await session.SaveChangesAsync(http.RequestAborted);
        return Results.Created($"/v1/clients/{key}", made);
    }

    private static async Task<IResult> ListAsync(HttpContext http, ReadDatabase database)
    {
        await using var read = await database.OpenAsync(http.RequestAborted);
        var clients = await read.Session.Query<Client>().OrderBy(c => c.Name).ToListAsync(http.RequestAborted);
        var used = await SecretUses.AllAsync(read.Connection, http.RequestAborted);
        return Results.Ok(
            new ClientList([
                .. clients.Select(c => new ClientResource(
                    c.ClientId,
                    c.Name,
                    c.Mode,
                    c.Scopes,
                    ClientGrants.Of(c.Send),
                    c.IsDisabled,
                    c.AcceptPerSecond,
                    c.AcceptBurst,
                    [
                        .. c.Secrets.Select(s => new SecretResource(
                            s.Id,
                            s.IssuedAt,
                            used.TryGetValue((c.ClientId, s.Id), out var at) ? at : null
                        )),
                    ]
                )),
            ])
        );
    }

    private static async Task<Dictionary<(string, string), DateTimeOffset>> UsedAsync(
        NpgsqlDataSource database,
        CancellationToken cancellation
    )
    {
        await using var connection = await database.OpenConnectionAsync(cancellation);
        return await SecretUses.AllAsync(connection, cancellation);
    }

    private static async Task<IResult> RotateAsync(string clientId, HttpContext http, SecretRotator rotator)
    {
        var (body, problem) = await SecretRotator.ReadAsync(http.Request);
        return body is null ? problem! : await rotator.RotateAsync(http, clientId, body);
    }

    private static Task<IResult> RevokeAsync(
        string clientId,
        string secretId,
        HttpContext http,
        IDocumentStore store,
        Callers callers,
        TimeProvider clock
    ) =>
        ChangeAsync(
            clientId,
            http,
            store,
            callers,
            client =>
                client.Secrets.Any(s => s.Id == secretId)
                    ? ([new SecretRevoked(secretId, Callers.Of(http).ClientId, clock.GetUtcNow())], Results.NoContent())
                    : ([], Problem.NotFound("such secret of this client"))
        );

    private static async Task<IResult> ChangePowersAsync(
        string clientId,
        HttpContext http,
        IDocumentStore store,
        Callers callers,
        TimeProvider clock
    )
    {
        var (body, problem) = await RequestBody.ReadAsync(http.Request, PowersValidator);
        if (body is null)
            return problem!;
        string[] scopes = [.. body.Scopes!.Distinct()];
        var send = body.Grants?.ToSend();
        return await ChangeAsync(
            clientId,
            http,
            store,
            callers,
            client =>
                (
                    client.Scopes.SequenceEqual(scopes) && SendGrant.AreSame(client.Send, send)
                        ? []
                        : [new ClientPowersChanged(scopes, send, Callers.Of(http).ClientId, clock.GetUtcNow())],
                    Results.NoContent()
                )
        );
    }

    private static Task<IResult> DisableAsync(
        string clientId,
        HttpContext http,
        IDocumentStore store,
        Callers callers,
        TimeProvider clock
    ) =>
        ChangeAsync(
            clientId,
            http,
            store,
            callers,
            client => (client.IsDisabled ? [] : [new ClientDisabled(Callers.Of(http).ClientId, clock.GetUtcNow())], Results.NoContent())
        );

    private static async Task<IResult> ChangeAsync(
        string clientId,
        HttpContext http,
        IDocumentStore store,
        Callers callers,
        Func<Client, (IReadOnlyList<object> Events, IResult Result)> decide
    )
    {
        await using var session = store.LightweightSession();
        await NotificationStreams.LockAsync(session, [Client.KeyOf(clientId)], http.RequestAborted);
        if (await session.LoadAsync<Client>(Client.KeyOf(clientId), http.RequestAborted) is not { } client)
            return Problem.NotFound("such client");
        var (events, result) = decide(client);
        if (events.Count > 0)
        {
            session.Events.Append(client.Id, events);
            await session.SaveChangesAsync(http.RequestAborted);
            callers.Forget(clientId);
        }

        return result;
    }

    /// <summary>Makes a secret for a client.</summary>
    /// <returns>Its event, and the only copy of it.</returns>
    public static (SecretIssued Issued, string Secret) NewSecret(MasterKeyRing ring, string clientId, string by, DateTimeOffset now)
    {
        var secret = System.Buffers.Text.Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32));
        var id = "s_" + RandomNumberGenerator.GetString("abcdefghijkmnpqrstuvwxyz23456789", 8);
        return (new SecretIssued(id, Callers.Hash(ring, clientId, id, secret), by, now), secret);
    }
}
