namespace Notify.Delivery.Privacy;

using System.Buffers;
using System.Buffers.Text;
using System.Text;
using System.Text.Json;
using Notify.Delivery.EventStore;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;
using Notify.Domain.Suppressions;
using Notify.Infrastructure.Json;
using Npgsql;

/// <summary>This host cannot open a text: it has not the master key that wraps the subject's key, or the key's row is damaged.</summary>
/// <remarks>A fault of the host, never of the person: no event follows from it, and the work goes back.</remarks>
public sealed class KeyNotHeldException(string masterKeyId)
    : Exception($"A text is sealed under a key that this host cannot unwrap (master key \"{masterKeyId}\").")
{
    /// <summary>The master key that wraps the subject's key.</summary>
    public string MasterKeyId { get; } = masterKeyId;
}

/// <summary>
/// The keys of one group of subjects, unwrapped while the group is processed. A text is readable, erased with its key, or locked:
/// its key exists, and this host cannot unwrap it.
/// </summary>
/// <remarks>
/// Decrypting a locked text throws <see cref="KeyNotHeldException"/>, so that it is never taken for an erased one; callers that work
/// on many ask <see cref="IsLocked(Sealed)"/> first.
/// </remarks>
public sealed class KeySet(MasterKeyRing ring)
{
    private readonly Dictionary<long, string> locked = [];
    private readonly Dictionary<string, string> lockedSubjects = new(StringComparer.Ordinal);
    private readonly Dictionary<long, (string Subject, SubjectKey Key)> byId = [];
    private readonly Dictionary<string, long> current = new(StringComparer.Ordinal);
    private readonly HashSet<string> named = new(StringComparer.Ordinal);

    internal void Add(long id, string subject, byte[] wrapped, string masterKeyId, bool isCurrent, bool isNamed)
    {
        if (byId.ContainsKey(id))
            return;
        if (ring.Unwrap(wrapped, masterKeyId, subject) is not { } key)
        {
            locked[id] = masterKeyId;
            if (isCurrent)
                lockedSubjects[subject] = masterKeyId;
            return;
        }

        byId[id] = (subject, key);
        if (isCurrent)
            current[subject] = id;
        if (isCurrent && isNamed)
            named.Add(subject);
    }

    /// <summary>The subject's current key, where the user's ID is not kept with it; else <c>null</c>.</summary>
    internal (long Id, string Subject, SubjectKey Key)? WithoutUserId(string subject) =>
        current.TryGetValue(subject, out var id) && !named.Contains(subject) ? (id, subject, byId[id].Key) : null;

    /// <summary>Whether the subject has a key.</summary>
    public bool HasCurrent(string subject) => current.ContainsKey(subject);

    /// <summary>The subject of the key that encrypted a text; <c>null</c> where it was erased or this host cannot unwrap it.</summary>
    public string? SubjectOf(Sealed text) => byId.TryGetValue(text.KeyId, out var entry) ? entry.Subject : null;

    /// <summary>Whether a text can be decrypted. If not, it was erased, unless <see cref="IsLocked(Sealed)"/>.</summary>
    public bool Has(Sealed text) => byId.ContainsKey(text.KeyId);

    /// <summary>Whether the key that encrypted a text exists and this host cannot unwrap it.</summary>
    public bool IsLocked(Sealed text) => locked.ContainsKey(text.KeyId);

    /// <summary>Whether the subject has a current key that this host cannot unwrap.</summary>
    public bool IsLocked(string subject) => lockedSubjects.ContainsKey(subject);

    /// <summary>The master key that a locked text needs.</summary>
    public string? MasterKeyOf(Sealed text) => locked.GetValueOrDefault(text.KeyId);

    /// <summary>The master key that a subject's locked key needs.</summary>
    public string? MasterKeyOf(string subject) => lockedSubjects.GetValueOrDefault(subject);

