namespace Notify.Api.Notifications;

using System.Text.Json;
using JasperFx.Events;
using Marten;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Reference;
using Notify.Delivery.EventStore;
using Notify.Delivery.Privacy;
using Notify.Delivery.Tracking;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Infrastructure.Json;
using Notify.Infrastructure.Postgres;
using Notify.Projections.Replay;
using Npgsql;

/// <summary>A notification's stream.</summary>
/// <param name="Events">Oldest first.</param>
public sealed record RecordedEvents(IReadOnlyList<RecordedEvent> Events);

/// <summary>One notification and its events, read from its stream: right at once, and as it was at any time.</summary>
public static class GetNotification
{
    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder app)
    {
        app.MapGet("/v1/notifications/{eventId}", StateAsync)
            .RequireScope(Scopes.Read)
            .WithName("GetNotification")
            .WithTags("Ask")
            .WithSummary("A notification's state")
            .WithDescription(
                "Folded live from its stream, so it is right immediately after the 202. asOfVersion or asOf rebuilds the state "
                    + "as it was then."
            )
            .Query("client", ClientRule, "c_k3v9x2m7q4w8z5ab")
            .Query("asOfVersion", "The state after so many events.", 1)
            .Query("asOf", "The state at this time.", AsOfExample)
            .Answers(200, "The state.", NotificationResource.Example)
            .FailsNotFound("notification with this event ID, or none at that time,");
        app.MapGet("/v1/notifications/{eventId}/events", EventsAsync)
            .RequireScope(Scopes.Read)
            .WithName("GetNotificationEvents")
            .WithTags("Ask")
            .WithSummary("A notification's events")
            .WithDescription(
                "Every event of its stream, oldest first, each with a sentence that says what happened. With `Accept: "
                    + "application/x-ndjson` one event a line. Addresses and content are sealed."
            )
            .Query("client", ClientRule, "c_k3v9x2m7q4w8z5ab")
            .Answers(200, "The events.", new RecordedEvents([Example]))
            .AnswersText(200, "application/x-ndjson", "The events.", JsonSerializer.Serialize(Example, NotifyJson.Options) + "\n")
            .FailsNotFound("notification with this event ID");
    }

    /// <summary>What <c>client</c> means in a query.</summary>
    internal const string ClientRule = "Another client's notifications; needs the scope `audit` too.";

    private static DateTimeOffset AsOfExample => new(2126, 12, 1, 9, 0, 1, TimeSpan.Zero);

    private static RecordedEvent Example =>
        new(
            4711,
            3,
            nameof(NotificationDispatched),
            new DateTimeOffset(2026, 12, 1, 9, 0, 0, 214, TimeSpan.Zero),
            "The SMS was accepted by twilio at attempt 1, after 131 ms (their ID SM5f0c1d2e3b4a59687f6e5d4c3b2a1908).",
            new NotificationDispatched(
                Guid.Parse("0b1f7c3e-52ab-8d0e-9c41-6a7d2f90e513"),
                1,
                "twilio",
                "SM5f0c1d2e3b4a59687f6e5d4c3b2a1908",
                131,
                "m3b9kq",
                new DateTimeOffset(2026, 12, 1, 9, 0, 0, 214, TimeSpan.Zero)
            )
        );

    private static async Task<IResult> StateAsync(
        string eventId,
        HttpContext http,
        ReadDatabase database,
        UserReferences users,
        SubjectKeys keys,
        string? client,
        string? asOfVersion,
        string? asOf
    )
    {
        var (seen, problem) = Visibility.Of(http, client);
        if (seen is null)
            return problem!;
        var key = seen.KeyOf(await users.FindEventIdAsync(eventId, http.RequestAborted));
        long? version = null;
        DateTimeOffset? time = null;
        var errors = new Dictionary<string, string[]>();
        if (asOfVersion is not null)
        {
            if (long.TryParse(asOfVersion, out var v) && v > 0)
                version = v;
            else
                errors["asOfVersion"] = ["must be a whole number from 1"];
        }

        if (asOf is not null)
        {
            if (QueryText.Time(asOf) is { } t)
                time = t;
            else
                errors["asOf"] = [QueryText.TimeRule];
        }

        if (errors.Count > 0)
            return Problem.Invalid(errors);
        await using var read = await database.OpenAsync(http.RequestAborted);
        var state = await NotificationStreams.LoadAsync(read.Session, key, http.RequestAborted, version, time);
        if (state is null)
            return Problem.NotFound("notification with this event ID, or none at that time,");
        var userIds = await keys.UserIdsAsync(read.Connection, [state.Request.UserRef], http.RequestAborted);
        var shown = NotificationResource.Of(state, userIds);
        if (version is not null || time is not null)
            return Results.Ok(shown);
        var hits = await HitsAsync(
            read.Connection,
            [
                .. state
                    .Deliveries.Values.Where(d => d.Channel != Channel.Push && (d.DispatchedAt ?? d.AttemptedAt) is not null)
                    .Select(d => d.Id),
            ],
            http.RequestAborted
        );
        return Results.Ok(shown with { Deliveries = [.. shown.Deliveries.Select(d => d.With(hits[d.DeliveryId]))] });
    }

    private static async Task<ILookup<Guid, TrackedHit>> HitsAsync(
        NpgsqlConnection connection,
        Guid[] deliveries,
        CancellationToken cancellation
    )
    {
        if (deliveries.Length == 0)
            return Array.Empty<TrackedHit>().ToLookup(_ => Guid.Empty);
        return await TrackedHits.OfAsync(connection, deliveries, cancellation);
    }

    private static async Task<IResult> EventsAsync(
        string eventId,
        HttpContext http,
        ReadDatabase database,
        UserReferences users,
        string? client
    )
    {
        var (seen, problem) = Visibility.Of(http, client);
        if (seen is null)
            return problem!;
        var key = seen.KeyOf(await users.FindEventIdAsync(eventId, http.RequestAborted));
        List<StoredEvent> events;
        await using (var read = await database.OpenAsync(http.RequestAborted))
            events = await StoredEvents.OfStreamsAsync(read.Session, [key], http.RequestAborted);
        if (events.Count == 0)
            return Problem.NotFound("notification with this event ID");
        var shown = RecordedEvent.Of(key, events);
        if (!http.Request.Headers.Accept.ToString().Contains("application/x-ndjson", StringComparison.OrdinalIgnoreCase))
            return Results.Ok(new RecordedEvents(shown));

        return new EventLines(shown);
    }

    // Written only after the access was recorded, as every result is.
    private sealed class EventLines(IReadOnlyList<RecordedEvent> events) : IResult
    {
        public async Task ExecuteAsync(HttpContext httpContext)
        {
            httpContext.Response.ContentType = "application/x-ndjson";
            foreach (var e in events)
            {
                await JsonSerializer.SerializeAsync(httpContext.Response.Body, e, NotifyJson.Options, httpContext.RequestAborted);
                await httpContext.Response.Body.WriteAsync("\n"u8.ToArray(), httpContext.RequestAborted);
            }
        }
    }
}
