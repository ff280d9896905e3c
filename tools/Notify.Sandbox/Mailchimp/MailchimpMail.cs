namespace Notify.Sandbox.Mailchimp;

using System.Buffers;
using System.Text.Json;
using System.Text.Json.Nodes;

/// <summary>The data of a message to one recipient that events contain.</summary>
/// <param name="Id">32 hex digits.</param>
/// <param name="Metadata">The message's metadata, overridden by the recipient's own.</param>
public sealed record MailchimpMessage(
    string Id,
    string Email,
    string Sender,
    string? Subject,
    IReadOnlyList<string> Tags,
    JsonObject Metadata
);

/// <summary>Reads the parts of a mail, good or not.</summary>
public static class MailchimpMail
{
    private const long MaximumKept = 64 * 1024 * 1024;

    /// <summary>The recipients' addresses.</summary>
    public static IEnumerable<string> To(JsonElement request) =>
        Recipients(request).Select(r => MailchimpRules.Text(r, "email")).OfType<string>();

    /// <summary>The metadata that events bring back for a recipient.</summary>
    public static JsonObject MetadataFor(JsonElement message, string email)
    {
        var metadata =
            message.TryGetProperty("metadata", out var common) && common.ValueKind == JsonValueKind.Object
                ? JsonNode.Parse(common.GetRawText())!.AsObject()
                : [];
        if (!message.TryGetProperty("recipient_metadata", out var own) || own.ValueKind != JsonValueKind.Array)
            return metadata;

        foreach (
            var one in own.EnumerateArray()
                .Where(o =>
                    MailchimpRules.Text(o, "rcpt") == email && o.TryGetProperty("values", out var v) && v.ValueKind == JsonValueKind.Object
                )
        )
        {
            foreach (var value in one.GetProperty("values").EnumerateObject())
                metadata[value.Name] = JsonNode.Parse(value.Value.GetRawText());
        }

        return metadata;
    }

    /// <summary>A mail to many as a mail for each; null for one that has only one recipient.</summary>
    public static IReadOnlyList<byte[]>? Split(ReadOnlySpan<byte> body)
    {
        // Nearly every mail is for one, and is not to be read twice.
        var first = body.IndexOf("\"email\""u8);
        if (first < 0 || body[(first + 1)..].IndexOf("\"email\""u8) < 0)
            return null;

        try
        {
            var reader = new Utf8JsonReader(body);
            using var request = JsonDocument.ParseValue(ref reader);
            var all = Recipients(request.RootElement).ToList();
            var isWhole = (long)body.Length * all.Count <= MaximumKept;
            return all.Count < 2 ? null : [.. all.Select(one => For(request.RootElement, one, isWhole))];
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static IEnumerable<JsonElement> Recipients(JsonElement request) =>
        request.ValueKind == JsonValueKind.Object
        && request.TryGetProperty("message", out var message)
        && message.ValueKind == JsonValueKind.Object
        && message.TryGetProperty("to", out var to)
        && to.ValueKind == JsonValueKind.Array
            ? to.EnumerateArray()
            : [];

    private static byte[] For(JsonElement request, JsonElement recipient, bool isWhole)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(buffer))
        {
            writer.WriteStartObject();
            foreach (var property in request.EnumerateObject().Where(p => p.Name != "message"))
                property.WriteTo(writer);
            writer.WriteStartObject("message");
            foreach (
                var property in request
                    .GetProperty("message")
                    .EnumerateObject()
                    .Where(p => p.Name != "to" && (isWhole || p.Name is not ("html" or "text" or "attachments" or "images")))
            )
                property.WriteTo(writer);
            writer.WriteStartArray("to");
            recipient.WriteTo(writer);
            writer.WriteEndArray();
            writer.WriteEndObject();
            writer.WriteEndObject();
        }

        return buffer.WrittenSpan.ToArray();
    }
}