    /// <summary>The keyed hashes of the numbers and addresses that deliveries go to, as suppressions know them.</summary>
    /// <returns>By delivery; none for a push, and none where the key was erased.</returns>
    public async Task<IReadOnlyDictionary<Guid, string>> FingerprintsAsync(
        NpgsqlConnection connection,
        IEnumerable<(Notification Notification, Delivery Delivery)> deliveries,
        CancellationToken cancellation
    )
    {
        var addresses = deliveries
            .DistinctBy(d => d.Delivery.Id)
            .Select(d => (d.Delivery, Address: d.Delivery.Contact is { } c ? OpenText(c, d.Notification.AddressPlaceOf(d.Delivery)) : null))
            .ToList();
        var texts = addresses.SelectMany(a => HashedText.Of(a.Delivery.Channel, a.Address));
        var prints = await ring.ReadAsync(connection, texts, cancellation);
        return addresses
            .Select(a => (a.Delivery.Id, Fingerprint: prints.Of(a.Delivery.Channel, a.Address)))
            .Where(a => a.Fingerprint is not null)
            .ToDictionary(a => a.Id, a => a.Fingerprint!);
    }

    /// <summary>Decrypts the contact details of a user.</summary>
    /// <returns><c>null</c> where there are none, or they do not open.</returns>
    public ContactDetails? DetailsOf(Recipient? recipient) =>
        recipient?.Details is { } details ? OpenJson<ContactDetails>(details, SealedPlace.OfDetails(recipient.Id)) : null;

    /// <summary>The address of a delivery as its suppression keeps it.</summary>
    /// <remarks>Under the person's key: it goes when they are erased.</remarks>
    public Sealed? SuppressedAddressOf(Notification notification, Delivery delivery, string fingerprint) =>
        delivery.Contact is not { } contact
            ? null
            : Move(
                contact,
                notification.AddressPlaceOf(delivery),
                SealedPlace.OfSuppressed(Suppression.KeyOf(delivery.Channel, fingerprint))
            );

    /// <summary>Encrypts bytes under the subject's current key, for a place.</summary>
    /// <returns>The key's ID, the ciphertext, and its version, one of <see cref="SealedVersions"/>.</returns>
    public (long KeyId, byte[] Cipher, int Version) SealBytes(string subject, SealedPlace place, ReadOnlySpan<byte> plain)
    {
        if (lockedSubjects.TryGetValue(subject, out var master))
            throw new KeyNotHeldException(master);
        var id = current[subject];
        var (cipher, version) = Encrypt(id, place, plain);
        return (id, cipher, version);
    }

    /// <summary>Encrypts a text under the subject's current key, for a place.</summary>
    public Sealed Seal(string subject, SealedPlace place, ReadOnlySpan<byte> plain)
    {
        var (id, cipher, version) = SealBytes(subject, place, plain);
        return TextOf(id, cipher, version);
    }

    /// <summary>Encrypts a text under the subject's current key, for a place.</summary>
    public Sealed Seal(string subject, SealedPlace place, string plain) => Seal(subject, place, Encoding.UTF8.GetBytes(plain));

    /// <summary>Encrypts a value's JSON under the subject's current key, for a place.</summary>
    public Sealed SealJson<T>(string subject, SealedPlace place, T value) =>
        Seal(subject, place, JsonSerializer.SerializeToUtf8Bytes(value, NotifyJson.Options));

    /// <summary>Encrypts a text anew for another place, under the key that it has.</summary>
    /// <returns>The text at its new place; <c>null</c> where it does not open at the first one.</returns>
    /// <exception cref="KeyNotHeldException">The key exists, and this host cannot unwrap it.</exception>
    public Sealed? Move(Sealed text, SealedPlace from, SealedPlace to)
    {
        if (Open(text, from) is not { } plain)
            return null;
        var (cipher, version) = Encrypt(text.KeyId, to, plain);
        return TextOf(text.KeyId, cipher, version);
    }

