using System.Text.Json;
using Notify.Sandbox.Ledger;
using Notify.Sandbox.Providers;

namespace Notify.Sandbox.SendGrid;

/// <summary>Reads a mail back: its recipients, and its subject and contents, each from its own line on.</summary>
public sealed class SendGridDialect : IProviderDialect
{
    /// <inheritdoc/>
    public string Name => "sendgrid";

    /// <inheritdoc/>
    public (string? To, string? Text) Read(string path, ReadOnlySpan<byte> body)
    {
        var reader = new Utf8JsonReader(body);
        try
        {
            if (!JsonDocument.TryParseValue(ref reader, out var document))
                return default;

            using (document)
                return Read(document.RootElement);
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            // No JSON, or a string in it that is no Unicode: it was refused as such.
            return default;
        }
    }

    /// <inheritdoc/>
    public bool Mentions(ReadOnlySpan<byte> body, TextQuery query) => query.IsInJson(body);

    /// <summary>The personalizations' <c>to</c> addresses, in order.</summary>
    internal static IEnumerable<string> RecipientsOf(JsonElement mail) =>
        Items(mail, "personalizations").SelectMany(p => Items(p, "to")).Select(a => Text(a, "email")).OfType<string>();

    /// <summary>The first personalization's subject, else the mail's.</summary>
    internal static string? SubjectOf(JsonElement mail) =>
        Items(mail, "personalizations").Select(p => Text(p, "subject")).FirstOrDefault() ?? Text(mail, "subject");

    private static (string? To, string? Text) Read(JsonElement mail)
    {
        var to = string.Join(", ", RecipientsOf(mail));
        var texts = Items(mail, "content").Select(c => Text(c, "value")).Prepend(SubjectOf(mail)).OfType<string>().ToList();
        return (to.Length == 0 ? null : to, texts.Count == 0 ? null : string.Join('\n', texts));
    }

    private static IEnumerable<JsonElement> Items(JsonElement of, string name) =>
        of.ValueKind == JsonValueKind.Object && of.TryGetProperty(name, out var list) && list.ValueKind == JsonValueKind.Array ? list.EnumerateArray() : [];

    private static string? Text(JsonElement of, string name) =>
        of.ValueKind == JsonValueKind.Object && of.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
}
