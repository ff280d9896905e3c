namespace Notify.Dispatch.Providers.Sms.Twilio;

using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.WebUtilities;
using Notify.Dispatch.Receipts;

/// <summary>Whether a request to a receipt's address comes from Twilio.</summary>
/// <remarks>Twilio: Validating requests. It has no time stamp, so a repeated post is recognised by its content.</remarks>
public static class TwilioSignature
{
    /// <summary>Checks <c>X-Twilio-Signature</c>.</summary>
    /// <param name="url">The address that Twilio was given, query included; tried with and without the scheme's default port.</param>
    /// <param name="isForm">Whether the body is a form; any other is signed by <c>bodySHA256</c> in the query.</param>
    public static bool IsValid(string authToken, Uri url, bool isForm, ReadOnlySpan<byte> body, string? signature)
    {
        // Repeated values of one name are signed once each, sorted, as Twilio's own libraries do.
        var fields = isForm
            ? Signatures
                .Form(body)
                .Distinct()
                .OrderBy(f => f.Key, StringComparer.Ordinal)
                .ThenBy(f => f.Value, StringComparer.Ordinal)
                .ToList()
            : [];
        if (!isForm && !HasHash(url, body))
            return false;
        var valid = false;
        foreach (var address in Addresses(url))
            valid |= Signatures.AreEqual(Signatures.OverForm(authToken, address, fields), signature);
        return valid;
    }

    private static IEnumerable<string> Addresses(Uri url)
    {
        var start = url.OriginalString.IndexOf("://", StringComparison.Ordinal) + 3;
        var end = url.OriginalString.IndexOfAny(['/', '?', '#'], start);
        var (authority, rest) = end < 0 ? (url.OriginalString[start..], "") : (url.OriginalString[start..end], url.OriginalString[end..]);
        var bare = authority.EndsWith($":{url.Port}", StringComparison.Ordinal) ? authority[..^$":{url.Port}".Length] : authority;
        yield return $"{url.Scheme}://{authority}{rest}";
        yield return $"{url.Scheme}://{(authority == bare ? $"{bare}:{url.Port}" : bare)}{rest}";
    }

    private static bool HasHash(Uri url, ReadOnlySpan<byte> body) =>
        QueryHelpers.ParseQuery(url.Query).TryGetValue("bodySHA256", out var hash)
        && Signatures.AreEqual(Convert.ToHexStringLower(SHA256.HashData(body)), hash.ToString().ToLowerInvariant());
}