    /// <summary>The form of events and rows that all live hosts read.</summary>
    public StoreFormat Format => ring.Format;

    /// <summary>Decrypts a text at its place.</summary>
    /// <returns><c>null</c> where its key was erased, and where the text was changed or belongs to another place.</returns>
    /// <exception cref="KeyNotHeldException">The key exists, and this host cannot unwrap it.</exception>
    public byte[]? Open(Sealed text, SealedPlace place)
    {
        if (locked.TryGetValue(text.KeyId, out var master))
            throw new KeyNotHeldException(master);
        if (!byId.ContainsKey(text.KeyId))
            return null;
        var cipher = text.GetCipher();
        var bytes = new byte[Base64Url.GetMaxDecodedLength(cipher.Length)];
        return Base64Url.DecodeFromChars(cipher, bytes, out _, out var length) == OperationStatus.Done
            ? Decrypt(text.KeyId, text.Version, bytes.AsSpan(0, length), place)
            : null;
    }

    /// <summary>Decrypts a payload at its place.</summary>
    /// <returns><c>null</c> where its key was erased, and where the ciphertext was changed or belongs to another place.</returns>
    /// <exception cref="KeyNotHeldException">The key exists, and this host cannot unwrap it.</exception>
    public NotificationPayload? OpenPayload(SealedPayload payload, byte[] cipher, SealedPlace place) =>
        locked.TryGetValue(payload.KeyId, out var master) ? throw new KeyNotHeldException(master)
        : Decrypt(payload.KeyId, payload.Version, cipher, place) is { } plain
            ? JsonSerializer.Deserialize<NotificationPayload>(plain, NotifyJson.Options)
        : null;

    /// <summary>Decrypts a text at its place, as a string.</summary>
    public string? OpenText(Sealed text, SealedPlace place) => Open(text, place) is { } bytes ? Encoding.UTF8.GetString(bytes) : null;

    /// <summary>Decrypts JSON at its place.</summary>
    public T? OpenJson<T>(Sealed text, SealedPlace place)
        where T : class => Open(text, place) is { } bytes ? JsonSerializer.Deserialize<T>(bytes, NotifyJson.Options) : null;

    private static Sealed TextOf(long id, byte[] cipher, int version)
    {
        var prefix = Sealed.PrefixOf(id, version);
        return new Sealed(
            string.Create(
                prefix.Length + Base64Url.GetEncodedLength(cipher.Length),
                (prefix, cipher),
                static (text, parts) =>
                {
                    parts.prefix.CopyTo(text);
                    Base64Url.EncodeToChars(parts.cipher, text[parts.prefix.Length..]);
                }
            )
        );
    }

    private (byte[] Cipher, int Version) Encrypt(long id, SealedPlace place, ReadOnlySpan<byte> plain)
    {
        var (subject, key) = byId[id];
        var version = ring.Format.WritesPlaces || key.IsForPlaces ? SealedVersions.Place : SealedVersions.Subject;
        return (Aead.Encrypt(key.Bytes, plain, AssociatedOf(subject, version, place)), version);
    }

    // A key from the time after authenticated places has encrypted nothing without a place.
    private byte[]? Decrypt(long id, int version, ReadOnlySpan<byte> cipher, SealedPlace place) =>
        byId.TryGetValue(id, out var entry) && !(entry.Key.IsForPlaces && version == SealedVersions.Subject)
            ? Aead.Decrypt(entry.Key.Bytes, cipher, AssociatedOf(entry.Subject, version, place))
            : null;

    // No name has the character 0, so that no two places have the same bytes, and no place those of a subject alone.
    internal static byte[] AssociatedOf(string subject, int version, SealedPlace place) =>
        Encoding.UTF8.GetBytes(version == SealedVersions.Subject ? subject : $"{version}\0{subject}\0{place.Stream}\0{place.Field}");
}
