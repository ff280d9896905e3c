namespace Notify.Sandbox.SendGrid;

using System.Buffers;
using System.Text;
using System.Text.Json;

/// <summary>One address that a mail goes to.</summary>
/// <param name="Field">Where it stands, as errors name it.</param>
/// <param name="Arguments">The custom arguments that events about it bring back.</param>
public sealed record SendGridRecipient(string Email, string Field, string? Subject, IReadOnlyDictionary<string, string> Arguments);

/// <summary>Reads the parts of a mail, good or not.</summary>
public static class SendGridMail
{
    private const long MaximumKept = 64 * 1024 * 1024;

    /// <summary>Every address of a mail that is as it should be, copies included, in order.</summary>
    public static IEnumerable<SendGridRecipient> Recipients(JsonElement mail)
    {
        foreach (var (index, one) in Items(mail, "personalizations").Index())
        {
            var arguments = new Dictionary<string, string>(StringComparer.Ordinal);
            foreach (var argument in Properties(mail, "custom_args").Concat(Properties(one, "custom_args")))
                arguments[argument.Name] = argument.Value.GetString()!;
            foreach (var kind in new[] { "to", "cc", "bcc" })
            {
                foreach (var (position, address) in Items(one, kind).Index())
                    yield return new(
                        Text(address, "email")!,
                        $"personalizations.{index}.{kind}.{position}",
                        Text(one, "subject") ?? Text(mail, "subject"),
                        arguments
                    );
            }
        }
    }

    /// <summary>The personalizations' <c>to</c> addresses, in order.</summary>
    public static IEnumerable<string> To(JsonElement mail) =>
        Items(mail, "personalizations").SelectMany(p => Items(p, "to")).Select(a => Text(a, "email")).OfType<string>();

    /// <summary>The first personalization's subject, else the mail's.</summary>
    public static string? SubjectOf(JsonElement mail) =>
        Items(mail, "personalizations").Select(p => Text(p, "subject")).FirstOrDefault() ?? Text(mail, "subject");

    /// <summary>
    /// A mail to many as a mail for each personalization; null for one that has only one. Where all together would be too large to
    /// be kept, they go without contents and attachments.
    /// </summary>
    public static IReadOnlyList<byte[]>? Split(ReadOnlySpan<byte> body)
    {
        // Nearly every mail is for one, and is not to be read twice.
        var first = body.IndexOf("\"to\""u8);
        if (first < 0 || body[(first + 1)..].IndexOf("\"to\""u8) < 0)
            return null;

        try
        {
            var reader = new Utf8JsonReader(body);
            using var mail = JsonDocument.ParseValue(ref reader);
            var all = Items(mail.RootElement, "personalizations").ToList();
            if (all.Count < 2)
                return null;

            var head = Head(mail.RootElement, isWhole: (long)body.Length * all.Count <= MaximumKept);
            return
            [
                .. all.Select(one =>
                    (byte[])[.. Substituted(head, one), .. Encoding.UTF8.GetBytes(one.GetRawText()), (byte)']', (byte)'}']
                ),
            ];
        }
        catch (JsonException)
        {
            return null;
        }
    }

    internal static IEnumerable<JsonElement> Items(JsonElement of, string name) =>
        of.ValueKind == JsonValueKind.Object && of.TryGetProperty(name, out var list) && list.ValueKind == JsonValueKind.Array
            ? list.EnumerateArray()
            : [];

    internal static string? Text(JsonElement of, string name) =>
        of.ValueKind == JsonValueKind.Object && of.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String
            ? value.GetString()
            : null;

    // All but the personalizations, up to where one of them belongs.
    private static byte[] Head(JsonElement mail, bool isWhole)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(buffer, new JsonWriterOptions { SkipValidation = true }))
        {
            writer.WriteStartObject();
            foreach (
                var property in mail.EnumerateObject()
                    .Where(p => p.Name != "personalizations" && (isWhole || p.Name is not ("content" or "attachments")))
            )
            {
                writer.WritePropertyName(property.Name);
                writer.WriteRawValue(property.Value.GetRawText(), skipInputValidation: true);
            }

            writer.WriteStartArray("personalizations");
        }

        return buffer.WrittenSpan.ToArray();
    }

    // As this personalization's recipient gets it.
    private static byte[] Substituted(byte[] head, JsonElement one)
    {
        var tags = Properties(one, "substitutions").Where(t => t.Name.Length > 0 && t.Value.ValueKind == JsonValueKind.String).ToList();
        return tags.Count == 0
            ? head
            : Encoding.UTF8.GetBytes(
                tags.Aggregate(
                        new StringBuilder(Encoding.UTF8.GetString(head)),
                        (mail, tag) => mail.Replace(Written(tag.Name), Written(tag.Value.GetString()!))
                    )
                    .ToString()
            );

        static string Written(string text) =>
            JsonEncodedText.Encode(text, System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping).ToString();
    }

    private static IEnumerable<JsonProperty> Properties(JsonElement of, string name) =>
        of.TryGetProperty(name, out var found) && found.ValueKind == JsonValueKind.Object ? found.EnumerateObject() : [];
}
