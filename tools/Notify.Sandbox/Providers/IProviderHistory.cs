namespace Notify.Sandbox.Providers;

/// <summary>Makes a provider's messages anew from the ledger, so that it can be asked about them after a restart.</summary>
public interface IProviderHistory
{
    /// <summary>The provider's name in the ledger.</summary>
    string Provider { get; }

    /// <summary>Keeps a message that was accepted; its receipts, if it had some to come, are not sent any more.</summary>
    /// <param name="body">The request's body as the ledger has it.</param>
    void Restore(string messageId, DateTimeOffset receivedAt, ReadOnlySpan<byte> body);
}
