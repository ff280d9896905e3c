using Microsoft.Extensions.Configuration;
using Notify.Domain.Notifications;
using Notify.Projections.Alerts;

namespace Notify.Projections.Tracking;

/// <summary>The links by which people unsubscribe: <c>{Notify:PublicUrl}/u/{token}</c>.</summary>
public sealed class UnsubscribeLinks(DeliveryTokens tokens, IConfiguration configuration)
{
    private readonly string start = $"{configuration.PublicUrl().AbsoluteUri.TrimEnd('/')}/u/";

    /// <summary>The link of a delivery; <c>null</c> where none is due: only emails have one, and not critical ones such as one-time codes. Those of required categories are sent without it, too.</summary>
    public Uri? Of(Guid deliveryId, Lane? lane, Priority priority) =>
        lane == Lane.Email && priority != Priority.Critical ? new Uri(start + tokens.Make(DeliveryTokens.Unsubscribe, deliveryId)) : null;
}
