namespace Notify.Api.Access;

using System.Security.Cryptography;
using Marten;
using Notify.Delivery.Privacy;
using Notify.Domain.Clients;
using Notify.Infrastructure.Postgres;

/// <summary>
/// Records access to data of others, as events that are never changed: reading another client's notifications or raw receipts,
/// reading a person's details, making client tokens, listing clients. Changes append events of their own, which name their author.
/// </summary>
public sealed class AccessLog : IAsyncDisposable
{
    private const string Concerned = "notify.access.target",
        Shown = "notify.access.client";
    private const int MaxWaiting = 2000;
    private static readonly TimeSpan MaxWait = TimeSpan.FromSeconds(5);
    private readonly IDocumentStore store;
    private readonly UserReferences users;
    private readonly TimeProvider clock;
    private readonly GroupCommit<AccessRecorded, bool> group;

    /// <summary>Starts the committer.</summary>
    public AccessLog(IDocumentStore store, UserReferences users, TimeProvider clock)
    {
        (this.store, this.users, this.clock) = (store, users, clock);
        group = new GroupCommit<AccessRecorded, bool>(
            (records, _, cancellation) => CommitAsync(records, cancellation),
            new GroupCommitOptions<AccessRecorded>
            {
                MaxItems = 200,
                MaxWaiting = MaxWaiting,
                MaxWait = MaxWait,
                CommitTimeout = MaxWait,
            },
            clock
        );
    }

    /// <summary>Says which user (by reference) or other thing a request is about, where its path does not.</summary>
    public static void Concerns(HttpContext http, string target) => http.Items[Concerned] = target;

    /// <summary>Says that a request reads another client's notifications, which is recorded always.</summary>
    /// <param name="client">That client, or <c>all</c>.</param>
    public static void Shows(HttpContext http, string client) => http.Items[Shown] = client;

    /// <summary>Whether a request is recorded: one for another client's notifications always, others where the endpoint says so.</summary>
    /// <remarks>An app with its user's token reads that person's own data.</remarks>
    public static bool IsTraced(HttpContext http) =>
        AnotherClient(http) is not null
        || (http.GetEndpoint()?.Metadata.GetMetadata<TracedNote>() is not null && Callers.TokenOf(http) is null);

    /// <summary>Records a request; completes when the record is durable.</summary>
    /// <param name="status">The status of the answer that is about to be given.</param>
    /// <exception cref="CommitBusyException">Too many records are waiting.</exception>
    /// <exception cref="CommitWaitException">The record was not written in time; the request must not be answered as if it was.</exception>
    public async Task RecordAsync(HttpContext http, int status) =>
        await group.AddAsync(
            new AccessRecorded(
                Callers.Of(http).ClientId,
                AddressOf(http),
                http.GetEndpoint()?.Metadata.GetMetadata<IEndpointNameMetadata>()?.EndpointName ?? "",
                await TargetOfAsync(http),
                AnotherClient(http),
                status,
                null,
                clock.GetUtcNow()
            ),
            http.RequestAborted
        );

    /// <summary>The network address of a request's caller, or of the proxy before it.</summary>
    public static string AddressOf(HttpContext http) => http.Connection.RemoteIpAddress?.ToString() ?? "unknown";

    /// <inheritdoc />
    public ValueTask DisposeAsync() => group.DisposeAsync();

    private static string? AnotherClient(HttpContext http) => http.Items.TryGetValue(Shown, out var client) ? (string)client! : null;

    private async ValueTask<string?> TargetOfAsync(HttpContext http)
    {
        if (http.Items.TryGetValue(Concerned, out var said))
            return (string)said!;
        var named = new List<string>();
        foreach (var (name, value) in http.Request.RouteValues)
        {
            var text = $"{value}";
            named.Add(
                name switch
                {
                    "userId" => await users.FindAsync(text, http.RequestAborted),
                    "eventId" => await users.FindEventIdAsync(text, http.RequestAborted),
                    _ => text,
                }
            );
        }

        if (named.Count > 0)
            return string.Join('/', named);
        return http.Request.Query["userId"].FirstOrDefault() is { } user ? await users.FindAsync(user, http.RequestAborted) : null;
    }

    private async Task<IReadOnlyList<bool>> CommitAsync(IReadOnlyList<AccessRecorded> records, CancellationToken cancellation)
    {
        await using var session = store.LightweightSession();
        foreach (var record in records)
            session.Events.StartStream(AccessRecorded.KeyOf(RandomNumberGenerator.GetHexString(24, lowercase: true)), record);
        await session.SaveChangesAsync(cancellation);
        return [.. records.Select(_ => true)];
    }
}
