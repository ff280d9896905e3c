namespace Notify.Sandbox.Providers;

/// <summary>Rules for a deliverable email address (RFC 5321, 4.1.2 and 4.5.3.1, without quoted strings and literals).</summary>
public static class MailAddress
{
    private const int MaximumLocalPart = 64;
    private const int MaximumAddress = 254;
    private const int MaximumLabel = 63;

    /// <summary>Whether it has a local part, and a domain of two labels or more, in ASCII.</summary>
    public static bool IsDeliverable(string address)
    {
        var at = address.LastIndexOf('@');
        return at is > 0 and <= MaximumLocalPart
            && address.Length <= MaximumAddress
            && address.All(c => c is > ' ' and <= '~' and not ('<' or '>' or '(' or ')' or ',' or ';' or ':' or '\\' or '"' or '[' or ']'))
            && address[..at].Split('.').All(atom => atom.Length > 0 && !atom.Contains('@'))
            && address[(at + 1)..].Split('.') is { Length: > 1 } labels
            && labels.All(label => label.Length is > 0 and <= MaximumLabel && label.All(c => char.IsAsciiLetterOrDigit(c) || c == '-'));
    }
}
