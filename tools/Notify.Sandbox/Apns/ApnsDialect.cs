namespace Notify.Sandbox.Apns;

using System.Text.Json;
using Notify.Sandbox.Ledger;
using Notify.Sandbox.Providers;

/// <summary>Reads an APNs request back: the device token from the path, the alert from the payload.</summary>
public sealed class ApnsDialect : IProviderDialect
{
    internal const string DevicePath = "/3/device/";

    /// <inheritdoc/>
    public string Name => "apns";

    /// <inheritdoc/>
    public (string? To, string? Text) Read(string path, ReadOnlySpan<byte> body) =>
        (path.StartsWith(DevicePath, StringComparison.Ordinal) ? path[DevicePath.Length..] : null, ReadAlert(body));

    /// <inheritdoc/>
    public bool Mentions(ReadOnlySpan<byte> body, TextQuery query) => query.IsInJson(body);

    private static string? ReadAlert(ReadOnlySpan<byte> body)
    {
        var reader = new Utf8JsonReader(body);
        try
        {
            if (!JsonDocument.TryParseValue(ref reader, out var document))
                return null;

            using (document)
                return Property(Property(document.RootElement, "aps"), "alert") is { } alert ? AlertText(alert) : null;
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            // No JSON, or a string in it that is no Unicode: it was refused as such, or shows nothing.
            return null;
        }
    }

    private static string? AlertText(JsonElement alert)
    {
        if (alert.ValueKind == JsonValueKind.String)
            return alert.GetString();

        var title = Text(Property(alert, "title"));
        var body = Text(Property(alert, "body"));
        return title is not null && body is not null ? $"{title}\n{body}" : title ?? body;
    }

    private static string? Text(JsonElement? element) => element is { ValueKind: JsonValueKind.String } text ? text.GetString() : null;

    private static JsonElement? Property(JsonElement? element, string name) =>
        element is { ValueKind: JsonValueKind.Object } container && container.TryGetProperty(name, out var value) ? value : null;
}
