using System.Security.Cryptography;
using System.Text;

namespace Notify.Dispatch.Receipts;

/// <summary>What the providers' signature schemes have in common: reading what they sign, and comparing without telling where it differs.</summary>
public static class Signatures
{
    /// <summary>How old or how far ahead a signed time stamp may be.</summary>
    /// <remarks>
    /// Providers repeat posts for hours, and not all sign them anew. Each event counts once by its ID, so that a replayed post
    /// changes nothing.
    /// </remarks>
    public static readonly TimeSpan Window = TimeSpan.FromDays(1);

    /// <summary>Compares in constant time.</summary>
    public static bool AreEqual(string expected, string? given) =>
        given is not null && CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(expected), Encoding.UTF8.GetBytes(given));

    /// <summary>Whether a signed time stamp, in seconds since 1970, lies within <see cref="Window"/>.</summary>
    public static bool IsFresh(string? seconds, DateTimeOffset now) =>
        long.TryParse(seconds, System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture, out var at)
        && Math.Abs(now.ToUnixTimeSeconds() - at) <= Window.TotalSeconds;

    /// <summary>The fields of a form as it was sent, in order, repeated names included.</summary>
    /// <remarks>WHATWG URL, application/x-www-form-urlencoded parsing.</remarks>
    public static IReadOnlyList<KeyValuePair<string, string>> Form(ReadOnlySpan<byte> body)
    {
        var fields = new List<KeyValuePair<string, string>>();
        foreach (var pair in Encoding.UTF8.GetString(body).Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            var split = pair.IndexOf('=', StringComparison.Ordinal);
            fields.Add(split < 0 ? new(Decode(pair), "") : new(Decode(pair[..split]), Decode(pair[(split + 1)..])));
        }

        return fields;

        static string Decode(string text) => Uri.UnescapeDataString(text.Replace('+', ' '));
    }

    /// <summary>Base64 of the HMAC-SHA1 over an address and then each field's name and value, sorted by name.</summary>
    public static string OverForm(string key, string url, IEnumerable<KeyValuePair<string, string>> fields)
    {
        var signed = new StringBuilder(url);
        foreach (var (name, value) in fields.OrderBy(f => f.Key, StringComparer.Ordinal)) signed.Append(name).Append(value);
        return Convert.ToBase64String(HMACSHA1.HashData(Encoding.UTF8.GetBytes(key), Encoding.UTF8.GetBytes(signed.ToString())));
    }
}
