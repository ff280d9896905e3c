namespace Notify.Delivery.Privacy;

using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Configuration;
using Notify.Delivery.EventStore;
using Notify.Domain.Recipients;

/// <summary>
/// The installation's secrets: master keys that wrap subjects' keys, and the peppers of its keyed hashes. Several master
/// keys may be configured so that one can be replaced: the current one wraps, all unwrap.
/// </summary>
/// <remarks>
/// Settings: <c>Notify:MasterKeys:{id}</c> (base64 of 32 bytes), <c>Notify:MasterKey</c> (the ID of the one that is to wrap; needed
/// where there are several), <c>Notify:KeyFolder</c> (see <see cref="KeyFolder"/>: the newest key there wraps); for the peppers see
/// <see cref="PepperRing"/>.
/// </remarks>
public sealed class MasterKeyRing : IFingerprints
{
    // Nonce, 32 bytes and tag; a key for places has a byte of its own before them.
    private const int WrappedLength = 12 + 32 + 16;
    private const byte ForPlaces = 2;

    private readonly Dictionary<string, byte[]> settings;
    private readonly string? setting;
    private volatile Dictionary<string, byte[]> keys;
    private volatile string named,
        current;

    private MasterKeyRing(
        string? setting,
        Dictionary<string, byte[]> settings,
        KeyFolder? folder,
        Dictionary<string, byte[]> inFolder,
        PepperRing peppers
    )
    {
        (this.setting, this.settings, Folder, Peppers) = (setting, settings, folder, peppers);
        (keys, named) = Join(inFolder);
        current = named;
    }

    /// <summary>The folder with further master keys; <c>null</c>: all are in the settings.</summary>
    public KeyFolder? Folder { get; }

    /// <summary>The peppers of keyed hashes.</summary>
    public PepperRing Peppers { get; }

    /// <summary>The ID of the key that is to wrap: the newest one in the folder, else the one that the settings name.</summary>
    public string NamedId => named;

    /// <summary>The ID of the key that wraps now: the named one when every live host has it; see <see cref="HostKeys"/>.</summary>
    public string CurrentId => current;

    /// <summary>The form of events and rows that all live hosts read; found with the keys that they all have.</summary>
    public StoreFormat Format { get; } = new();

    /// <summary>Reads the folder again: keys that are new there are had from now on, and those that are gone no more.</summary>
    /// <exception cref="IOException">The folder cannot be read.</exception>
    public void ReadFolder()
    {
        if (Folder is null)
            return;
        var found = Folder.Read([]);
        if (found.Count > 0 || settings.Count > 0)
            (keys, named) = Join(found);
    }

    // Newer keys have later IDs of the same length.
    private (Dictionary<string, byte[]> Keys, string Named) Join(Dictionary<string, byte[]> inFolder)
    {
        var all = new Dictionary<string, byte[]>(settings, StringComparer.Ordinal);
        foreach (var (id, key) in inFolder)
            all[id] = key;
        return (all, inFolder.Count > 0 ? HostKeyDecider.Newest(inFolder.Keys)! : setting ?? named);
    }

    /// <summary>Wraps with another key from now on.</summary>
    /// <param name="id">One of <see cref="Ids"/>.</param>
    public void Use(string id) =>
        current = keys.ContainsKey(id) ? id : throw new ArgumentException($"There is no master key \"{id}\".", nameof(id));

    /// <summary>Whether it has the key.</summary>
    public bool Has(string id) => keys.ContainsKey(id);

    /// <summary>A value that follows from a key and does not reveal it: two hosts compare their keys by it.</summary>
    public string CheckValueOf(string id) => System.Buffers.Text.Base64Url.EncodeToString(Derive(id, "check-value").AsSpan(0, 16));

