namespace Notify.Dispatch.Providers.WebPush;

using System.Buffers.Text;
using System.Text.Json;

/// <summary>A browser's push subscription: its address and its keys (W3C Push API).</summary>
/// <param name="Endpoint">The push service's address for this browser; it permits sending, so it is never logged.</param>
/// <param name="Key"><c>p256dh</c>: the browser's public key, 65 bytes.</param>
/// <param name="Authentication"><c>auth</c>: 16 bytes that the browser and the sender share.</param>
public sealed record PushSubscription(Uri Endpoint, byte[] Key, byte[] Authentication)
{
    private const int AuthenticationLength = 16;

    /// <summary>Reads a device's address as it is kept: the subscription's JSON. <c>null</c> when it is none.</summary>
    public static PushSubscription? Read(string address)
    {
        try
        {
            using var json = JsonDocument.Parse(address);
            var root = json.RootElement;
            return
                root.ValueKind == JsonValueKind.Object
                && Text(root, "endpoint") is { } endpoint
                && Uri.TryCreate(endpoint, UriKind.Absolute, out var uri)
                && root.TryGetProperty("keys", out var keys)
                && keys.ValueKind == JsonValueKind.Object
                && Bytes(keys, "p256dh", PushEncryption.PublicKeyLength) is { } key
                && Bytes(keys, "auth", AuthenticationLength) is { } authentication
                ? new PushSubscription(uri, key, authentication)
                : null;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException) // the latter: half a surrogate pair
        {
            return null;
        }
    }

    /// <summary>Hides what is personal.</summary>
    public override string ToString() => $"a subscription at {Endpoint.Host}";

    private static string? Text(JsonElement element, string name) =>
        element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static byte[]? Bytes(JsonElement element, string name, int length) =>
        Text(element, name) is { } text && Base64Url.IsValid(text, out var decoded) && decoded == length
            ? Base64Url.DecodeFromChars(text)
            : null;
}
