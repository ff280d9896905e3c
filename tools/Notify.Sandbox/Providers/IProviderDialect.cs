namespace Notify.Sandbox.Providers;

using Notify.Sandbox.Ledger;

/// <summary>How one provider's requests are read back from the ledger.</summary>
public interface IProviderDialect
{
    /// <summary>The provider's name in paths and the ledger: lower case, e.g. <c>apns</c>.</summary>
    string Name { get; }

    /// <summary>Whom a request addresses and the text it carries; null where it names none.</summary>
    (string? To, string? Text) Read(string path, ReadOnlySpan<byte> body);

    /// <summary>Whether the body contains the text, escaped or not.</summary>
    bool Mentions(ReadOnlySpan<byte> body, TextQuery query);
}