    /// <summary>Reads the secrets from configuration; every fault is added to <paramref name="faults"/>.</summary>
    /// <returns>The ring, or <c>null</c> if there were faults.</returns>
    public static MasterKeyRing? Read(IConfiguration configuration, ICollection<string> faults)
    {
        var before = faults.Count;
        var keys = new Dictionary<string, byte[]>();
        foreach (var section in configuration.GetSection("Notify:MasterKeys").GetChildren())
        {
            // Taken out after the keys moved to the folder, where the environment still names it.
            if (section.Value is "" && KeyFolder.PathOf(configuration) is not null)
                continue;
            if (Decode(section.Value) is { Length: 32 } key)
            {
                if (IsUniform(key))
                    faults.Add(Uniform($"Notify:MasterKeys:{section.Key}"));
                else
                    keys[section.Key] = key;
            }
            else
                faults.Add($"Notify:MasterKeys:{section.Key} is not the base64 of 32 bytes; make one with: openssl rand -base64 32");
        }

        var (folder, inFolder) = ReadFolder(configuration, faults);
        if (keys.Count == 0 && inFolder.Count == 0 && faults.Count == before)
        {
            faults.Add(
                folder is not null
                    ? KeyFolderEmpty(folder)
                    : "Notify:MasterKeys has no key; set Notify__MasterKeys__1 to the base64 of 32 random bytes (openssl rand -base64 32)"
            );
        }

        var named =
            configuration["Notify:MasterKey"] is { Length: > 0 } name ? name
            : keys.Count == 1 ? keys.Keys.Single()
            : null;
        if (keys.Count > 0 && named is null && inFolder.Count == 0)
            faults.Add(
                $"Notify:MasterKey is missing, and there are several master keys ({string.Join(", ", keys.Keys.Order())}); "
                    + "name the one that is to wrap"
            );
        else if (keys.Count > 0 && named is not null && inFolder.Count == 0 && !keys.ContainsKey(named))
            faults.Add($"Notify:MasterKey names \"{named}\", which is not among Notify:MasterKeys");
        var peppers = PepperRing.Read(configuration, faults);
        return faults.Count > before ? null : new MasterKeyRing(named, keys, folder, inFolder, peppers!);
    }

    /// <summary>Wraps a subject's key under the current master key.</summary>
    public byte[] Wrap(SubjectKey key, string subject) => Wrap(key, CurrentId, subject);

    /// <summary>Wraps a subject's key under a master key.</summary>
    public byte[] Wrap(SubjectKey key, string masterKeyId, string subject)
    {
        var wrapped = Aead.Encrypt(KeyOf(masterKeyId), key.Bytes, AssociatedOf(subject, key.IsForPlaces));
        return key.IsForPlaces ? [ForPlaces, .. wrapped] : wrapped;
    }

    /// <summary>Unwraps a subject's key.</summary>
    /// <returns>The key; <c>null</c> if this host has not the master key, or the row is damaged.</returns>
    public SubjectKey? Unwrap(ReadOnlySpan<byte> wrapped, string masterKeyId, string subject)
    {
        if (!keys.TryGetValue(masterKeyId, out var master))
            return null;
        var isForPlaces = wrapped.Length == WrappedLength + 1 && wrapped[0] == ForPlaces;
        return Aead.Decrypt(master, isForPlaces ? wrapped[1..] : wrapped, AssociatedOf(subject, isForPlaces)) is { } key
            ? new SubjectKey(key, isForPlaces)
            : null;
    }

    private static byte[] AssociatedOf(string subject, bool isForPlaces) => Encoding.UTF8.GetBytes(isForPlaces ? $"2\0{subject}" : subject);

    /// <summary>The IDs of all its master keys.</summary>
    public IEnumerable<string> Ids => keys.Keys;

    /// <summary>A key of 32 bytes that follows from a master key (HKDF-SHA-256, RFC 5869), for one purpose alone.</summary>
    /// <param name="masterKeyId">One of <see cref="Ids"/>.</param>
    /// <exception cref="KeyNotHeldException">This host has not the key any more.</exception>
    public byte[] Derive(string masterKeyId, string purpose) =>
        HKDF.DeriveKey(HashAlgorithmName.SHA256, KeyOf(masterKeyId), 32, info: Encoding.UTF8.GetBytes(purpose));

    private byte[] KeyOf(string id) => keys.TryGetValue(id, out var key) ? key : throw new KeyNotHeldException(id);

    /// <summary>
    /// A keyed hash under the current pepper, HMAC-SHA-256 in base64url: it shows whether two texts are the same, and nothing else without
    /// the pepper.
    /// </summary>
    /// <param name="purpose">Separates hashes of different kinds.</param>
    public string Fingerprint(string purpose, ReadOnlySpan<byte> text) => Peppers.Fingerprint(purpose, text);

