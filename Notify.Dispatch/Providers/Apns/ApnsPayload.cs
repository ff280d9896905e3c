namespace Notify.Dispatch.Providers.Apns;

using System.Text.Json;
using Notify.Domain.Content;

/// <summary>
/// The payload for an iPhone: under <c>aps</c> the part for iOS, and next to it the part for the app: <c>deliveryId</c>, and
/// <c>url</c>, <c>image</c> and <c>data</c> where set.
/// </summary>
/// <remarks>Apple: Generating a remote notification; Pushing background updates to your App.</remarks>
public static class ApnsPayload
{
    /// <summary>The largest payload, in bytes.</summary>
    public const int MaxBytes = 4096;

    /// <summary>Writes the payload.</summary>
    public static byte[] Write(OutboundMessage message)
    {
        var content = message.Content;
        using var buffer = new MemoryStream(512);
        using (var json = new Utf8JsonWriter(buffer, ProviderJson.Writing))
        {
            json.WriteStartObject();
            json.WriteStartObject("aps");
            if (content.IsShown)
                WriteAlert(json, content);
            else
                json.WriteNumber("content-available", 1); // without alert, badge and sound: iOS wakes the app when it sees fit
            json.WriteEndObject();
            json.WriteString("deliveryId", message.DeliveryId);
            if (content.Url is { } url)
                json.WriteString("url", url);
            if (content.Push?.Image is { } image)
                json.WriteString("image", image);
            if (content.Data is { } data)
            {
                json.WritePropertyName("data");
                data.WriteTo(json);
            }

            json.WriteEndObject();
        }

        return buffer.ToArray();
    }

    private static void WriteAlert(Utf8JsonWriter json, NotificationContent content)
    {
        var (push, ios) = (content.Push, content.Push?.Ios);
        json.WriteStartObject("alert");
        if (content.Title is { Length: > 0 } title)
            json.WriteString("title", title);
        if (ios?.Subtitle is { } subtitle)
            json.WriteString("subtitle", subtitle);
        if (content.Body is { Length: > 0 } body)
            json.WriteString("body", body);
        json.WriteEndObject();
        WriteSound(json, push?.Sound, isCritical: ios?.InterruptionLevel == InterruptionLevel.Critical);
        if (push?.Badge is { } badge)
            json.WriteNumber("badge", badge);
        if (ios?.ThreadId is { } thread)
            json.WriteString("thread-id", thread);
        if (ios?.Category is { } category)
            json.WriteString("category", category);
        if (ios?.InterruptionLevel is { } level)
            json.WriteString("interruption-level", LevelOf(level));
        if (ios?.MutableContent == true || push?.Image is not null)
            json.WriteNumber("mutable-content", 1); // the app's extension fetches the image
    }

    // Apple: a critical alert has a dictionary, whose volume goes from 0, silent, to 1.
    private static void WriteSound(Utf8JsonWriter json, string? sound, bool isCritical)
    {
        var name = sound is null or PushOptions.NoSound ? "default" : sound;
        if (isCritical)
        {
            json.WriteStartObject("sound");
            json.WriteNumber("critical", 1);
            json.WriteString("name", name);
            json.WriteNumber("volume", sound == PushOptions.NoSound ? 0 : 1);
            json.WriteEndObject();
        }
        else if (sound != PushOptions.NoSound)
        {
            json.WriteString("sound", name);
        }
    }

    private static string LevelOf(InterruptionLevel level) =>
        level switch
        {
            InterruptionLevel.Passive => "passive",
            InterruptionLevel.TimeSensitive => "time-sensitive",
            InterruptionLevel.Critical => "critical",
            _ => "active",
        };
}
