namespace Notify.Api.Broadcasts;

using Marten;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Reference;
using Notify.Delivery.Broadcasts;
using Notify.Delivery.DeliveryQueue;
using Notify.Domain.Broadcasts;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Infrastructure.Postgres;
using Notify.Projections.Analytics;
using Npgsql;

/// <summary>A broadcast and its progress.</summary>
/// <param name="BroadcastId">Its ID.</param>
/// <param name="State">Its current state.</param>
/// <param name="Topic">The topic that it goes to.</param>
/// <param name="Filter">The filter of its recipients, by topics, languages and time zones.</param>
/// <param name="All">true: it goes to every registered user.</param>
/// <param name="Category">The category of its notifications.</param>
/// <param name="Priority">How urgent it is.</param>
/// <param name="Template">The template of its content, with the version that it was accepted with.</param>
/// <param name="RequestedAt">When it was accepted.</param>
/// <param name="SendAt">When it starts; absent: it started at once.</param>
/// <param name="ExpiresAt">No further user gets it after this time.</param>
/// <param name="StartedAt">When it started.</param>
/// <param name="EndedAt">When it was complete, cancelled or expired.</param>
/// <param name="Total">How many users it was for when it started; those who come or go later make a difference. With <c>locales</c> or
/// <c>timeZones</c>: among how many they are looked for.</param>
/// <param name="Expanded">How many notifications have been made: each is found as <c>{broadcastId}@{userId}</c>.</param>
/// <param name="Deliveries">The outcomes of their deliveries, about a second old; absent until the first are counted.</param>
public sealed record BroadcastResource(
    string BroadcastId,
    BroadcastState State,
    string? Topic,
    BroadcastFilter? Filter,
    bool? All,
    string Category,
    Priority Priority,
    BroadcastTemplate? Template,
    DateTimeOffset RequestedAt,
    DateTimeOffset? SendAt,
    DateTimeOffset? ExpiresAt,
    DateTimeOffset? StartedAt,
    DateTimeOffset? EndedAt,
    long? Total,
    long Expanded,
    BroadcastOutcome? Deliveries
);

/// <summary>The template of a broadcast.</summary>
/// <param name="Key">Its key.</param>
/// <param name="Version">The version that every notification of the broadcast is rendered with.</param>
public sealed record BroadcastTemplate(string Key, int Version);

/// <summary>A page of broadcasts.</summary>
/// <param name="Items">The newest first.</param>
/// <param name="Next">Where the next page begins: give it as <c>after</c>. Absent on the last page.</param>
public sealed record BroadcastList(IReadOnlyList<BroadcastResource> Items, string? Next);

