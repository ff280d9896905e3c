namespace Notify.Api.Access;

using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using Marten;
using Notify.Api.Contract;
using Notify.Delivery.Privacy;
using Notify.Domain.Clients;
using Notify.Domain.Recipients;
using Notify.Infrastructure.Postgres;

/// <summary>
/// Authenticates clients by appKey and appSecret with HTTP Basic (RFC 7617). Secrets are random, so a keyed hash is enough to
/// store; comparison takes the same time for every fault. Apps are authenticated by a client token, as Bearer (RFC 6750), where
/// the endpoint permits them. A change to a client takes effect within <see cref="Memory"/>.
/// </summary>
public sealed class Callers(
    IDocumentStore store,
    ReadDatabase reads,
    MasterKeyRing ring,
    UserReferences users,
    TokenKeys tokens,
    SecretUses uses,
    SecretHashes secretHashes,
    Refusals refusals,
    TimeProvider clock
)
{
    /// <summary>How long a client is remembered before it is read again.</summary>
    public static readonly TimeSpan Memory = TimeSpan.FromSeconds(2);

    /// <summary>The code of a refusal for what a client token does not allow.</summary>
    public const string TokenLacks = "token_lacks";

    private static readonly TimeSpan MaxWait = TimeSpan.FromSeconds(5);
    private readonly ConcurrentDictionary<string, Lazy<Task<Client?>>> readings = new(StringComparer.Ordinal);

    /// <summary>The code of a refusal of what test clients may not do.</summary>
    public const string TestMode = "test_mode";

    /// <summary>The detail of that rejection.</summary>
    public const string TestModeDetail =
        "A test client changes nothing that live clients share, such as users, templates, categories, topics and suppressions. Call "
        + "with a live client.";

    private const string Item = "notify.caller",
        OwnerItem = "notify.owner",
        TokenItem = "notify.token",
        SecretItem = "notify.secret";
    private const string Bearer = "Bearer ",
        BasicChallenge = "Basic realm=\"notify\", charset=\"UTF-8\"";
    private readonly ConcurrentDictionary<string, (Client? Client, long At)> known = new(StringComparer.Ordinal);

    /// <summary>The calling client of a request that passed <see cref="RequireAsync"/>.</summary>
    public static Client Of(HttpContext context) => (Client)context.Items[Item]!;

    /// <summary>The client token of a request that came with one.</summary>
    public static ClientToken? TokenOf(HttpContext context) =>
        context.Items.TryGetValue(TokenItem, out var token) ? (ClientToken)token! : null;

    /// <summary>The ID of the secret by which a client called; <c>null</c>: an app called by its token.</summary>
    public static string? SecretOf(HttpContext context) => context.Items.TryGetValue(SecretItem, out var secret) ? (string)secret! : null;

    /// <summary>By whom something was done: the client, or the person themselves.</summary>
    public static string NameOf(HttpContext context) => TokenOf(context) is null ? Of(context).ClientId : Tracking.Unsubscribing.Recipient;

    /// <summary>Through what something was said: <c>api</c>, or the app of a client.</summary>
    public static string ThroughOf(HttpContext context) => AppOf(context) ?? "api";

    /// <summary>The app that calls, <c>app:{clientId}</c>; <c>null</c>: the client itself does.</summary>
    public static string? AppOf(HttpContext context) => TokenOf(context) is { } token ? $"app:{token.ClientId}" : null;

    /// <summary>Whether the caller, or for an app the client that made its token, has the scope <c>audit</c>.</summary>
    public static bool MayAudit(HttpContext context) => ((Client)context.Items[OwnerItem]!).Scopes.Contains(Scopes.Audit);

    /// <summary>Whether the caller may see what is a user's: a client may, and an app what is its own user's.</summary>
    public static bool MaySee(HttpContext context, string? userRef) => TokenOf(context) is not { } token || token.UserRef == userRef;

    // Marks a hash that is bound to its client and secret ID; base64url has no full stop.
    private const string Bound = "2.";

    /// <summary>The keyed hash under which a secret is kept: bound to its client and its ID, so that it counts nowhere else.</summary>
    /// <remarks>While a host of the former version lives, the hash is of the secret alone, as that host reads it.</remarks>
    public static string Hash(MasterKeyRing ring, string clientId, string secretId, string secret) =>
        ring.Format.WritesPlaces ? BoundHash(ring, clientId, secretId, secret) : ring.Fingerprint("client-secret", secret);

    /// <summary>Whether a secret is the one whose hash is kept. A hash of an earlier version counts until its secret is revoked.</summary>
    public static bool Matches(MasterKeyRing ring, string clientId, ClientSecret kept, string secret) =>
        IsBound(kept)
            ? ring.Peppers.Matches(kept.Hash[Bound.Length..], "client-secret-2", BoundText(clientId, kept.Id, secret))
            : ring.Peppers.Matches(kept.Hash, "client-secret", secret);

    /// <summary>Whether a secret is to be hashed anew under the current pepper, now that it is known.</summary>
    public static bool IsOutdated(MasterKeyRing ring, ClientSecret kept) =>
        ring.Peppers.CurrentId is not PepperRing.First and var current
        && PepperRing.IdOf(IsBound(kept) ? kept.Hash[Bound.Length..] : kept.Hash) != current;

    private static bool IsBound(ClientSecret kept) => kept.Hash.StartsWith(Bound, StringComparison.Ordinal);

    private static string BoundHash(MasterKeyRing ring, string clientId, string secretId, string secret) =>
        Bound + ring.Fingerprint("client-secret-2", BoundText(clientId, secretId, secret));

    private static string BoundText(string clientId, string secretId, string secret) => $"{clientId}\0{secretId}\0{secret}";

    /// <summary>Lets a request pass if its caller is known and has the scope.</summary>
    /// <returns>The problem, or <c>null</c>.</returns>
    public ValueTask<IResult?> RequireAsync(HttpContext context, string scope) => RequireAnyAsync(context, [scope]);

    /// <summary>Lets a request pass if its caller is known and has one of the scopes.</summary>
    /// <returns>The problem, or <c>null</c>.</returns>
    public async ValueTask<IResult?> RequireAnyAsync(HttpContext context, IReadOnlyList<string> scopes)
    {
        if (context.Request.Headers.Authorization.ToString() is { } header && header.StartsWith(Bearer, StringComparison.OrdinalIgnoreCase))
            return await RequireTokenAsync(context, header[Bearer.Length..].Trim(), scopes);
        if (Parse(context.Request.Headers.Authorization) is not var (key, secret))
            return Unauthorized(context, "Send Authorization: Basic with the base64 of appKey:appSecret.");
        var client = await FindAsync(key, context);
        string? match = null;
        foreach (var s in client?.Secrets ?? [])
        {
            if (!Matches(ring, client!.ClientId, s, secret))
                continue;
            match = s.Id;
            if (IsOutdated(ring, s))
                secretHashes.Note(client.ClientId, s.Id, secret);
        }

        if (client is null || match is null || client.IsDisabled)
            return await refusals.LoginAsync(
                context,
                key,
                client is not null,
                Unauthorized(
                    context,
                    "The appKey or appSecret is wrong, or no longer counts. Check both, or ask an administrator for a new secret."
                )
            );
        uses.Note(client.ClientId, match);
        if (!scopes.Any(client.Scopes.Contains))
            return Lacks(
                context,
                client.ClientId,
                "missing_scope",
                $"This client lacks the scope \"{scopes[0]}\". Ask an administrator for it, or call with a client that has it."
            );
        if (!MayWrite(context, client))
            return Lacks(context, client.ClientId, TestMode, TestModeDetail);
        context.Items[Item] = context.Items[OwnerItem] = client;
        context.Items[SecretItem] = match;
        return null;
    }

    // A test client reads as a live one does, and writes only where the endpoint says that what it writes is its own.
    private static bool MayWrite(HttpContext context, Client client) =>
        client.Mode == ClientMode.Live || (context.GetEndpoint() is { } endpoint && AccessControl.IsOpenToTests(endpoint.Metadata));

    private IResult Lacks(HttpContext context, string caller, string code, string detail)
    {
        refusals.Power(context, caller, code);
        return Problem.Of(StatusCodes.Status403Forbidden, code, detail);
    }

    private async ValueTask<IResult?> RequireTokenAsync(HttpContext context, string text, IReadOnlyList<string> scopes)
    {
        if (await tokens.ReadAsync(text) is not { } token)
            return refusals.Token(context, TokenInvalid(context));
        if (await FindAsync(token.ClientId, context) is not { IsDisabled: false } client || client.Mode != token.Mode)
            return refusals.Token(context, TokenInvalid(context));
        // Everybody who had the secret may have made the token: it ends with the secret.
        if (token.SecretId is { } secret && client.Secrets.All(s => s.Id != secret))
            return refusals.Token(context, TokenInvalid(context));
        // A token that a host of the former version made names the user by their ID.
        if (!UserRef.Is(token.UserRef))
            token = token with { UserRef = await users.FindAsync(token.UserRef, context.RequestAborted) };
        if (await HindranceOfAsync(context, token) is { } hindrance)
            return Lacks(context, $"app:{token.ClientId}", TokenLacks, hindrance);
        // It allows no more than its client may do now, whatever the client could do when it was made.
        if (!scopes.Any(client.Scopes.Contains))
            return Lacks(context, $"app:{token.ClientId}", TokenLacks, ClientLacks);
        if (!MayWrite(context, client))
            return Lacks(context, $"app:{token.ClientId}", TestMode, TestModeDetail);
        if (await IsOfErasedAsync(token, context))
            return refusals.Token(context, TokenInvalid(context));
        // The client's scopes do not apply to its users' apps; its limits for sending do.
        context.Items[Item] = client with
        {
            Scopes = [],
            Send = client.Sending,
        };
        context.Items[OwnerItem] = client;
        context.Items[TokenItem] = token;
        return null;
    }

    private async ValueTask<string?> HindranceOfAsync(HttpContext context, ClientToken token)
    {
        if (context.GetEndpoint()?.Metadata.GetMetadata<TokenNote>() is not { } note)
            return "A client token may not do this, whatever it allows. Let your service call with its appKey and appSecret.";
        if (!token.Allows(note.Grant))
            return $"This client token lacks \"{note.Grant}\". Let your service make one that allows it.";
        return context.GetRouteValue("userId") is string user && await users.FindAsync(user, context.RequestAborted) != token.UserRef
            ? "This client token is another user's. Use one that was made for the user in the path."
            : null;
    }

    private const string ClientLacks =
        "The client that made this client token may not do this any more. Let an administrator give it the scope again.";

    // An app that does not know of the erasure would register the person again, with its device.
    private async ValueTask<bool> IsOfErasedAsync(ClientToken token, HttpContext context) =>
        (await LoadAsync<Recipient>(Recipient.KeyOf(token.UserRef), context))?.ErasedAt >= token.MadeAt;

    // Requests that only read take no connection from those for commits, however many come.
    private async Task<T?> LoadAsync<T>(string id, HttpContext context)
        where T : class
    {
        if (HttpMethods.IsGet(context.Request.Method))
        {
            await using var read = await reads.OpenAsync(context.RequestAborted);
            return await read.Session.LoadAsync<T>(id, context.RequestAborted);
        }

        await using var session = store.QuerySession();
        return await session.LoadAsync<T>(id, context.RequestAborted);
    }

    private static IResult TokenInvalid(HttpContext context)
    {
        context.Response.Headers.WWWAuthenticate = new([BasicChallenge, "Bearer realm=\"notify\", error=\"invalid_token\""]);
        return Problem.Of(
            StatusCodes.Status401Unauthorized,
            "unauthorized",
            "The client token has expired, was altered, or its client or user counts no more. Get a new one from your service."
        );
    }

    /// <summary>Forgets a client, so that a change made here counts here at once.</summary>
    public void Forget(string clientId)
    {
        readings.TryRemove(clientId, out _);
        known.TryRemove(clientId, out _);
    }

    private async ValueTask<Client?> FindAsync(string key, HttpContext context)
    {
        if (known.TryGetValue(key, out var entry) && clock.GetElapsedTime(entry.At) < Memory)
            return entry.Client;
        // Requests of one client wait for one reading, and each no longer than it may; so they do not each take a connection.
        var reading = readings.GetOrAdd(key, k => new Lazy<Task<Client?>>(() => ReadAsync(k)));
        try
        {
            return await reading.Value.WaitAsync(MaxWait, clock, context.RequestAborted);
        }
        catch (TimeoutException)
        {
            throw new Notify.Infrastructure.Postgres.CommitBusyException();
        }
    }

    private async Task<Client?> ReadAsync(string key)
    {
        using var limit = new CancellationTokenSource(MaxWait, clock);
        try
        {
            var now = clock.GetTimestamp();
            await using var session = store.QuerySession();
            var client = await session.LoadAsync<Client>(Client.KeyOf(key), limit.Token);
            if (known.Count > 10_000)
                known.Clear(); // made-up keys must not fill the memory
            known[key] = (client, now);
            return client;
        }
        catch (OperationCanceledException) when (limit.IsCancellationRequested)
        {
            throw new Notify.Infrastructure.Postgres.CommitBusyException();
        }
        finally
        {
            readings.TryRemove(key, out _);
        }
    }

    private static (string Key, string Secret)? Parse(string? header)
    {
        if (header is null || !header.StartsWith("Basic ", StringComparison.OrdinalIgnoreCase) || header.Length > 1000)
            return null;
        Span<byte> bytes = stackalloc byte[1000];
        if (!Convert.TryFromBase64String(header[6..].Trim(), bytes, out var length))
            return null;
        var text = Encoding.UTF8.GetString(bytes[..length]);
        var colon = text.IndexOf(':', StringComparison.Ordinal);
        return colon <= 0 || text.Contains('\0', StringComparison.Ordinal) ? null : (text[..colon], text[(colon + 1)..]);
    }

    private static IResult Unauthorized(HttpContext context, string detail)
    {
        context.Response.Headers.WWWAuthenticate = BasicChallenge;
        return Problem.Of(StatusCodes.Status401Unauthorized, "unauthorized", detail);
    }
}