    /// <summary>A keyed hash of a text.</summary>
    public string Fingerprint(string purpose, string text) => Fingerprint(purpose, Encoding.UTF8.GetBytes(text));

    /// <summary>The reference of a user who is new (<see cref="Domain.Recipients.UserRef"/>), by the ID that callers chose.</summary>
    /// <remarks>Callers ask <see cref="UserReferences"/>, which knows users by former peppers, and from before references, too.</remarks>
    public string UserRefOf(string userId) => UserRef.Mark + Peppers.UserHashUnder(Peppers.CurrentId, userId);

    private static (KeyFolder? Folder, Dictionary<string, byte[]> Keys) ReadFolder(IConfiguration configuration, ICollection<string> faults)
    {
        if (KeyFolder.PathOf(configuration) is not { } path)
            return (null, []);
        try
        {
            var folder = new KeyFolder(path);
            return (folder, folder.Read(faults));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            faults.Add($"Notify:KeyFolder is \"{path}\", which cannot be read ({e.Message}); make the folder, for the hosts' user alone");
            return (null, []);
        }
    }

    private static string KeyFolderEmpty(KeyFolder folder) =>
        $"Notify:KeyFolder is \"{folder.Path}\", which has no key, and Notify:MasterKeys has none; put the keys back from a copy. "
        + $"For a new installation make the first: (umask 077 && openssl rand -base64 32 > {folder.Path}/k00000000000000.key)";

    /// <summary>The key in a text, base64 of 32 bytes that are not all the same; <c>null</c>: there is none.</summary>
    internal static byte[]? DecodeKey(string? base64) => Decode(base64) is { Length: 32 } key && !IsUniform(key) ? key : null;

    // Zeros, for the most part: a placeholder that was never filled in.
    internal static bool IsUniform(byte[] key) => !key.AsSpan().ContainsAnyExcept(key[0]);

    internal static string Uniform(string setting) =>
        $"{setting} is the same byte over and over and protects nothing; make one with: openssl rand -base64 32";

    internal static byte[]? Decode(string? base64)
    {
        if (string.IsNullOrWhiteSpace(base64))
            return null;
        var bytes = new byte[base64.Length];
        return Convert.TryFromBase64String(base64, bytes, out var length) ? bytes[..length] : null;
    }
}

/// <summary>A subject's key, unwrapped.</summary>
/// <param name="IsForPlaces">
/// Whether it was made since values are encrypted for a place (<see cref="Domain.Privacy.SealedPlace"/>): it opens no value without one.
/// Authenticated by the master key, so that the database cannot say otherwise.
/// </param>
public readonly record struct SubjectKey(byte[] Bytes, bool IsForPlaces);

/// <summary>
/// AES-256-GCM (NIST SP 800-38D) over nonce, ciphertext and tag in one array. A cipher object serves one thread at a time,
/// so each call makes its own.
/// </summary>
internal static class Aead
{
    private const int NonceSize = 12,
        TagSize = 16;

    public static byte[] Encrypt(byte[] key, ReadOnlySpan<byte> plain, ReadOnlySpan<byte> associated)
    {
        using var aes = new AesGcm(key, TagSize);
        var result = new byte[NonceSize + plain.Length + TagSize];
        var nonce = result.AsSpan(0, NonceSize);
        RandomNumberGenerator.Fill(nonce);
        aes.Encrypt(nonce, plain, result.AsSpan(NonceSize, plain.Length), result.AsSpan(NonceSize + plain.Length), associated);
        return result;
    }

    public static byte[]? Decrypt(byte[] key, ReadOnlySpan<byte> cipher, ReadOnlySpan<byte> associated)
    {
        if (cipher.Length < NonceSize + TagSize)
            return null;
        using var aes = new AesGcm(key, TagSize);
        var plain = new byte[cipher.Length - NonceSize - TagSize];
        try
        {
            aes.Decrypt(cipher[..NonceSize], cipher[NonceSize..^TagSize], cipher[^TagSize..], plain, associated);
            return plain;
        }
        catch (AuthenticationTagMismatchException)
        {
            return null;
        }
    }
}