/// <summary>Queries broadcasts, and pauses, resumes and cancels them.</summary>
public static class BroadcastEndpoints
{
    private const string Ended =
        "The broadcast has ended and nothing of it waits, so nothing can be changed about it. GET /v1/broadcasts/{broadcastId} tells how.";

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder app)
    {
        app.MapGet("/v1/broadcasts", ListAsync)
            .RequireScope(Scopes.Read)
            .WithName("ListBroadcasts")
            .WithTags("Ask")
            .WithSummary("List broadcasts")
            .WithDescription("This client's, the newest first.")
            .Query("limit", "How many at most: 1 to 500; absent: 50.", 50)
            .Query("after", "The `next` of the answer before, for the page after it.", "NjM4OTk0MjQwMDAwMDAwMDAwIGIvYzpzcHJpbmc")
            .Answers(200, "A page.", new BroadcastList([Example], "NjM4OTk0MjQwMDAwMDAwMDAwIGIvYzpzcHJpbmc"));
        app.MapGet("/v1/broadcasts/{broadcastId}", GetAsync)
            .RequireScope(Scopes.Read)
            .WithName("GetBroadcast")
            .WithTags("Ask")
            .WithSummary("How far a broadcast has come")
            .WithDescription(
                "`expanded` of `total` notifications were made. `deliveries` counts what became of them, per device, number "
                    + "and address: it follows within about a second. What became of each tells `GET "
                    + "/v1/notifications/{broadcastId}@{userId}`."
            )
            .Answers(200, "The broadcast.", Example)
            .FailsNotFound("such broadcast");
        Change(
            app,
            "pause",
            "PauseBroadcast",
            "Hold a broadcast",
            "No further notifications are made until it is resumed. Those that were made go on. Again, it changes nothing.",
            Example with
            {
                State = BroadcastState.Paused,
            },
            (b, _, by, now) => b.Pause(by, now)
        );
        Change(
            app,
            "resume",
            "ResumeBroadcast",
            "Resume a broadcast",
            "It goes on where it was held. Again, it changes nothing.",
            Example,
            (b, _, by, now) => b.Resume(by, now)
        );
        Change(
            app,
            "cancel",
            "CancelBroadcast",
            "Withdraw a broadcast",
            "No further notifications are made, for good, and what waits of those that were made, in a queue or for quiet "
                + "hours to end, is withdrawn within seconds: `deliveries.cancelled` counts it. What is with a provider cannot be "
                + "called back. A complete broadcast can be withdrawn while anything of it waits. Again, it changes nothing.",
            Example with
            {
                State = BroadcastState.Cancelled,
                EndedAt = Example.StartedAt!.Value.AddMinutes(1),
            },
            (b, isWaiting, by, now) => b.Cancel(isWaiting, by, now)
        );
    }

    private static BroadcastResource Example =>
        new(
            "spring-sale-1",
            BroadcastState.Expanding,
            "club-news",
            null,
            null,
            "weekly-offers",
            Priority.Bulk,
            new BroadcastTemplate("spring-sale", 3),
            new DateTimeOffset(2026, 12, 1, 8, 0, 0, TimeSpan.Zero),
            new DateTimeOffset(2026, 12, 1, 9, 0, 0, TimeSpan.Zero),
            null,
            new DateTimeOffset(2026, 12, 1, 9, 0, 0, TimeSpan.Zero),
            null,
            1280,
            500,
            new BroadcastOutcome(540, 25, 40, 470, 430, 5, 0, 0, 0, 0, 61, 12, 1)
        );

    private static void Change(
        IEndpointRouteBuilder app,
        string verb,
        string name,
        string summary,
        string description,
        BroadcastResource example,
        Func<Broadcast, bool, string, DateTimeOffset, (Broadcast Next, object? Event)?> decide
    ) =>
        app.MapPost(
                $"/v1/broadcasts/{{broadcastId}}/{verb}",
                (string broadcastId, HttpContext http, IDocumentStore store, TimeProvider clock) =>
                    ChangeAsync(broadcastId, http, store, clock, decide)
            )
            .RequireScope(Scopes.Send)
            .OpenToTests()
            .WithName(name)
            .WithTags("Send")
            .WithSummary(summary)
            .WithDescription($"{description} Takes no body.")
            .Answers(200, "As it is now.", example)
            .FailsNotFound("such broadcast")
            .Fails(409, "broadcast_ended", Ended);

    private static async Task<IResult> ChangeAsync(
        string broadcastId,
        HttpContext http,
        IDocumentStore store,
        TimeProvider clock,
        Func<Broadcast, bool, string, DateTimeOffset, (Broadcast Next, object? Event)?> decide
    )
    {
        var client = Callers.Of(http).ClientId;
        await using var session = store.LightweightSession();
        await session.BeginTransactionAsync(http.RequestAborted);
        if (
            await BroadcastTable.HoldAsync(session.Connection!, Broadcast.KeyOf(client, broadcastId), http.RequestAborted)
            is not { } broadcast
        )
            return Problem.NotFound("such broadcast");
        var isWaiting =
            broadcast.State == BroadcastState.Completed
            && await BroadcastDeliveries.AreWaitingAsync(session.Connection!, broadcast, http.RequestAborted);
        if (decide(broadcast, isWaiting, client, clock.GetUtcNow()) is not var (next, @event))
            return Problem.Of(StatusCodes.Status409Conflict, "broadcast_ended", Ended);
        var shown = (await ShowAsync(session, session.Connection!, client, [next], http.RequestAborted))[0];
        if (@event is null)
            return Results.Ok(shown);
        session.Events.Append(next.Key, @event);
        await BroadcastTable.PutAsync(session.Connection!, next, http.RequestAborted);
        await session.SaveChangesAsync(http.RequestAborted);
        return Results.Ok(shown);
    }

    private static async Task<IResult> GetAsync(string broadcastId, HttpContext http, ReadDatabase database)
    {
        await using var read = await database.OpenAsync(http.RequestAborted);
        if (
            await BroadcastTable.FindAsync(read.Connection, Broadcast.KeyOf(Callers.Of(http).ClientId, broadcastId), http.RequestAborted)
            is not { } broadcast
        )
            return Problem.NotFound("such broadcast");
        return Results.Ok((await ShowAsync(read.Session, read.Connection, Callers.Of(http).ClientId, [broadcast], http.RequestAborted))[0]);
    }

    private static async Task<IResult> ListAsync(HttpContext http, ReadDatabase database)
    {
        var query = http.Request.Query;
        var errors = new Dictionary<string, string[]>();
        foreach (var name in query.Keys.Where(k => k is not ("limit" or "after")))
            errors[name] = ["is not known here; known are limit, after"];
        var limit = 50;
        if (query["limit"].FirstOrDefault() is { } limitText && !(int.TryParse(limitText, out limit) && limit is >= 1 and <= 500))
            errors["limit"] = ["must be 1 to 500"];
        (DateTimeOffset, string)? after = null;
        if (query["after"].FirstOrDefault() is { } cursor && (after = PageCursor.Read(cursor)) is null)
            errors["after"] = [PageCursor.Rule];
        if (errors.Count > 0)
            return Problem.Invalid(errors);

        await using var read = await database.OpenAsync(http.RequestAborted);
        var page = await BroadcastTable.ListAsync(read.Connection, Callers.Of(http).ClientId, limit + 1, after, http.RequestAborted);
        var items = await ShowAsync(read.Session, read.Connection, Callers.Of(http).ClientId, [.. page.Take(limit)], http.RequestAborted);
        return Results.Ok(new BroadcastList(items, page.Count > limit ? PageCursor.Of(items[^1].RequestedAt, page[limit - 1].Key) : null));
    }

    private static async Task<IReadOnlyList<BroadcastResource>> ShowAsync(
        IQuerySession session,
        NpgsqlConnection connection,
        string client,
        IReadOnlyList<Broadcast> broadcasts,
        CancellationToken cancellation
    )
    {
        var keys = broadcasts.Select(b => b.Key).ToArray();
        var requests =
            keys.Length == 0
                ? []
                : (
                    await session
                        .Events.QueryAllRawEvents()
                        .Where(e => e.StreamKey!.IsOneOf(keys) && e.Version == 1)
                        .ToListAsync(cancellation)
                ).ToDictionary(e => e.StreamKey!, e => (BroadcastRequested)e.Data, StringComparer.Ordinal);
        var outcomes = await BroadcastCounts.ReadAsync(connection, client, [.. requests.Values.Select(r => r.BroadcastId)], cancellation);
        return [.. broadcasts.Select(b => Show(b, requests[b.Key], outcomes.GetValueOrDefault(requests[b.Key].BroadcastId)))];
    }

    private static BroadcastResource Show(Broadcast b, BroadcastRequested r, BroadcastOutcome? outcome)
    {
        var a = r.Audience;
        var isTopic = a is { Any.Count: 1, All.Count: 0, None.Count: 0, AsksForDetails: false };
        var isAll = a is { Any.Count: 0, All.Count: 0, None.Count: 0, AsksForDetails: false };
        return new BroadcastResource(
            r.BroadcastId,
            b.State,
            isTopic ? a.Any[0] : null,
            isTopic || isAll
                ? null
                : new BroadcastFilter
                {
                    TopicsAny = Some(a.Any),
                    TopicsAll = Some(a.All),
                    TopicsNone = Some(a.None),
                    Locales = a.Locales,
                    TimeZones = a.TimeZones,
                },
            isAll ? true : null,
            r.Category,
            r.Priority,
            r.Template is { } t ? new BroadcastTemplate(t.Key, t.Version) : null,
            r.At,
            r.SendAt,
            r.ExpiresAt,
            b.StartedAt,
            b.EndedAt,
            b.Total,
            b.Expanded,
            outcome
        );

        static IReadOnlyList<string>? Some(IReadOnlyList<string> topics) => topics.Count == 0 ? null : topics;
    }
}
