namespace Notify.Sandbox.WebPush;

using System.Text.Json;
using Notify.Sandbox.Ledger;
using Notify.Sandbox.Providers;

/// <summary>Reads a push message back: the subscription from the path, title and body from what it said once decrypted.</summary>
public sealed class WebPushDialect : IProviderDialect
{
    internal const string Root = "/push/";

    /// <inheritdoc/>
    public string Name => "webpush";

    /// <inheritdoc/>
    public (string? To, string? Text) Read(string path, ReadOnlySpan<byte> body) =>
        (path.StartsWith(Root, StringComparison.Ordinal) ? path[Root.Length..] : null, ReadText(body));

    /// <inheritdoc/>
    public bool Mentions(ReadOnlySpan<byte> body, TextQuery query) => query.IsInJson(body);

    private static string? ReadText(ReadOnlySpan<byte> body)
    {
        var reader = new Utf8JsonReader(body);
        try
        {
            if (!JsonDocument.TryParseValue(ref reader, out var document))
                return null;

            using (document)
            {
                var title = Text(document.RootElement, "title");
                var text = Text(document.RootElement, "body");
                return title is not null && text is not null ? $"{title}\n{text}" : title ?? text;
            }
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            // The payload could not be decrypted, or is no JSON.
            return null;
        }
    }

    private static string? Text(JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String
            ? value.GetString()
            : null;
}
