namespace Notify.Api.Notifications;

using Marten;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Reference;
using Notify.Delivery.Privacy;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Infrastructure.Postgres;

/// <summary>A page of notifications.</summary>
/// <param name="Items">Newest first.</param>
/// <param name="Next">Where the next page begins: give it as <c>after</c>. Absent on the last page.</param>
public sealed record NotificationPage(IReadOnlyList<NotificationResource> Items, string? Next);

/// <summary>Lists of notifications and users' histories, from the read model; they may lag by moments.</summary>
public static class ListNotifications
{
    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder app)
    {
        app.MapGet(
                "/v1/notifications",
                (HttpContext http, ReadDatabase database, UserReferences users, SubjectKeys keys) =>
                    ListAsync(http, database, users, keys, null)
            )
            .RequireScope(Scopes.Read)
            .WithName("ListNotifications")
            .WithTags("Ask")
            .WithSummary("List notifications")
            .WithDescription(
                "Newest first, from the read model, which may lag by moments; ask for a single notification to see it as it is now."
            )
            .Query("userId", "Only this user's.", "u-42")
            .WithFilters()
            .Answers(200, "A page.", Example);
        app.MapGet(
                "/v1/users/{userId}/notifications",
                (string userId, HttpContext http, ReadDatabase database, UserReferences users, SubjectKeys keys) =>
                    ListAsync(http, database, users, keys, userId)
            )
            .RequireScope(Scopes.Recipients)
            .OrToken(TokenGrants.History)
            .WithName("ListUserNotifications")
            .WithTags("Recipients")
            .WithSummary("A user's history")
            .WithDescription(
                "A user's notifications from this client, newest first, from the read "
                    + "model, which may lag by moments; with the scope `audit` those from every client. An app sees as much as the client "
                    + "that made its token."
            )
            .WithFilters()
            .Answers(200, "A page.", Example);
    }

    private static NotificationPage Example =>
        new([NotificationResource.Example with { Version = null }], "NjM4OTk0MjQwMDAwMDAwMDAwIG4vYzpvcmRlci0xMjM");

    private static RouteHandlerBuilder WithFilters(this RouteHandlerBuilder endpoint) =>
        endpoint
            .Query("status", "Only those that stand here.", NotificationStatus.Delivered)
            .Query("channel", "Only those with a delivery on this channel.", Channel.Sms)
            .Query("category", "Only those of this category.", "shipping")
            .Query("from", "Only those requested at this time or later.", new DateTimeOffset(2026, 12, 1, 0, 0, 0, TimeSpan.Zero))
            .Query("to", "Only those requested before this time.", new DateTimeOffset(2126, 12, 2, 0, 0, 0, TimeSpan.Zero))
            .Query("limit", "How many at most: 1 to 500; absent: 50.", 50)
            .Query("after", "The `next` of the answer before, for the page after it.", "NjM4OTk0MjQwMDAwMDAwMDAwIG4vYzpvcmRlci0xMjM")
            .Query("client", GetNotification.ClientRule, "c_k3v9x2m7q4w8z5ab");

    private static async Task<IResult> ListAsync(
        HttpContext http,
        ReadDatabase database,
        UserReferences users,
        SubjectKeys keys,
        string? historyOf
    )
    {
        var query = http.Request.Query;
        var errors = new Dictionary<string, string[]>();
        string[] known = ["userId", "status", "channel", "category", "from", "to", "limit", "after", "client"];
        foreach (var name in query.Keys.Where(k => !known.Contains(k)))
            errors[name] = [$"is not known here; known are {string.Join(", ", known)}"];

        var limit = 50;
        if (query["limit"].FirstOrDefault() is { } limitText && !(int.TryParse(limitText, out limit) && limit is >= 1 and <= 500))
            errors["limit"] = ["must be 1 to 500"];
        var status = Choice<NotificationStatus>("status");
        var channel = Choice<Channel>("channel");
        var from = Time("from");
        var to = Time("to");
        (DateTimeOffset At, string Id)? after = null;
        if (query["after"].FirstOrDefault() is { } cursor && (after = PageCursor.Read(cursor)) is null)
            errors["after"] = [PageCursor.Rule];
        var client = query["client"].FirstOrDefault();
        var userRef = (historyOf ?? query["userId"].FirstOrDefault()) is { } userId
            ? await users.FindAsync(userId, http.RequestAborted)
            : null;
        var (seen, problem) = historyOf is null ? Visibility.Of(http, client, userRef) : Visibility.OfUser(http, client, userRef!);
        if (seen is null)
            return problem!;
        if (errors.Count > 0)
            return Problem.Invalid(errors);

        await using var read = await database.OpenAsync(http.RequestAborted);
        var views = seen.In(read.Session);
        if (status is not null && EnumNames.Of(status) is { } s)
            views = views.Where(v => v.Status == s);
        if (query["category"].FirstOrDefault() is { } category)
            views = views.Where(v => v.Category == category);
        if (channel is not null && EnumNames.Of(channel) is { } c)
            views = views.Where(v => v.Channels.Contains(c));
        if (from is { } f)
            views = views.Where(v => v.RequestedAt >= f);
        if (to is { } t)
            views = views.Where(v => v.RequestedAt < t);
        if (after is var (at, id))
            views = views.Where(v => v.RequestedAt < at || (v.RequestedAt == at && string.Compare(v.Id, id) > 0));

        var page = await views.OrderByDescending(v => v.RequestedAt).ThenBy(v => v.Id).Take(limit + 1).ToListAsync(http.RequestAborted);
        var userIds = await keys.UserIdsAsync(read.Connection, page.Take(limit).Select(v => v.UserId), http.RequestAborted);
        var items = page.Take(limit).Select(v => NotificationResource.Of(v.State, userIds, withVersion: false)).ToList();
        var next = page.Count > limit ? PageCursor.Of(page[limit - 1].RequestedAt, page[limit - 1].Id) : null;
        return Results.Ok(new NotificationPage(items, next));

        T? Choice<T>(string name)
            where T : struct, Enum
        {
            if (query[name].FirstOrDefault() is not { } text)
                return null;
            if (Enum.TryParse<T>(text, ignoreCase: true, out var value) && !int.TryParse(text, out _))
                return value;
            errors[name] =
            [
                $"must be one of {string.Join(", ", Enum.GetNames<T>().Select(System.Text.Json.JsonNamingPolicy.CamelCase.ConvertName))}",
            ];
            return null;
        }

        DateTimeOffset? Time(string name)
        {
            if (query[name].FirstOrDefault() is not { } text)
                return null;
            if (QueryText.Time(text) is { } time)
                return time;
            errors[name] = [QueryText.TimeRule];
            return null;
        }
    }
}
