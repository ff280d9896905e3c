namespace Notify.Delivery.Privacy;

using System.Buffers.Text;
using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Configuration;
using Notify.Domain.Recipients;

/// <summary>
/// The peppers of the installation's keyed hashes. Several may be configured so that one can be replaced: new hashes are made under the
/// current one, and look-ups try all that are in use.
/// </summary>
/// <remarks>
/// Settings: <c>Notify:Pepper</c> alone (base64 of at least 16 bytes) is the pepper <c>0</c>; else <c>Notify:Peppers:{id}</c>, and
/// <c>Notify:Pepper</c> names the one that is to be current, or still holds the value of <c>0</c>, which then stays current. The hash of
/// the pepper <c>0</c> is an HMAC-SHA-256 over purpose and text. Others have a key of their own for each purpose (HKDF-SHA-256, RFC 5869),
/// and their hashes begin with their ID: <c>{id}.{hash}</c>.
/// </remarks>
public sealed class PepperRing
{
    /// <summary>The ID of the pepper from before there were several.</summary>
    public const string First = "0";

    private readonly Dictionary<string, Pepper> peppers;
    private readonly bool isFirstBare;
    private volatile PepperUse use;

    private PepperRing(string named, Dictionary<string, Pepper> peppers, bool isFirstBare)
    {
        (NamedId, this.peppers, this.isFirstBare) = (named, peppers, isFirstBare);
        // Until the database is read: the one from before there were several, so that nothing is made under another one too early.
        var current = peppers.ContainsKey(First) ? First : named;
        use = new PepperUse(this, [current, .. peppers.Keys.Where(k => k != current).Order(StringComparer.Ordinal)], false);
    }

    /// <summary>The ID of the pepper that is to be current, by the configuration.</summary>
    public string NamedId { get; }

    /// <summary>The ID of the pepper that new hashes are made under.</summary>
    public string CurrentId => use.Ids[0];

    /// <summary>The IDs of all its peppers.</summary>
    public IReadOnlyCollection<string> Ids => peppers.Keys;

    /// <summary>The IDs of those that hashes may have been made under, the current one first.</summary>
    public IReadOnlyList<string> InUse => use.Ids;

    /// <summary>Whether a hash under the current pepper may be known by another one: then it is looked up before it is used.</summary>
    public bool NeedsLookUp => use.NeedsLookUp;

    /// <summary>The peppers in use at this moment, for work that must see the same ones from its beginning to its end.</summary>
    internal PepperUse Use => use;

    /// <summary>Whether it has the pepper.</summary>
    public bool Has(string id) => peppers.ContainsKey(id);

    /// <summary>The setting that holds a pepper's value.</summary>
    public string SettingOf(string id) => id == First && isFirstBare ? "Notify:Pepper" : $"Notify:Peppers:{id}";

    /// <summary>Follows the installation.</summary>
    /// <param name="inUse">The peppers that are in use, the current one first; those that this ring has not are passed over.</param>
    /// <param name="hasReferences">Whether a pepper was ever replaced here.</param>
    public void Follow(IEnumerable<string> inUse, bool hasReferences)
    {
        string[] held = [.. inUse.Where(Has)];
        if (held.Length > 0 && !(use.HasReferences == hasReferences && use.Ids.SequenceEqual(held)))
            use = new PepperUse(this, held, hasReferences);
    }

    /// <summary>A value that follows from a pepper and does not reveal it: two hosts compare their peppers by it.</summary>
    public string CheckValueOf(string id) => Base64Url.EncodeToString(peppers[id].Derive("check-value", 16));

    /// <summary>A keyed hash under the current pepper.</summary>
    public string Fingerprint(string purpose, ReadOnlySpan<byte> text) => FingerprintUnder(CurrentId, purpose, text);

    /// <summary>A keyed hash under one of the peppers.</summary>
    public string FingerprintUnder(string id, string purpose, ReadOnlySpan<byte> text)
    {
        var hash = Base64Url.EncodeToString(Mac(id, purpose, text));
        return id == First ? hash : $"{id}.{hash}";
    }

    /// <summary>The keyed hashes under all peppers in use, that under the current one first.</summary>
    public IReadOnlyList<string> Fingerprints(string purpose, string text) => use.Fingerprints(purpose, text);

    /// <summary>A user's reference under one of the peppers, without its mark.</summary>
    public string UserHashUnder(string id, string userId) =>
        Shorten(FingerprintUnder(id, "user", Encoding.UTF8.GetBytes(userId)), UserRef.Length);

    /// <summary>The beginning of a hash, with the ID of its pepper.</summary>
    public static string Shorten(string hash, int length) => hash[..(hash.IndexOf('.', StringComparison.Ordinal) + 1 + length)];

    /// <summary>Whether a hash is that of a text, under the pepper that it was made with.</summary>
    public bool Matches(string hash, string purpose, string text)
    {
        var id = IdOf(hash);
        return InUse.Contains(id)
            && CryptographicOperations.FixedTimeEquals(
                Encoding.UTF8.GetBytes(FingerprintUnder(id, purpose, Encoding.UTF8.GetBytes(text))),
                Encoding.UTF8.GetBytes(hash)
            );
    }

