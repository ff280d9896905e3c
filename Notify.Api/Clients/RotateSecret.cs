namespace Notify.Api.Clients;

using Marten;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Delivery.EventStore;
using Notify.Delivery.Privacy;
using Notify.Domain.Clients;

/// <summary>Another secret for a client: the body of <c>POST /v1/clients/{clientId}/secrets</c>, which may be left away.</summary>
public sealed record RotateSecret
{
    /// <summary>The ID of the secret to revoke, even if it is in use. Absent: one not used within a day, where two are active.</summary>
    public string? Revoke { get; init; }

    /// <summary>Whether the oldest secret is revoked where both were used within a day. Absent: false.</summary>
    public bool? Force { get; init; }
}

/// <summary>Gives clients secrets so that a lost answer does no harm: the same key answers the same, and a secret in use stays.</summary>
public sealed class SecretRotator(
    IDocumentStore store,
    MasterKeyRing ring,
    IdempotentRequests requests,
    SecretUses uses,
    Callers callers,
    TimeProvider clock
)
{
    /// <summary>The detail of the refusal where no secret can make room.</summary>
    public const string InUse =
        "Two secrets are active, and both were used within a day. "
        + "Name the one to revoke (`revoke`), or send `force: true` to revoke the older one.";

    /// <summary>Issues a secret.</summary>
    public async Task<IResult> RotateAsync(HttpContext http, string clientId, RotateSecret body)
    {
        var cancellation = http.RequestAborted;
        await uses.WriteAsync(cancellation);
        await using var session = store.LightweightSession();
        await NotificationStreams.LockAsync(session, [Client.KeyOf(clientId)], cancellation);
        if (await session.LoadAsync<Client>(Client.KeyOf(clientId), cancellation) is not { } client)
            return Problem.NotFound("such client");
        var idempotent = await requests.BeginAsync(http, session.Connection!, $"rotate {clientId}", body);
        if (idempotent.Answer is { } answer)
            return answer;
        if (body.Revoke is { } named && client.Secrets.All(s => s.Id != named))
            return Problem.NotFound("such secret of this client");

        var (now, by) = (clock.GetUtcNow(), Callers.Of(http).ClientId);
        var (usedAt, trackedSince) = await SecretUses.OfAsync(session.Connection!, clientId, cancellation);
        var choice = SecretRotation.Choose(client, usedAt, trackedSince, body.Revoke, body.Force == true, now);
        if (choice.IsRefused)
            return Problem.Of(StatusCodes.Status409Conflict, "secrets_in_use", InUse);
        var (issued, secret) = ClientEndpoints.NewSecret(ring, clientId, by, now);
        object[] events = choice.Revoke is { } revoked ? [new SecretRevoked(revoked, by, now), issued] : [issued];
        session.Events.Append(client.Id, events);
        var made = new CreatedSecret(clientId, secret, issued.SecretId);
        await idempotent.KeepAsync(session.Connection!, $"/v1/clients/{clientId}/secrets/{issued.SecretId}", made);
        await session.SaveChangesAsync(cancellation);
        callers.Forget(clientId);
        return Results.Created($"/v1/clients/{clientId}/secrets/{issued.SecretId}", made);
    }

    /// <summary>Reads the body, which may be absent.</summary>
    public static async Task<(RotateSecret? Body, IResult? Problem)> ReadAsync(HttpRequest request) =>
        request.ContentLength is 0 || (request.ContentLength is null && request.ContentType is null)
            ? (new RotateSecret(), null)
            : await RequestBody.ReadAsync<RotateSecret>(request);
}
