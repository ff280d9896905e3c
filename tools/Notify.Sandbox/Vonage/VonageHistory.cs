namespace Notify.Sandbox.Vonage;

using Notify.Sandbox.Providers;

/// <summary>Makes Vonage's messages anew from the ledger; of a message in several parts, the first.</summary>
public sealed class VonageHistory(VonageDialect dialect, SentMessages<VonageMessage> messages) : IProviderHistory
{
    /// <inheritdoc/>
    public string Provider => dialect.Name;

    /// <inheritdoc/>
    public void Restore(string messageId, DateTimeOffset receivedAt, ReadOnlySpan<byte> body)
    {
        if (VonageParameters.Parse(body, VonageDialect.IsJson(body)) is { } given)
            messages.Add(VonageMessage.Restored(messageId, given, receivedAt));
    }
}
