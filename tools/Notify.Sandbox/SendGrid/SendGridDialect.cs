namespace Notify.Sandbox.SendGrid;

using System.Text.Json;
using Notify.Sandbox.Ledger;
using Notify.Sandbox.Providers;

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

    private static (string? To, string? Text) Read(JsonElement mail)
    {
        var to = string.Join(", ", SendGridMail.To(mail));
        var texts = SendGridMail
            .Items(mail, "content")
            .Select(c => SendGridMail.Text(c, "value"))
            .Prepend(SendGridMail.SubjectOf(mail))
            .OfType<string>()
            .ToList();
        return (to.Length == 0 ? null : to, texts.Count == 0 ? null : string.Join('\n', texts));
    }
}
