namespace Notify.Api.Access;

using Marten;
using Notify.Api.Contract;
using Notify.Domain.Notifications;
using Notify.Projections.NotificationViews;

/// <summary>
/// The notifications that a caller may see: its own; with the scope <c>audit</c> also another client's, where it names it. Every question
/// about notifications is asked through here.
/// </summary>
/// <param name="ClientId">The client that sent them; <c>null</c>: any.</param>
/// <param name="UserRef">The user whom they are for; <c>null</c>: anybody.</param>
public sealed record Visibility(string? ClientId, string? UserRef)
{
    private const string Everybody = "all";

    private const string Lacking = "Reading another client's notifications needs the scope \"audit\".";

    /// <summary>The caller's own notifications, or those of the client that it names.</summary>
    /// <param name="client">The client that the request names; <c>null</c>: the caller itself.</param>
    /// <param name="userRef">Only those for this user.</param>
    /// <returns>The notifications, or the problem.</returns>
    public static (Visibility? Seen, IResult? Problem) Of(HttpContext http, string? client, string? userRef = null)
    {
        var caller = Callers.Of(http);
        if (client is null || client == caller.ClientId)
            return (new Visibility(caller.ClientId, userRef), null);
        if (!Callers.MayAudit(http))
            return (null, Contract.Problem.Of(StatusCodes.Status403Forbidden, "missing_scope", Lacking));
        AccessLog.Shows(http, client);
        return (new Visibility(client, userRef), null);
    }

    /// <summary>
    /// A user's history: the notifications that the caller itself sent to them; with the scope <c>audit</c> those of every client. An app
    /// sees as much as the client that made its token.
    /// </summary>
    /// <returns>The notifications, or the problem.</returns>
    public static (Visibility? Seen, IResult? Problem) OfUser(HttpContext http, string? client, string userRef)
    {
        if (client is not null || !Callers.MayAudit(http))
            return Of(http, client, userRef);
        if (Callers.TokenOf(http) is null)
            AccessLog.Shows(http, Everybody); // an app shows people what is their own
        return (new Visibility(null, userRef), null);
    }

    /// <summary>The key of one notification of a client.</summary>
    public string KeyOf(string eventId) => NotificationKey.Of(ClientId!, eventId);

    /// <summary>The key of a notification of the caller's own.</summary>
    public static string OwnKey(HttpContext http, string eventId) => NotificationKey.Of(Callers.Of(http).ClientId, eventId);

    /// <summary>Their views.</summary>
    public IQueryable<NotificationView> In(IQuerySession session)
    {
        IQueryable<NotificationView> views = session.Query<NotificationView>();
        if (ClientId is not null)
            views = views.Where(v => v.ClientId == ClientId);
        return UserRef is null ? views : views.Where(v => v.UserId == UserRef);
    }
}
