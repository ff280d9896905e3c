namespace Notify.Dispatch.Receipts;

using System.Security.Cryptography;
using System.Text;
using Notify.Domain.Notifications;

/// <summary>One receipt in terms that all providers share.</summary>
/// <param name="EventId">The provider's own ID of it: the same receipt posted again has the same.</param>
/// <param name="At">When it happened, where the provider says so.</param>
/// <param name="MessageId">The provider's ID of the message, as it answered the call.</param>
/// <param name="DeliveryId">Ours, where the provider brought it back.</param>
/// <param name="Reason">Of a failure; one of <see cref="Reasons"/>.</param>
/// <param name="Code">The provider's own code; never its text, which may contain an address.</param>
/// <param name="Suppress">Why the address must not be used any more; one of <see cref="Reasons"/>, <c>null</c>: it may.</param>
/// <param name="Lift">Why a suppressed address may be used again.</param>
/// <param name="Address">Whom it is about, or who wrote; only ever in memory.</param>
/// <param name="Raw">The receipt as it came.</param>
public sealed record Receipt(
    string EventId,
    ReportKind What,
    byte[] Raw,
    DateTimeOffset? At = null,
    string? MessageId = null,
    Guid? DeliveryId = null,
    string? Reason = null,
    string? Code = null,
    string? Suppress = null,
    string? Lift = null,
    string? Address = null
)
{
    private const int Longest = 200;

    /// <summary>Hides what is personal.</summary>
    public override string ToString() => $"receipt {EventId}: {What}";

    /// <summary>An ID that can be stored: one that is too long, or has other than printable ASCII characters, is replaced by its
    /// hash.</summary>
    public static string Id(string id) =>
        id.Length is > 0 and <= Longest && id.All(c => c is > ' ' and <= '~')
            ? id
            : $"sha256:{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(id)))}";

    /// <summary>A code that can be stored: at most 60 letters, digits and <c>. _ -</c>; anything else might be a text, and says
    /// nothing.</summary>
    public static string? CodeOf(string? code) =>
        code is { Length: > 0 and <= 60 } && code.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-') ? code : null;

    /// <summary>Reads a provider's time, in seconds since 1970; a number outside of this century is no time.</summary>
    public static DateTimeOffset? Time(double seconds) =>
        seconds is > 946_684_800 and < 4_102_444_800 ? DateTimeOffset.FromUnixTimeMilliseconds((long)(seconds * 1000)) : null;
}

/// <summary>A post to a receipt's address, as the signature schemes need it.</summary>
/// <param name="Urls">The addresses that the provider may have been given, query included.</param>
/// <param name="Body">The raw body.</param>
public sealed record ReceiptPost(
    HttpMethod Method,
    IReadOnlyList<string> Urls,
    IQueryCollection Query,
    string QueryString,
    IHeaderDictionary Headers,
    string? ContentType,
    byte[] Body
)
{
    /// <summary>Whether the body is a form.</summary>
    public bool IsForm => ContentType?.StartsWith("application/x-www-form-urlencoded", StringComparison.OrdinalIgnoreCase) == true;

    /// <summary>The fields of a form, in order; of several with one name the first counts.</summary>
    public Dictionary<string, string> Form() => Fields(Signatures.Form(Body));

    /// <summary>Fields by name.</summary>
    public static Dictionary<string, string> Fields(IEnumerable<KeyValuePair<string, string>> fields)
    {
        var byName = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (name, value) in fields)
            byName.TryAdd(name, value);
        return byName;
    }

    /// <summary>A header; <c>null</c> where it is missing or repeated.</summary>
    public string? Header(string name) => Headers[name] is [var one] ? one : null;
}

/// <summary>A post's receipts, or what is wrong with it.</summary>
/// <param name="Fault">A short text, without any part of the post.</param>
public sealed record ReadReceipts(IReadOnlyList<Receipt> Receipts, string? Fault = null)
{
    /// <summary>The most receipts of one post. Providers send at most about three thousand at a time.</summary>
    /// <remarks>Each takes a few kilobytes until it is committed, however small it is in the post.</remarks>
    public const int Max = 10_000;

    /// <summary>A post with more receipts than are read at a time.</summary>
    public static readonly ReadReceipts TooMany = new([], "it has too many events");

    /// <summary>A post that cannot be read.</summary>
    public static ReadReceipts Malformed(string fault) => new([], fault);
}

/// <summary>A provider that posts receipts: the second half of its adapter.</summary>
public interface IReceiptSource
{
    /// <summary>The provider's name, as in its address and in events.</summary>
    string Name { get; }

    /// <summary>The setting whose value verifies the receipts, under the provider's section.</summary>
    string KeySetting { get; }

    /// <summary>The largest post, in bytes.</summary>
    int MaxBytes => ReceiptEndpoints.MaxBytes;

    /// <summary>Whether receipts may also come by GET, with their fields in the address.</summary>
    bool MayGet => false;

    /// <summary>Whether the post was signed with the key, and just now where the scheme has a time.</summary>
    /// <param name="settings">The provider's section, with the key.</param>
    ValueTask<bool> IsValidAsync(IConfigurationSection settings, ReceiptPost post, DateTimeOffset now);

    /// <summary>Whether the post only tries the address; nothing is stored of it.</summary>
    bool IsTrial(ReceiptPost post) => false;

    /// <summary>Reads a post whose signature is right.</summary>
    ReadReceipts Read(ReceiptPost post);
}
