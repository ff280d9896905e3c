using System.Text.Json;
using JasperFx.Events;
using Marten;
using Notify.Api.Contract;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Projections;

namespace Notify.Api.Notifications;

/// <summary>One notification and its events, read from its stream: right at once, and as it was at any time.</summary>
public static class GetNotification
{
    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder app)
    {
        app.MapGet("/v1/notifications/{eventId}", StateAsync).RequireScope(Scopes.Read).WithName("GetNotification").WithTags("Ask")
            .WithSummary("A notification's state, folded live from its stream; asOfVersion or asOf rebuilds it as it was then.");
        app.MapGet("/v1/notifications/{eventId}/events", EventsAsync).RequireScope(Scopes.Read).WithName("GetNotificationEvents").WithTags("Ask")
            .WithSummary("A notification's events, as JSON or NDJSON.");
    }

    /// <summary>The key that a caller means; another client's needs the scope audit.</summary>
    public static (string? Key, IResult? Problem) KeyOf(HttpContext http, string eventId, string? client)
    {
        var caller = Callers.Of(http);
        if (client is null || client == caller.ClientId) return (NotificationKey.Of(caller.ClientId, eventId), null);
        return caller.Scopes.Contains(Scopes.Audit)
            ? (NotificationKey.Of(client, eventId), null)
            : (null, Contract.Problem.Of(StatusCodes.Status403Forbidden, "missing_scope", "Reading another client's notifications needs the scope \"audit\"."));
    }

    private static async Task<IResult> StateAsync(string eventId, HttpContext http, IDocumentStore store, string? client, string? asOfVersion, string? asOf)
    {
        var (key, problem) = KeyOf(http, eventId, client);
        if (key is null) return problem!;
        long? version = null;
        DateTimeOffset? time = null;
        var errors = new Dictionary<string, string[]>();
        if (asOfVersion is not null)
        {
            if (long.TryParse(asOfVersion, out var v) && v > 0) version = v;
            else errors["asOfVersion"] = ["must be a whole number from 1"];
        }

        if (asOf is not null)
        {
            if (QueryText.Time(asOf) is { } t) time = t;
            else errors["asOf"] = [QueryText.TimeRule];
        }

        if (errors.Count > 0) return Problem.Invalid(errors);
        await using var session = store.QuerySession();
        var state = await NotificationStreams.LoadAsync(session, key, http.RequestAborted, version, time);
        return state is null ? Problem.NotFound("notification with this event ID, or none at that time,") : Results.Ok(NotificationResource.Of(state));
    }

    private static async Task<IResult> EventsAsync(string eventId, HttpContext http, IDocumentStore store, string? client)
    {
        var (key, problem) = KeyOf(http, eventId, client);
        if (key is null) return problem!;
        await using var session = store.QuerySession();
        var events = await session.Events.FetchStreamAsync(key, token: http.RequestAborted);
        if (events.Count == 0) return Problem.NotFound("notification with this event ID");
        var shown = events.Select(Show);
        if (!http.Request.Headers.Accept.ToString().Contains("application/x-ndjson", StringComparison.OrdinalIgnoreCase)) return Results.Ok(new { events = shown });

        http.Response.ContentType = "application/x-ndjson";
        foreach (var e in shown)
        {
            await JsonSerializer.SerializeAsync(http.Response.Body, e, NotifyJson.Options, http.RequestAborted);
            await http.Response.Body.WriteAsync("\n"u8.ToArray(), http.RequestAborted);
        }

        return Results.Empty;
    }

    private static object Show(IEvent e) => new { e.Sequence, e.Version, Type = e.Data.GetType().Name, e.Timestamp, Data = (object)e.Data };
}

/// <summary>Values in query strings.</summary>
public static class QueryText
{
    public const string TimeRule = "must be a time in ISO 8601, such as 2026-12-01T09:00:00Z";

    /// <summary>A time with its offset; a plus that was not encoded arrives as a blank.</summary>
    public static DateTimeOffset? Time(string text) => DateTimeOffset.TryParse(
        text.Replace(' ', '+'), System.Globalization.CultureInfo.InvariantCulture, System.Globalization.DateTimeStyles.AssumeUniversal, out var time) ? time.ToUniversalTime() : null;
}
