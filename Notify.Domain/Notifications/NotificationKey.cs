namespace Notify.Domain.Notifications;

/// <summary>
/// The key of a notification's stream: <c>n/{clientId}:{eventId}</c>. Event IDs belong to the client that chose them;
/// a client ID contains no colon, so the key can be taken apart again.
/// </summary>
public static class NotificationKey
{
    /// <summary>The stream key of a client's event ID.</summary>
    public static string Of(string clientId, string eventId) => $"n/{clientId}:{eventId}";

    /// <summary>The client and event ID of a stream key; <c>null</c> where the key is not a notification's.</summary>
    public static (string ClientId, string EventId)? Parse(string key)
    {
        if (!key.StartsWith("n/", StringComparison.Ordinal))
            return null;
        var colon = key.IndexOf(':', StringComparison.Ordinal);
        return colon < 0 ? null : (key[2..colon], key[(colon + 1)..]);
    }
}
