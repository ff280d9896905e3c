namespace Notify.Sandbox.Vonage;

using System.Security.Cryptography;
using System.Text;

/// <summary>
/// Vonage's <c>sig</c> (Signing messages): over each parameter as <c>&amp;name=value</c>, sorted by name, with <c>_</c> for
/// <c>&amp;</c> and <c>=</c> in values.
/// </summary>
public static class VonageSignature
{
    /// <summary>The methods that an account can be set to: a hash with the secret behind the text, or an HMAC by it.</summary>
    public static readonly IReadOnlyList<string> Methods = ["md5hash", "md5", "sha1", "sha256", "sha512"];

    /// <summary>Hexadecimal, in lower case for <c>md5hash</c> and upper case for the others.</summary>
    public static string Of(IEnumerable<KeyValuePair<string, string>> parameters, string secret, string method)
    {
        var text = new StringBuilder();
        foreach (var (name, value) in parameters.Where(p => p.Key != "sig").OrderBy(p => p.Key, StringComparer.Ordinal))
            text.Append('&').Append(name).Append('=').Append(value.Replace('&', '_').Replace('=', '_'));

        var (bytes, key) = (Encoding.UTF8.GetBytes(text.ToString()), Encoding.UTF8.GetBytes(secret));
#pragma warning disable CA5350, CA5351 // Vonage's own methods.
        return method switch
        {
            "md5" => Convert.ToHexString(HMACMD5.HashData(key, bytes)),
            "sha1" => Convert.ToHexString(HMACSHA1.HashData(key, bytes)),
            "sha256" => Convert.ToHexString(HMACSHA256.HashData(key, bytes)),
            "sha512" => Convert.ToHexString(HMACSHA512.HashData(key, bytes)),
            _ => Convert.ToHexStringLower(MD5.HashData([.. bytes, .. key])),
        };
#pragma warning restore CA5350, CA5351
    }
}
