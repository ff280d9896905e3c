namespace Notify.Sandbox.Twilio;

using Notify.Sandbox.Ledger;
using Notify.Sandbox.Providers;

/// <summary>Reads a Twilio request back from its form.</summary>
public sealed class TwilioDialect : IProviderDialect
{
    /// <inheritdoc/>
    public string Name => "twilio";

    /// <inheritdoc/>
    public (string? To, string? Text) Read(string path, ReadOnlySpan<byte> body)
    {
        var form = TwilioForm.Parse(body);
        return (form.To, form.Body);
    }

    /// <inheritdoc/>
    public bool Mentions(ReadOnlySpan<byte> body, TextQuery query) => query.IsInForm(body);
}
