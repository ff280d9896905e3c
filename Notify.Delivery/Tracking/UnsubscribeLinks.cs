namespace Notify.Delivery.Tracking;

using System.Net;
using Microsoft.Extensions.Configuration;
using Notify.Delivery.Monitoring;
using Notify.Domain.Channels;

/// <summary>The links by which people unsubscribe: <c>{Notify:PublicUrl}/u/{token}</c>.</summary>
public sealed class UnsubscribeLinks(DeliveryTokens tokens, IConfiguration configuration)
{
    /// <summary>Whether mail programs would follow the links: https, and not on this machine (RFC 8058, section 3.1).</summary>
    public bool AreUsable { get; } = configuration.PublicUrl() is { Scheme: "https" } url && !IsThisMachine(url);

    private readonly string start = $"{configuration.PublicUrl().AbsoluteUri.TrimEnd('/')}/u/";

    /// <summary>The link of a delivery; <c>null</c> where none is due, or where links would lead nowhere.</summary>
    /// <remarks>Only emails have one, and not critical ones such as one-time codes.</remarks>
    public Uri? Of(Guid deliveryId, Lane? lane, Priority priority) =>
        AreUsable && lane == Lane.Email && priority != Priority.Critical
            ? new Uri(start + tokens.Make(DeliveryTokens.Unsubscribe, deliveryId))
            : null;

    // RFC 6761, section 6.3: localhost and all names below it; the unspecified addresses lead to the machine itself too.
    private static bool IsThisMachine(Uri url) =>
        IPAddress.TryParse(url.DnsSafeHost, out var address)
            ? IPAddress.IsLoopback(address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address)
                || address.Equals(IPAddress.Any)
                || address.Equals(IPAddress.IPv6Any)
            : url.IsLoopback
                || url.IdnHost.TrimEnd('.') is var host
                    && (host == "localhost" || host.EndsWith(".localhost", StringComparison.OrdinalIgnoreCase));
}
