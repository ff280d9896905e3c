namespace Notify.Api.Contract;

using System.Text.Json;
using Notify.Delivery.Recipients;
using Notify.Domain.Channels;
using Notify.Infrastructure.Json;

/// <summary>Makes the addresses of devices as they are stored.</summary>
public static class DeviceAddresses
{
    /// <summary>Returns a device's address, which is stored encrypted: its token, or its subscription as JSON.</summary>
    public static string Of(Platform platform, string? token, WebPushSubscription? subscription) =>
        token is not null
            ? DeviceIds.Spelled(platform, token)
            : JsonSerializer.Serialize(subscription! with { ExpirationTime = null }, NotifyJson.Options);
}
