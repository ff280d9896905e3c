using System.Globalization;

namespace Notify.Dispatch.Email;

/// <summary>Addresses as mail providers take them.</summary>
public static class EmailAddresses
{
    private static readonly IdnMapping Idn = new() { UseStd3AsciiRules = true };

    /// <summary>The address with its domain in ASCII (IDNA); what stands before the @ stays as it is.</summary>
    /// <returns><c>null</c> for what has no domain that can be written so.</returns>
    public static string? ToAscii(string address)
    {
        var at = address.LastIndexOf('@');
        if (at <= 0 || at == address.Length - 1) return null;
        try
        {
            return $"{address[..at]}@{Idn.GetAscii(address, at + 1)}";
        }
        catch (ArgumentException)
        {
            return null;
        }
    }
}
