namespace Notify.Sandbox.Mailchimp;

using System.Text.Json;
using Notify.Sandbox.Ledger;
using Notify.Sandbox.Providers;

/// <summary>Reads a mail back: its recipients, and its subject and contents, each from its own line on.</summary>
public sealed class MailchimpDialect : IProviderDialect
{
    /// <inheritdoc/>
    public string Name => "mailchimp";

    /// <inheritdoc/>
    public (string? To, string? Text) Read(string path, ReadOnlySpan<byte> body)
    {
        var reader = new Utf8JsonReader(body);
        try
        {
            using var request = JsonDocument.ParseValue(ref reader);
            var to = string.Join(", ", MailchimpMail.To(request.RootElement));
            var texts = request.RootElement.TryGetProperty("message", out var message)
                ? new[] { "subject", "text", "html" }.Select(name => MailchimpRules.Text(message, name)).OfType<string>().ToList()
                : [];
            return (to.Length == 0 ? null : to, texts.Count == 0 ? null : string.Join('\n', texts));
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            // No JSON object, or a string in it that is no Unicode: it was refused as such.
            return default;
        }
    }

    /// <inheritdoc/>
    public bool Mentions(ReadOnlySpan<byte> body, TextQuery query) => query.IsInJson(body);
}
