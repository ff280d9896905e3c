namespace Notify.Sandbox.Twilio;

using Notify.Sandbox.Keys;
using Notify.Sandbox.Providers;

/// <summary>Makes Twilio's messages anew from the ledger.</summary>
public sealed class TwilioHistory(TwilioDialect dialect, SentMessages<TwilioMessage> messages, SandboxKeys keys) : IProviderHistory
{
    /// <inheritdoc/>
    public string Provider => dialect.Name;

    /// <inheritdoc/>
    public void Restore(string messageId, DateTimeOffset receivedAt, ReadOnlySpan<byte> body)
    {
        var message = new TwilioMessage(messageId, keys.Identity.TwilioAccountSid, TwilioForm.Parse(body), receivedAt);
        message.Advance("sent", receivedAt);
        messages.Add(message);
    }
}