    /// <summary>The bare bytes of a keyed hash, 32 of them.</summary>
    public byte[] Mac(string id, string purpose, ReadOnlySpan<byte> text) => peppers[id].Mac(purpose, text);

    /// <summary>The ID of the pepper that a hash was made under.</summary>
    public static string IdOf(string hash) => hash.IndexOf('.', StringComparison.Ordinal) is > 0 and var dot ? hash[..dot] : First;

    /// <summary>Reads the peppers from configuration; every fault is added to <paramref name="faults"/>.</summary>
    /// <returns>The ring, or <c>null</c> if there were faults.</returns>
    public static PepperRing? Read(IConfiguration configuration, ICollection<string> faults)
    {
        var before = faults.Count;
        var peppers = new Dictionary<string, Pepper>(StringComparer.Ordinal);
        foreach (var section in configuration.GetSection("Notify:Peppers").GetChildren())
        {
            var setting = $"Notify:Peppers:{section.Key}";
            if (section.Key.Length > 16 || section.Key.AsSpan().ContainsAnyExcept(IdCharacters))
                faults.Add($"{setting} has an ID that cannot be used; give 1 to 16 of a-z, 0-9 and -");
            else if (section.Value is not "" && ValueOf(setting, section.Value, faults) is { } value)
                peppers[section.Key] = new Pepper(section.Key, value); // an empty one is named by the environment alone
        }

        var (named, isFirstBare) = (configuration["Notify:Pepper"], false);
        if (faults.Count > before)
            return null;
        if (peppers.Count == 0 || (named is { Length: > 16 } && !peppers.ContainsKey(named)))
        {
            // A value, as it was before peppers had names.
            if (ValueOf("Notify:Pepper", named, faults) is not { } value)
                return null;
            var first = new Pepper(First, value);
            if (peppers.TryGetValue(First, out var other) && !other.HasValueOf(first))
                faults.Add("Notify:Pepper and Notify:Peppers:0 have different values; both are the pepper \"0\": give it once");
            (peppers[First], named, isFirstBare) = (first, First, true);
        }
        else if (string.IsNullOrEmpty(named) && peppers.Count == 1)
            named = peppers.Keys.Single();
        else if (string.IsNullOrEmpty(named))
            faults.Add(
                $"Notify:Pepper is missing, and there are several peppers ({string.Join(", ", peppers.Keys.Order())}); "
                    + "name the one that is to be current"
            );
        else if (!peppers.ContainsKey(named))
            faults.Add($"Notify:Pepper names \"{named}\", which is not among Notify:Peppers");
        return faults.Count > before ? null : new PepperRing(named!, peppers, isFirstBare);
    }

    private static readonly System.Buffers.SearchValues<char> IdCharacters = System.Buffers.SearchValues.Create(
        "abcdefghijklmnopqrstuvwxyz0123456789-"
    );

    private static byte[]? ValueOf(string setting, string? text, ICollection<string> faults)
    {
        var value = MasterKeyRing.Decode(text);
        if (value is not { Length: >= 16 })
            faults.Add($"{setting} is not the base64 of at least 16 bytes; make one with: openssl rand -base64 32");
        else if (MasterKeyRing.IsUniform(value))
            faults.Add(MasterKeyRing.Uniform(setting));
        else
            return value;
        return null;
    }

    private sealed class Pepper(string id, byte[] value)
    {
        private readonly ConcurrentDictionary<string, byte[]> keys = new(StringComparer.Ordinal);

        private readonly byte[] value = value;

        public bool HasValueOf(Pepper other) => value.AsSpan().SequenceEqual(other.value);

        public byte[] Derive(string purpose, int length) =>
            HKDF.DeriveKey(HashAlgorithmName.SHA256, value, length, info: Encoding.UTF8.GetBytes(purpose));

        public byte[] Mac(string purpose, ReadOnlySpan<byte> text)
        {
            if (id != First)
                return HMACSHA256.HashData(keys.GetOrAdd(purpose, p => Derive(p, 32)), text);
            using var hmac = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, value);
            hmac.AppendData(Encoding.UTF8.GetBytes(purpose));
            hmac.AppendData([0]);
            hmac.AppendData(text);
            return hmac.GetHashAndReset();
        }
    }
}

/// <summary>The peppers that are in use at one moment. It never changes: hashes that belong together are made under one pepper.</summary>
/// <param name="Ids">The current one first.</param>
/// <param name="HasReferences">Whether something is known by a hash under a former pepper.</param>
internal sealed record PepperUse(PepperRing Ring, IReadOnlyList<string> Ids, bool HasReferences) : IFingerprints
{
    public string CurrentId => Ids[0];

    public bool NeedsLookUp => Ids.Count > 1 || HasReferences;

    public string Fingerprint(string purpose, ReadOnlySpan<byte> text) => Ring.FingerprintUnder(CurrentId, purpose, text);

    public IReadOnlyList<string> Fingerprints(string purpose, string text)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        return [.. Ids.Select(id => Ring.FingerprintUnder(id, purpose, bytes))];
    }
}
