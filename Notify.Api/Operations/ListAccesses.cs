namespace Notify.Api.Operations;

using Marten;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Reference;
using Notify.Delivery.Privacy;
using Notify.Domain.Clients;
using Notify.Domain.Recipients;
using Notify.Infrastructure.Postgres;

/// <summary>A page of the access log.</summary>
/// <param name="Items">Newest first.</param>
/// <param name="Next">The beginning of the next page: give it as <c>after</c>. Absent on the last page.</param>
public sealed record AccessPage(IReadOnlyList<AccessRecord> Items, string? Next);

/// <summary>One use of a power that leaves no other event.</summary>
/// <param name="At">When.</param>
/// <param name="By">The client, or the name that was given to a command.</param>
/// <param name="From">The caller's network address; for a command the machine's name.</param>
/// <param name="Operation">The operation's ID in this contract, or the command.</param>
/// <param name="Target">The notification, user or client that it was about; of an erased user the reference, which begins with
/// <c>*</c>.</param>
/// <param name="Client">The client whose notification was read, where it is another one's.</param>
/// <param name="Status">The HTTP status of the answer.</param>
/// <param name="Reason">The reason that was given for a command.</param>
public sealed record AccessRecord(
    DateTimeOffset At,
    string By,
    string From,
    string Operation,
    string? Target,
    string? Client,
    int Status,
    string? Reason
);

/// <summary>Shows auditors the recorded access to data of others.</summary>
public static class ListAccesses
{
    private const int Most = 500;

    /// <summary>Maps <c>GET /v1/accesses</c>.</summary>
    public static void Map(IEndpointRouteBuilder app) =>
        app.MapGet("/v1/accesses", ListAsync)
            .RequireScope(Scopes.Audit)
            .Traced()
            .WithName("ListAccesses")
            .WithTags("Ask")
            .WithSummary("Who looked at what")
            .WithDescription(
                "The access log: each reading of another client's notifications and of raw receipts, each look at a person's details, "
                    + "at suppressions, dead letters and clients, each client token made, and each `replay --reveal`. "
                    + "Newest first. It is kept as events, "
                    + "which nothing changes."
            )
            .Query("limit", "How many at most: 1 to 500; absent: 50.", 50)
            .Query("after", "The `next` of the answer before, for the page after it.", "NjM4OTk0MjQwMDAwMDAwMDAwIHgvMGIxZjdj")
            .Answers(
                200,
                "A page.",
                new AccessPage(
                    [
                        new AccessRecord(
                            At,
                            "c_k3v9x2m7q4w8z5ab",
                            "192.0.2.7",
                            "GetNotification",
                            "order-123-shipped",
                            "c_p7m4s9x2k6q8w3zt",
                            200,
                            null
                        ),
                    ],
                    "NjM4OTk0MjQwMDAwMDAwMDAwIHgvMGIxZjdj"
                )
            );

    private static DateTimeOffset At => new(2026, 12, 1, 9, 0, 0, TimeSpan.Zero);

    private static async Task<IResult> ListAsync(HttpContext http, ReadDatabase database, SubjectKeys keys, string? limit, string? after)
    {
        var errors = new Dictionary<string, string[]>();
        var count = 50;
        (DateTimeOffset At, string Id)? before = null;
        if (limit is not null && !(int.TryParse(limit, out count) && count is >= 1 and <= Most))
            errors["limit"] = [$"must be 1 to {Most}"];
        if (after is not null && (before = PageCursor.Read(after)) is null)
            errors["after"] = [PageCursor.Rule];
        if (errors.Count > 0)
            return Problem.Invalid(errors);

        await using var read = await database.OpenAsync(http.RequestAborted);
        IQueryable<Domain.Clients.Access> found = read.Session.Query<Domain.Clients.Access>();
        if (before is var (at, id))
            found = found.Where(a => a.RecordedAt < at || (a.RecordedAt == at && string.Compare(a.Id, id) > 0));
        var page = await found.OrderByDescending(a => a.RecordedAt).ThenBy(a => a.Id).Take(count + 1).ToListAsync(http.RequestAborted);
        var shown = page.Take(count).Select(a => a.Recorded).ToList();
        var userIds = await keys.UserIdsAsync(
            read.Connection,
            shown.SelectMany(e => PartsOf(e.Target)).Where(UserRef.Is),
            http.RequestAborted
        );
        return Results.Ok(
            new AccessPage(
                [.. shown.Select(e => Show(e, userIds))],
                page.Count > count ? PageCursor.Of(page[count - 1].RecordedAt, page[count - 1].Id) : null
            )
        );
    }

    private static AccessRecord Show(AccessRecorded e, IReadOnlyDictionary<string, string> userIds) =>
        new(
            e.At,
            e.By,
            e.From,
            e.Operation,
            e.Target is null ? null : string.Join('/', PartsOf(e.Target).Select(p => userIds.GetValueOrDefault(p, p))),
            e.Client,
            e.Status,
            e.Reason
        );

    // As the path named them: a user, and perhaps something of theirs.
    private static string[] PartsOf(string? target) => target?.Split('/') ?? [];
}
