namespace Notify.Sandbox.Fcm;

using System.Text.Json;
using Notify.Sandbox.Ledger;
using Notify.Sandbox.Providers;

/// <summary>Reads an FCM request back: the target and the notification's texts.</summary>
public sealed class FcmDialect : IProviderDialect
{
    /// <inheritdoc/>
    public string Name => "fcm";

    /// <inheritdoc/>
    public (string? To, string? Text) Read(string path, ReadOnlySpan<byte> body)
    {
        var reader = new Utf8JsonReader(body);
        try
        {
            if (!JsonDocument.TryParseValue(ref reader, out var document))
                return default;

            using (document)
                return Read(FcmSchema.Find(document.RootElement, "message"));
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            // No JSON, or a string in it that is no Unicode: it was refused as such, or shows nothing.
            return default;
        }
    }

    /// <inheritdoc/>
    public bool Mentions(ReadOnlySpan<byte> body, TextQuery query) => query.IsInJson(body);

    private static (string? To, string? Text) Read(JsonElement? message)
    {
        var notification = FcmSchema.Find(message, "notification");
        var (title, text) = (Text(notification, "title"), Text(notification, "body"));
        return (
            Text(message, "token") ?? Text(message, "topic") ?? Text(message, "condition"),
            title is not null && text is not null ? $"{title}\n{text}" : title ?? text
        );
    }

    private static string? Text(JsonElement? container, string name) =>
        FcmSchema.Find(container, name) is { ValueKind: JsonValueKind.String } text ? text.GetString() : null;
}
