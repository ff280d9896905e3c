namespace Notify.Dispatch.Providers.Fcm;

using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Notify.Domain.Channels;
using Notify.Domain.Content;

/// <summary>The message as FCM wants it: a notification that Android shows by itself, and the data that the app gets with it.</summary>
/// <remarks>Firebase: REST resource projects.messages. Repeats of a delivery replace each other on the device by the notification's
/// <c>tag</c>;
/// there is no <c>collapse_key</c>, since FCM keeps only four different ones for a device that is away.</remarks>
public static class FcmPayload
{
    /// <summary>The largest message, in bytes, not counting its token.</summary>
    public const int MaxBytes = 4096;

    /// <summary>How long FCM keeps a message at most for a device that is away.</summary>
    public static readonly TimeSpan MaxTtl = TimeSpan.FromDays(28);

    /// <summary>With this begin the names of data whose own name FCM or Notify has taken.</summary>
    public const string TakenPrefix = "data.";

    /// <summary>Writes a message.</summary>
    /// <returns>The body of the call; <c>null</c> if FCM would call it too large.</returns>
    public static ReadOnlyMemory<byte>? Write(OutboundMessage message, DateTimeOffset now)
    {
        var buffer = new ArrayBufferWriter<byte>(1024);
        using (var json = new Utf8JsonWriter(buffer, ProviderJson.Writing))
        {
            json.WriteStartObject();
            json.WriteStartObject("message"u8);
            json.WriteString("token"u8, message.Address);
            WriteContent(json, message);
            WriteAndroid(json, message, now);
            json.WriteEndObject();
            json.WriteEndObject();
        }

        // Without its type the null would become an empty message.
        return buffer.WrittenCount - Encoding.UTF8.GetByteCount(message.Address) > MaxBytes
            ? (ReadOnlyMemory<byte>?)null
            : buffer.WrittenMemory;
    }

    private static void WriteContent(Utf8JsonWriter json, OutboundMessage message)
    {
        var content = message.Content;
        if (content.IsShown)
        {
            json.WriteStartObject("notification"u8);
            if (content.Title is { Length: > 0 } title)
                json.WriteString("title"u8, title);
            if (content.Body is { Length: > 0 } body)
                json.WriteString("body"u8, body);
            if (content.Push?.Image is { } image)
                json.WriteString("image"u8, image);
            json.WriteEndObject();
        }

        json.WriteStartObject("data"u8);
        json.WriteString("deliveryId"u8, message.DeliveryId);
        if (content.Url is { } url)
            json.WriteString("url"u8, url);
        if (content.Data is { ValueKind: JsonValueKind.Object } data)
            WriteData(json, data);
        json.WriteEndObject();
    }

    // FCM's data are strings: any other value becomes its JSON text.
    private static void WriteData(Utf8JsonWriter json, JsonElement data)
    {
        foreach (var property in data.EnumerateObject())
        {
            var name = property.Name;
            if (IsTaken(name))
            {
                do name = TakenPrefix + name;
                while (data.TryGetProperty(name, out _));
            }

            json.WriteString(
                name,
                property.Value.ValueKind == JsonValueKind.String ? property.Value.GetString() : ProviderJson.TextOf(property.Value)
            );
        }
    }

    // FCM refuses a message with one of its reserved names; the other two are Notify's own.
    private static bool IsTaken(string name) =>
        name is "deliveryId" or "url"
        || name.Equals("from", StringComparison.OrdinalIgnoreCase)
        || name.Equals("message_type", StringComparison.OrdinalIgnoreCase)
        || name.StartsWith("google", StringComparison.OrdinalIgnoreCase)
        || name.StartsWith("gcm", StringComparison.OrdinalIgnoreCase);

    private static void WriteAndroid(Utf8JsonWriter json, OutboundMessage message, DateTimeOffset now)
    {
        json.WriteStartObject("android"u8);
        json.WriteString("priority"u8, message.Priority == Priority.Bulk ? "NORMAL"u8 : "HIGH"u8);
        if (PushLifetime.End(message.ExpiresAt, message.Content.Push, now) is { } expires)
        {
            var seconds = (long)Math.Clamp((expires - now).TotalSeconds, 0, MaxTtl.TotalSeconds);
            json.WriteString("ttl"u8, string.Create(CultureInfo.InvariantCulture, $"{seconds}s"));
        }

        if (message.Content.IsShown)
            WriteLook(json, message);
        json.WriteEndObject();
    }

    private static void WriteLook(Utf8JsonWriter json, OutboundMessage message)
    {
        var (push, android) = (message.Content.Push, message.Content.Push?.Android);
        json.WriteStartObject("notification"u8);
        json.WriteString("tag"u8, push?.CollapseKey ?? message.DeliveryId.ToString("N"));
        if (push?.Sound is { } sound && sound != PushOptions.NoSound)
            json.WriteString("sound"u8, sound);
        if (push?.Badge is { } badge)
            json.WriteNumber("notification_count"u8, badge);
        if (android?.ChannelId is { } channel)
            json.WriteString("channel_id"u8, channel);
        if (android?.Icon is { } icon)
            json.WriteString("icon"u8, icon);
        if (android?.Color is { } color)
            json.WriteString("color"u8, color);
        if (android?.ClickAction is { } action)
            json.WriteString("click_action"u8, action);
        json.WriteEndObject();
    }
}
