namespace Notify.Dispatch.Receipts;

using System.Security.Cryptography;
using System.Text;

/// <summary>Common parts of the providers' signature schemes: reading the signed body, and comparing in constant time.</summary>
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

    /// <summary>The most fields that a post may have. Providers send about thirty.</summary>
    public const int MaxFields = 1000;

    /// <summary>The fields of a form as it was sent, in order, repeated names included.</summary>
    /// <remarks>
    /// WHATWG URL, application/x-www-form-urlencoded parsing. It is read before the signature is known to be right: a form with more
    /// than <see cref="MaxFields"/> is not read, and counts as one without fields.
    /// </remarks>
    public static IReadOnlyList<KeyValuePair<string, string>> Form(ReadOnlySpan<byte> body)
    {
        if (body.Count((byte)'&') >= MaxFields)
            return [];
        var fields = new List<KeyValuePair<string, string>>();
        while (!body.IsEmpty)
        {
            var end = body.IndexOf((byte)'&');
            var pair = end < 0 ? body : body[..end];
            body = end < 0 ? [] : body[(end + 1)..];
            if (pair.IsEmpty)
                continue;
            var split = pair.IndexOf((byte)'=');
            fields.Add(split < 0 ? new(Decode(pair), "") : new(Decode(pair[..split]), Decode(pair[(split + 1)..])));
        }

        return fields;

        static string Decode(ReadOnlySpan<byte> text) => Uri.UnescapeDataString(Encoding.UTF8.GetString(text).Replace('+', ' '));
    }

    /// <summary>Base64 of the HMAC-SHA1 over an address and then each field's name and value, sorted by name.</summary>
    public static string OverForm(string key, string url, IEnumerable<KeyValuePair<string, string>> fields)
    {
        using var signed = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA1, Encoding.UTF8.GetBytes(key));
        signed.AppendData(Encoding.UTF8.GetBytes(url));
        foreach (var (name, value) in fields.OrderBy(f => f.Key, StringComparer.Ordinal))
        {
            signed.AppendData(Encoding.UTF8.GetBytes(name));
            signed.AppendData(Encoding.UTF8.GetBytes(value));
        }

        return Convert.ToBase64String(signed.GetHashAndReset());
    }
}
