namespace Notify.Api.Operations;

using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Reference;
using Notify.Domain.Clients;
using Notify.Infrastructure.Postgres;
using Notify.Projections.Analytics;
using Npgsql;

/// <summary>Counts of deliveries over a range of days.</summary>
/// <param name="From">The first day's beginning (UTC).</param>
/// <param name="To">The end of the last day (UTC).</param>
/// <param name="GroupBy">As asked for.</param>
/// <param name="Items">One per group; one in all where nothing is grouped by.</param>
public sealed record AnalyticsResource(
    DateTimeOffset From,
    DateTimeOffset To,
    IReadOnlyList<string> GroupBy,
    IReadOnlyList<AnalyticsRow> Items
);

/// <summary>Counts of notifications and their outcomes, from the read model; they may lag by moments.</summary>
public static class GetAnalytics
{
    /// <summary>The longest range.</summary>
    public const int MaxDays = 366;

    private const int MaxRows = 10_000;
    private const string Everybody = "all";
    private static readonly string[] Known = ["from", "to", "groupBy", "client"];

    /// <summary>Maps <c>GET /v1/analytics</c>.</summary>
    public static void Map(IEndpointRouteBuilder app) =>
        app.MapGet("/v1/analytics", ReadAsync)
            .RequireScope(Scopes.Read)
            .WithName("GetAnalytics")
            .WithTags("Operate")
            .WithSummary("Count deliveries")
            .WithDescription(
                "Deliveries in numbers: requested, dispatched, delivered, failed, opened and more, with latency percentiles. "
                    + "Each is counted on the day (UTC) on which it was requested. "
                    + "A client sees its own numbers; with the scope audit or operate it may ask for another's, or for all."
            )
            .Query(
                "from",
                "The first day: a time in ISO 8601, counted from the beginning of its day (UTC); absent: seven days before to.",
                "2026-12-01T00:00:00Z"
            )
            .Query(
                "to",
                "The end, itself not counted: a time in ISO 8601, rounded up to whole days (UTC); absent: the end of today.",
                "2026-12-08T00:00:00Z"
            )
            .Query(
                "groupBy",
                "Some of day, channel, category, template, provider, mode and client, separated by commas; absent: one sum.",
                "day,channel"
            )
            .Query("client", "Another client's ID, or all; needs the scope audit or operate.", "all")
            .Answers(
                200,
                "The numbers.",
                new AnalyticsResource(
                    new DateTimeOffset(2026, 12, 1, 0, 0, 0, TimeSpan.Zero),
                    new DateTimeOffset(2026, 12, 8, 0, 0, 0, TimeSpan.Zero),
                    ["channel"],
                    [
                        new AnalyticsRow(
                            null,
                            null,
                            null,
                            "push",
                            null,
                            null,
                            null,
                            1200,
                            30,
                            4,
                            2,
                            0,
                            0,
                            1150,
                            0,
                            14,
                            0,
                            310,
                            310,
                            0,
                            0,
                            0,
                            new LatencyPercentiles(38, 120, 410)
                        ),
                    ]
                )
            );

    private static async Task<IResult> ReadAsync(
        HttpContext http,
        ReadDatabase database,
        TimeProvider clock,
        string? from,
        string? to,
        string? groupBy,
        string? client
    )
    {
        var caller = Callers.Of(http);
        var errors = new Dictionary<string, string[]>();
        foreach (var name in http.Request.Query.Keys.Where(k => !Known.Contains(k)))
            errors[name] = [$"is not known here; known are {string.Join(", ", Known)}"];
        var groups = (groupBy ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Distinct().ToList();
        if (groups.Exists(g => AnalyticsReader.Groups.All(known => known.Name != g)))
            errors["groupBy"] = [$"must be some of {string.Join(", ", AnalyticsReader.Groups.Select(g => g.Name))}, separated by commas"];

        var end = Day("to", to, roundsUp: true) ?? DateOnly.FromDateTime(clock.GetUtcNow().UtcDateTime).AddDays(1);
        var begin = Day("from", from, roundsUp: false) ?? end.AddDays(-7);
        if (!errors.ContainsKey("from") && !errors.ContainsKey("to"))
        {
            if (begin >= end)
                errors["from"] = ["must be before to"];
            else if (end.DayNumber - begin.DayNumber > MaxDays)
                errors["from"] = [$"must be at most {MaxDays} days before to; ask for one year after the other"];
        }

        if (errors.Count > 0)
            return Problem.Invalid(errors);
        if (
            client is not null
            && client != caller.ClientId
            && !caller.Scopes.Contains(Scopes.Audit)
            && !caller.Scopes.Contains(Scopes.Operate)
        )
            return Problem.Of(
                StatusCodes.Status403Forbidden,
                "missing_scope",
                "Other clients' numbers need the scope \"audit\" or \"operate\". Leave client away to see your own."
            );

        if (client is not null && client != caller.ClientId)
            AccessLog.Shows(http, client);
        var rows = await AnalyticsReader.ReadAsync(
            database.Source,
            begin,
            end,
            client == Everybody ? null : client ?? caller.ClientId,
            groups,
            MaxRows + 1,
            http.RequestAborted
        );
        if (rows.Count > MaxRows)
            return Problem.Invalid(
                new Dictionary<string, string[]>
                {
                    ["groupBy"] = [$"makes more than {MaxRows:N0} rows; group by less, or ask for fewer days"],
                }
            );
        return Results.Ok(new AnalyticsResource(Start(begin), Start(end), groups, rows));

        DateOnly? Day(string name, string? text, bool roundsUp)
        {
            if (text is null)
                return null;
            if (QueryText.Time(text) is not { Year: > 1 and < 9999 } time)
            {
                errors[name] = [QueryText.TimeRule];
                return null;
            }

            var day = DateOnly.FromDateTime(time.UtcDateTime);
            return roundsUp && time.TimeOfDay > TimeSpan.Zero ? day.AddDays(1) : day;
        }
    }

    private static DateTimeOffset Start(DateOnly day) => new(day.ToDateTime(TimeOnly.MinValue), TimeSpan.Zero);
}
