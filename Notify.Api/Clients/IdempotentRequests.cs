namespace Notify.Api.Clients;

using System.Text.Json;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Delivery.Privacy;
using Notify.Infrastructure.Json;
using Npgsql;

/// <summary>Answers the same request with the same <c>Idempotency-Key</c> as the first time, for a day.</summary>
public sealed class IdempotentRequests(MasterKeyRing ring, KeptAnswers answers)
{
    /// <summary>The header.</summary>
    public const string Header = "Idempotency-Key";

    /// <summary>The longest key.</summary>
    public const int MaxLength = 200;

    /// <summary>The description of the header in the reference.</summary>
    public const string HeaderRule =
        "A value of your own for this request, 1 to 200 printable ASCII characters, such as a UUID. "
        + "The same request with the same key is answered as the first time, for a day, and makes nothing more.";

    /// <summary>The detail of the refusal of a key for another request.</summary>
    public const string Conflict = "This Idempotency-Key was used for another request. Send a new key with a new request.";

    /// <summary>The detail of the refusal after the answer has been dropped.</summary>
    public const string Spent =
        "This Idempotency-Key was used more than a day ago, and the answer, which holds a secret, is no longer kept. Send a new key.";

    /// <summary>Begins a request in the transaction that does its work.</summary>
    /// <param name="operation">The operation and its target; the key counts for the caller and this alone.</param>
    public async Task<IdempotentRequest> BeginAsync(HttpContext http, NpgsqlConnection connection, string operation, object body)
    {
        if (!http.Request.Headers.TryGetValue(Header, out var values))
            return new IdempotentRequest(null, null);
        if (values is not [{ Length: > 0 and <= MaxLength } key] || !key.All(c => c is >= ' ' and <= '~'))
            return new IdempotentRequest(
                null,
                Problem.Invalid(new Dictionary<string, string[]> { [Header] = ["must be 1 to 200 printable ASCII characters"] })
            );
        var scope = $"{Callers.Of(http).ClientId}\n{operation}";
        var text = JsonSerializer.Serialize(body, body.GetType(), NotifyJson.Options);
        var hash = ring.Fingerprint("request", text);
        var kept = await answers.TakeAsync(connection, scope, key, hash, http.RequestAborted);
        if (kept.IsNew)
            return new IdempotentRequest((c, answer) => answers.KeepAsync(c, scope, key, answer, http.RequestAborted), null);
        if (kept.RequestHash != hash && !ring.Peppers.Matches(kept.RequestHash, "request", text))
            return new IdempotentRequest(null, Problem.Of(StatusCodes.Status409Conflict, "idempotency_key_conflict", Conflict));
        if (kept.Answer is null)
            return new IdempotentRequest(null, Problem.Of(StatusCodes.Status409Conflict, "idempotency_key_spent", Spent));
        var again = JsonSerializer.Deserialize<Kept>(kept.Answer, NotifyJson.Options)!;
        return new IdempotentRequest(null, Results.Created(again.Location, again.Body));
    }

    internal sealed record Kept(string Location, JsonElement Body);
}

/// <summary>A request that may have an idempotency key.</summary>
/// <param name="Keep">Keeps the answer; <c>null</c> where there is no key.</param>
/// <param name="Answer">The answer where there is nothing to do: the first one again, or a problem.</param>
public sealed record IdempotentRequest(Func<NpgsqlConnection, byte[], Task>? Keep, IResult? Answer)
{
    /// <summary>Keeps the answer, in the transaction that makes what it names.</summary>
    public Task KeepAsync(NpgsqlConnection connection, string location, object body) =>
        Keep is null
            ? Task.CompletedTask
            : Keep(
                connection,
                JsonSerializer.SerializeToUtf8Bytes(
                    new IdempotentRequests.Kept(location, JsonSerializer.SerializeToElement(body, body.GetType(), NotifyJson.Options)),
                    NotifyJson.Options
                )
            );
}
