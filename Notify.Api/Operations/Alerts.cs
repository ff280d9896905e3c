namespace Notify.Api.Operations;

using System.Globalization;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Reference;
using Notify.Delivery.Monitoring;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>An alert as it is shown.</summary>
/// <param name="AlertId">The same from the opening to the recovery.</param>
/// <param name="State"><c>open</c> or <c>recovered</c>.</param>
/// <param name="Subject">The subject of the alert, in one word for each kind.</param>
/// <param name="Provider">The provider, where it concerns one.</param>
/// <param name="Summary">A description in one sentence.</param>
/// <param name="FirstCause">The reason and the provider's code of the first failure.</param>
/// <param name="Failures">Attempts that failed since it began.</param>
/// <param name="Attempts">All attempts since it began.</param>
/// <param name="FirstFailureAt">When the first of them failed.</param>
/// <param name="LastFailureAt">When the last of them failed.</param>
/// <param name="OpenedAt">When it was opened.</param>
/// <param name="RecoveredAt">When it recovered; absent while it is open.</param>
/// <param name="Link">A list with details; absent where there is none.</param>
/// <param name="WhatToDo">The recommended action.</param>
/// <param name="WithoutTraffic">Whether it is open and nothing has been tried for a while, so that its end cannot be detected.</param>
public sealed record AlertResource(
    Guid AlertId,
    string State,
    string Subject,
    TroubleKind Kind,
    string? Provider,
    Lane? Lane,
    Priority? Priority,
    string Summary,
    string FirstCause,
    long Failures,
    long Attempts,
    DateTimeOffset FirstFailureAt,
    DateTimeOffset LastFailureAt,
    DateTimeOffset OpenedAt,
    DateTimeOffset? RecoveredAt,
    bool? WithoutTraffic,
    Uri? Link,
    string WhatToDo
);

/// <summary>Alerts, newest first.</summary>
/// <param name="Items">A page of them.</param>
/// <param name="Next">Pass it as <c>after</c> for the next page; absent on the last.</param>
public sealed record AlertList(IReadOnlyList<AlertResource> Items, string? Next);

/// <summary>Open and recovered alerts to developers.</summary>
public static class Alerts
{
    private const int Page = 500;
    private static readonly TimeSpan Silence = TimeSpan.FromMinutes(5);

    /// <summary>Maps <c>GET /v1/alerts</c>.</summary>
    public static void Map(IEndpointRouteBuilder app) =>
        app.MapGet("/v1/alerts", ListAsync)
            .RequireScope(Scopes.Operate)
            .WithName("ListAlerts")
            .WithTags("Operate")
            .WithSummary("List alerts")
            .WithDescription(
                "Newest first. Each trouble is one alert from its opening to its recovery, with counts, first cause, time "
                    + "span, and a link to where to look. next is given while there are more; pass it as after."
            )
            .Query("state", "open or recovered; absent: both.", "open")
            .Query("limit", "How many at most: 1 to 500; absent: 50.", 50)
            .Query("after", "The next of an earlier answer.", "639157284000000000-0b1f7c3e52ab8d0e9c416a7d2f90e513")
            .Answers(
                200,
                "The alerts.",
                new AlertList(
                    [
                        new AlertResource(
                            Guid.Parse("0b1f7c3e-52ab-8d0e-9c41-6a7d2f90e513"),
                            "open",
                            "provider twilio",
                            TroubleKind.ProviderFailing,
                            "twilio",
                            Lane.Sms,
                            null,
                            "twilio fails: 48 of 50 attempts in a row of a minute.",
                            "Retry 20503",
                            48,
                            50,
                            Then,
                            Then.AddMinutes(1),
                            Then.AddSeconds(20),
                            null,
                            false,
                            new Uri("https://notify.example.com/v1/dead-letters?lane=sms"),
                            "Look at the provider's status page."
                        ),
                    ],
                    null
                )
            );

    private static DateTimeOffset Then => new(2026, 12, 1, 9, 0, 0, TimeSpan.Zero);

    private static async Task<IResult> ListAsync(
        HttpContext http,
        ReadDatabase database,
        TimeProvider clock,
        IConfiguration configuration,
        string? state,
        int? limit,
        string? after
    )
    {
        var errors = new Dictionary<string, string[]>();
        if (limit is < 1 or > Page)
            errors["limit"] = ["must be 1 to 500"];
        if (state is not (null or "open" or "recovered"))
            errors["state"] = ["must be open or recovered"];
        var cursor = after is null ? null : Cursor(after);
        if (after is not null && cursor is null)
            errors["after"] = ["must be the next of an earlier answer"];
        if (errors.Count > 0)
            return Problem.Invalid(errors);

        await using var read = await database.OpenAsync(http.RequestAborted);
        var size = limit ?? 50;
        var troubles = await TroubleTable.ListAsync(
            read.Connection,
            state is null ? null : state == "open",
            cursor,
            size + 1,
            http.RequestAborted
        );
        var (now, publicUrl) = (clock.GetUtcNow(), configuration.PublicUrl());
        return Results.Ok(
            new AlertList(
                [.. troubles.Take(size).Select(t => Show(AlertNotice.Of(t, 0, publicUrl), t, now))],
                troubles.Count > size ? Cursor(troubles[size - 1]) : null
            )
        );
    }

    private static AlertResource Show(AlertNotice n, Trouble t, DateTimeOffset now) =>
        new(
            n.AlertId,
            t.RecoveredAt is null ? "open" : "recovered",
            n.Subject,
            n.Kind,
            n.Provider,
            n.Lane,
            n.Priority,
            n.Summary,
            n.FirstCause,
            n.Failures,
            n.Attempts,
            n.FirstFailureAt,
            n.LastFailureAt,
            n.OpenedAt,
            n.RecoveredAt,
            t.RecoveredAt is null && t.LastCallAt is { } last ? now - last > Silence : null,
            n.Link,
            n.WhatToDo
        );

    private static string Cursor(Trouble t) => string.Create(CultureInfo.InvariantCulture, $"{t.OpenedAt.UtcTicks}-{t.Id:N}");

    private static (DateTimeOffset At, Guid Id)? Cursor(string text) =>
        text.Split('-') is [var ticksText, var idText]
        && long.TryParse(ticksText, NumberStyles.None, CultureInfo.InvariantCulture, out var ticks)
        && ticks > 0
        && ticks < DateTimeOffset.MaxValue.UtcTicks
        && Guid.TryParseExact(idText, "N", out var id)
            ? (new DateTimeOffset(ticks, TimeSpan.Zero), id)
            : null;
}
