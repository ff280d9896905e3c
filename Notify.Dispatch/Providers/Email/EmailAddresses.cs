namespace Notify.Dispatch.Providers.Email;

using Notify.Domain.Content;

/// <summary>Addresses as mail providers take them.</summary>
public static class EmailAddresses
{
    /// <summary>An address for a provider that takes none in letters beyond ASCII: as <see cref="ToAscii"/>, or the fault.</summary>
    /// <returns>The address; or <c>null</c>, and the faulty part: the domain, or the part before the @ (RFC 6531).</returns>
    public static (string? Address, string? Fault) ForApi(string address) =>
        ToAscii(address) is not { } ascii ? (null, "domain")
        : ascii.All(char.IsAscii) ? (ascii, null)
        : (null, "smtputf8");

    /// <summary>Returns the address with its domain in ASCII (see <see cref="DomainNames"/>); the part before the @ is unchanged.</summary>
    /// <returns><c>null</c> for what has no domain that can be written so.</returns>
    public static string? ToAscii(string address)
    {
        var at = address.LastIndexOf('@');
        return at > 0 && DomainNames.ToAscii(address.AsSpan(at + 1)) is { } domain && !domain.EndsWith('.')
            ? $"{address[..at]}@{domain}"
            : null;
    }
}
