namespace Notify.Sandbox.Smtp;

using Notify.Sandbox.Ledger;
using Notify.Sandbox.Providers;

/// <summary>Reads a mail back: the envelope's recipient, and the subject and contents, each from its own line on.</summary>
public sealed class SmtpDialect : IProviderDialect
{
    /// <inheritdoc/>
    public string Name => "smtp";

    /// <inheritdoc/>
    public (string? To, string? Text) Read(string path, ReadOnlySpan<byte> body)
    {
        if (body.IsEmpty || SmtpMail.Parse(body) is not { } message)
            return (path, null);

        using (message)
        {
            var texts = new[] { message.Subject, message.TextBody?.TrimEnd('\r', '\n'), message.HtmlBody?.TrimEnd('\r', '\n') }
                .OfType<string>()
                .ToList();
            return (path, texts.Count == 0 ? null : string.Join('\n', texts));
        }
    }

    /// <inheritdoc/>
    public bool Mentions(ReadOnlySpan<byte> body, TextQuery query)
    {
        if (query.IsIn(body))
            return true;
        if (body.IsEmpty || SmtpMail.Parse(body) is not { } message)
            return false;
        using (message)
            return query.IsIn(message.Subject) || query.IsIn(message.TextBody) || query.IsIn(message.HtmlBody);
    }
}
