namespace Notify.Api.Operations;

using System.Globalization;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Reference;
using Notify.Domain.Clients;
using Notify.Projections.Verification;
using Npgsql;

/// <summary>A run of verification.</summary>
/// <param name="Id">The run's number.</param>
/// <param name="State"><c>running</c>, <c>verified</c> or <c>faulty</c>.</param>
/// <param name="Automatic">Whether a host ran it by itself.</param>
/// <param name="Since">Streams with events after this sequence were checked; 0: all.</param>
/// <param name="Position">The event sequence up to which the store was checked; absent while it runs.</param>
/// <param name="StartedAt">When it began.</param>
/// <param name="EndedAt">When it ended; absent while it runs.</param>
/// <param name="Counts">The counts; absent while it runs.</param>
/// <param name="Faults">The first 200 faults; <c>counts.faults</c> counts all.</param>
public sealed record VerificationResource(
    long Id,
    string State,
    bool Automatic,
    long Since,
    long? Position,
    DateTimeOffset StartedAt,
    DateTimeOffset? EndedAt,
    VerificationCounts? Counts,
    IReadOnlyList<VerificationFault> Faults
);

/// <summary>Runs of verification, newest first.</summary>
/// <param name="Items">A page of them.</param>
/// <param name="Next">Pass it as <c>after</c> for the next page; absent on the last.</param>
public sealed record VerificationList(IReadOnlyList<VerificationResource> Items, string? Next);

/// <summary>Lists the verifications of the store.</summary>
public static class Verifications
{
    private const int MaxPage = 100;

    private static DateTimeOffset Then => new(2026, 12, 1, 9, 0, 0, TimeSpan.Zero);

    /// <summary>Maps <c>GET /v1/verifications</c>.</summary>
    public static void Map(IEndpointRouteBuilder app) =>
        app.MapGet("/v1/verifications", ListAsync)
            .RequireAnyScope(Scopes.Operate, Scopes.Audit)
            .WithName("ListVerifications")
            .WithTags("Operate")
            .WithSummary("List verifications")
            .WithDescription(
                "Newest first. A verification proves from the event store that accepted = terminal + in flight + unknown, "
                    + "and lists each fault with its stream and what to do. "
                    + "A host verifies what is new once an hour (`Notify:Verification:Interval`), and alerts on faults; "
                    + "the command verify checks everything. The scope audit does, too."
            )
            .Query("limit", "How many at most: 1 to 100; absent: 20.", 20)
            .Query("after", "The next of an earlier answer.", "41")
            .Answers(
                200,
                "The verifications.",
                new VerificationList(
                    [
                        new VerificationResource(
                            42,
                            "faulty",
                            true,
                            180_000,
                            240_000,
                            Then,
                            Then.AddSeconds(40),
                            new VerificationCounts(15_000, 200, 40, 21_000, 20_900, 95, 5, 3, 1, 1, 2, 12, 1),
                            [
                                new VerificationFault(
                                    VerificationFaultKind.DeliveryLost,
                                    "n/c_shop:order-1",
                                    Guid.Parse("0b1f7c3e-52ab-8d0e-9c41-6a7d2f90e513"),
                                    "Queued, and nothing will go on with it"
                                ),
                            ]
                        ),
                    ],
                    null
                )
            );

    private static async Task<IResult> ListAsync(HttpContext http, NpgsqlDataSource database, int? limit, string? after)
    {
        var errors = new Dictionary<string, string[]>();
        if (limit is < 1 or > MaxPage)
            errors["limit"] = [$"must be 1 to {MaxPage}"];
        long? before = null;
        if (after is not null)
        {
            if (long.TryParse(after, NumberStyles.None, CultureInfo.InvariantCulture, out var id))
                before = id;
            else
                errors["after"] = ["must be the next of an earlier answer"];
        }

        if (errors.Count > 0)
            return Problem.Invalid(errors);
        await using var connection = await database.OpenConnectionAsync(http.RequestAborted);
        var size = limit ?? 20;
        var runs = await VerificationTable.ListAsync(connection, before, size + 1, http.RequestAborted);
        // A fault names a stream: a notification of any client's, or a user.
        if (runs.Any(r => r.Faults.Count > 0))
            AccessLog.Shows(http, "all");
        var next = runs.Count > size ? runs[size - 1].Id.ToString(CultureInfo.InvariantCulture) : null;
        return Results.Ok(new VerificationList([.. runs.Take(size).Select(Show)], next));
    }

    private static VerificationResource Show(VerificationRun r) =>
        new(
            r.Id,
            r.Counts is not { } counts ? "running"
                : counts is { Faults: 0, Agree: true } ? "verified"
                : "faulty",
            r.IsAutomatic,
            r.Since,
            r.Position,
            r.StartedAt,
            r.EndedAt,
            r.Counts,
            r.Faults
        );
}
