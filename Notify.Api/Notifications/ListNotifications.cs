using System.Buffers.Text;
using System.Globalization;
using System.Text;
using Marten;
using Notify.Api.Contract;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Projections.NotificationViews;

namespace Notify.Api.Notifications;

/// <summary>Lists of notifications and users' histories, from the read model; they may lag by moments.</summary>
public static class ListNotifications
{
    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder app)
    {
        app.MapGet("/v1/notifications", (HttpContext http, IDocumentStore store) => ListAsync(http, store, null)).RequireScope(Scopes.Read).WithName("ListNotifications").WithTags("Ask")
            .WithSummary("Notifications, newest first; userId, status, channel, category, from, to, limit, after.");
        app.MapGet("/v1/users/{userId}/notifications", (string userId, HttpContext http, IDocumentStore store) => ListAsync(http, store, userId))
            .RequireScope(Scopes.Recipients).WithName("ListUserNotifications").WithTags("Recipients")
            .WithSummary("A user's notifications, newest first, from every client.");
    }

    private static async Task<IResult> ListAsync(HttpContext http, IDocumentStore store, string? historyOf)
    {
        var caller = Callers.Of(http);
        var query = http.Request.Query;
        var errors = new Dictionary<string, string[]>();
        string[] known = ["userId", "status", "channel", "category", "from", "to", "limit", "after", "client"];
        foreach (var name in query.Keys.Where(k => !known.Contains(k))) errors[name] = [$"is not known here; known are {string.Join(", ", known)}"];

        var limit = 50;
        if (query["limit"].FirstOrDefault() is { } limitText && !(int.TryParse(limitText, out limit) && limit is >= 1 and <= 500)) errors["limit"] = ["must be 1 to 500"];
        var status = Choice<NotificationStatus>("status");
        var channel = Choice<Channel>("channel");
        var from = Time("from");
        var to = Time("to");
        (DateTimeOffset At, string Id)? after = null;
        if (query["after"].FirstOrDefault() is { } cursor && (after = Cursor(cursor)) is null) errors["after"] = ["must be the next of an earlier answer"];
        var client = query["client"].FirstOrDefault();
        if (client is not null && client != caller.ClientId && !caller.Scopes.Contains(Scopes.Audit))
            return Problem.Of(StatusCodes.Status403Forbidden, "missing_scope", "Reading another client's notifications needs the scope \"audit\".");
        if (errors.Count > 0) return Problem.Invalid(errors);

        await using var session = store.QuerySession();
        IQueryable<NotificationView> views = session.Query<NotificationView>();
        if (historyOf is null)
        {
            var owner = client ?? caller.ClientId;
            views = views.Where(v => v.ClientId == owner);
        }

        var userId = historyOf ?? query["userId"].FirstOrDefault();
        if (userId is not null) views = views.Where(v => v.UserId == userId);
        if (status is not null && NotificationView.Name(status) is { } s) views = views.Where(v => v.Status == s);
        if (query["category"].FirstOrDefault() is { } category) views = views.Where(v => v.Category == category);
        if (channel is not null && NotificationView.Name(channel) is { } c) views = views.Where(v => v.Channels.Contains(c));
        if (from is { } f) views = views.Where(v => v.RequestedAt >= f);
        if (to is { } t) views = views.Where(v => v.RequestedAt < t);
        if (after is var (at, id)) views = views.Where(v => v.RequestedAt < at || (v.RequestedAt == at && string.Compare(v.Id, id) > 0));

        var page = await views.OrderByDescending(v => v.RequestedAt).ThenBy(v => v.Id).Take(limit + 1).ToListAsync(http.RequestAborted);
        var items = page.Take(limit).Select(v => NotificationResource.Of(v.State, withVersion: false));
        var next = page.Count > limit ? Cursor(page[limit - 1]) : null;
        return Results.Ok(new { items, next });

        T? Choice<T>(string name) where T : struct, Enum
        {
            if (query[name].FirstOrDefault() is not { } text) return null;
            if (Enum.TryParse<T>(text, ignoreCase: true, out var value) && !int.TryParse(text, out _)) return value;
            errors[name] = [$"must be one of {string.Join(", ", Enum.GetNames<T>().Select(System.Text.Json.JsonNamingPolicy.CamelCase.ConvertName))}"];
            return null;
        }

        DateTimeOffset? Time(string name)
        {
            if (query[name].FirstOrDefault() is not { } text) return null;
            if (QueryText.Time(text) is { } time) return time;
            errors[name] = [QueryText.TimeRule];
            return null;
        }
    }

    private static string Cursor(NotificationView view) =>
        Base64Url.EncodeToString(Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{view.RequestedAt.UtcTicks} {view.Id}")));

    private static (DateTimeOffset At, string Id)? Cursor(string text)
    {
        if (!Base64Url.IsValid(text)) return null;
        var parts = Encoding.UTF8.GetString(Base64Url.DecodeFromChars(text)).Split(' ', 2);
        return parts.Length == 2 && long.TryParse(parts[0], out var ticks) && ticks > 0 && ticks < DateTimeOffset.MaxValue.UtcTicks ? (new DateTimeOffset(ticks, TimeSpan.Zero), parts[1]) : null;
    }
}
