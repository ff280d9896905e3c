using System.Globalization;
using Notify.Api.Contract;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Projections.Alerts;
using Npgsql;

namespace Notify.Api.Operations;

/// <summary>An alert as it is shown.</summary>
/// <param name="State"><c>open</c> or <c>recovered</c>.</param>
/// <param name="WithoutTraffic">It is open, and nothing has been tried for a while: nobody can tell whether it lasts.</param>
public sealed record AlertResource(
    Guid AlertId, string State, string Subject, TroubleKind Kind, string? Provider, Lane? Lane, Priority? Priority, string Summary, string FirstCause, long Failures, long Attempts,
    DateTimeOffset FirstFailureAt, DateTimeOffset LastFailureAt, DateTimeOffset OpenedAt, DateTimeOffset? RecoveredAt, bool? WithoutTraffic, Uri? Link, string WhatToDo);

/// <summary>What developers were alerted to, and still are.</summary>
public static class Alerts
{
    private const int Page = 500;
    private static readonly TimeSpan Silence = TimeSpan.FromMinutes(5);

    /// <summary>Maps <c>GET /v1/alerts</c>.</summary>
    public static void Map(IEndpointRouteBuilder app) =>
        app.MapGet("/v1/alerts", ListAsync).RequireScope(Scopes.Operate).WithName("ListAlerts").WithTags("Operate")
            .WithSummary("Alerts, newest first; state (open, recovered), limit, after.")
            .WithDescription("Each trouble is one alert from its opening to its recovery, with counts, first cause, time span, and a link to where to look. next is given while there are more; pass it as after.");

    private static async Task<IResult> ListAsync(HttpContext http, NpgsqlDataSource database, TimeProvider clock, IConfiguration configuration, string? state, int? limit, string? after)
    {
        var errors = new Dictionary<string, string[]>();
        if (limit is < 1 or > Page) errors["limit"] = ["must be 1 to 500"];
        if (state is not (null or "open" or "recovered")) errors["state"] = ["must be open or recovered"];
        var cursor = after is null ? null : Cursor(after);
        if (after is not null && cursor is null) errors["after"] = ["must be the next of an earlier answer"];
        if (errors.Count > 0) return Problem.Invalid(errors);

        await using var connection = await database.OpenConnectionAsync(http.RequestAborted);
        var size = limit ?? 50;
        var troubles = await TroubleTable.ListAsync(connection, state is null ? null : state == "open", cursor, size + 1, http.RequestAborted);
        var (now, publicUrl) = (clock.GetUtcNow(), configuration.PublicUrl());
        return Results.Ok(new
        {
            items = troubles.Take(size).Select(t => Show(AlertNotice.Of(t, 0, publicUrl), t, now)),
            next = troubles.Count > size ? Cursor(troubles[size - 1]) : null,
        });
    }

    private static AlertResource Show(AlertNotice n, Trouble t, DateTimeOffset now) => new(
        n.AlertId, t.RecoveredAt is null ? "open" : "recovered", n.Subject, n.Kind, n.Provider, n.Lane, n.Priority, n.Summary, n.FirstCause, n.Failures, n.Attempts,
        n.FirstFailureAt, n.LastFailureAt, n.OpenedAt, n.RecoveredAt, t.RecoveredAt is null && t.LastCallAt is { } last ? now - last > Silence : null, n.Link, n.WhatToDo);

    private static string Cursor(Trouble t) => string.Create(CultureInfo.InvariantCulture, $"{t.OpenedAt.UtcTicks}-{t.Id:N}");

    private static (DateTimeOffset At, Guid Id)? Cursor(string text) =>
        text.Split('-') is [var ticksText, var idText] && long.TryParse(ticksText, NumberStyles.None, CultureInfo.InvariantCulture, out var ticks)
        && ticks > 0 && ticks < DateTimeOffset.MaxValue.UtcTicks && Guid.TryParseExact(idText, "N", out var id)
            ? (new DateTimeOffset(ticks, TimeSpan.Zero), id) : null;
}
