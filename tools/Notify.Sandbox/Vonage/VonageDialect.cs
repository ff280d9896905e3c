namespace Notify.Sandbox.Vonage;

using Notify.Sandbox.Ledger;
using Notify.Sandbox.Providers;

/// <summary>Reads a Vonage request back from its form or JSON.</summary>
public sealed class VonageDialect : IProviderDialect
{
    /// <inheritdoc/>
    public string Name => "vonage";

    /// <inheritdoc/>
    public (string? To, string? Text) Read(string path, ReadOnlySpan<byte> body) =>
        VonageParameters.Parse(body, IsJson(body)) is { } given ? (given["to"], given["text"] ?? given["body"]) : default;

    /// <inheritdoc/>
    public bool Mentions(ReadOnlySpan<byte> body, TextQuery query) => IsJson(body) ? query.IsInJson(body) : query.IsInForm(body);

    /// <summary>Whether a body is JSON rather than a form.</summary>
    internal static bool IsJson(ReadOnlySpan<byte> body) => body.TrimStart(" \r\n\t"u8).StartsWith("{"u8);
}
