namespace Notify.Delivery.Privacy;

using System.Text.Json;
using Marten;
using Notify.Delivery.EventStore;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>Something personal that is known by its keyed hash.</summary>
/// <param name="Purpose">One of <see cref="Purposes"/>.</param>
public readonly record struct HashedText(string Purpose, string Text)
{
    /// <summary>The purposes whose hashes name something that outlives a pepper.</summary>
    public static readonly IReadOnlyList<string> Purposes = ["phone", "email", "subject", "device"];

    /// <summary>A phone number, E.164.</summary>
    public static HashedText OfPhone(string number) => new("phone", number);

    /// <summary>An email address.</summary>
    public static HashedText OfEmail(string address) => new("email", AddressFingerprints.Normal(address));

    /// <summary>A device, by what its ID follows from: its token, or the endpoint of its subscription.</summary>
    public static HashedText OfDevice(Platform platform, string address) => new("device", $"{platform}\n{address}");

    /// <summary>A device, by its token or by its subscription's JSON.</summary>
    public static HashedText OfKeptDevice(Platform platform, string address)
    {
        if (platform != Platform.Web)
            return OfDevice(platform, address);
        using var subscription = JsonDocument.Parse(address);
        return OfDevice(platform, subscription.RootElement.GetProperty("endpoint").GetString()!);
    }

    /// <summary>An address on a channel; nothing for push.</summary>
    public static IEnumerable<HashedText> Of(Channel channel, string? address) =>
        (channel, address) switch
        {
            (_, null or "") or (Channel.Push, _) => [],
            (Channel.Sms, _) => [OfPhone(address)],
            _ => [OfEmail(address)],
        };

    /// <summary>All that somebody who is not registered is known by.</summary>
    public static IEnumerable<HashedText> Of(UnregisteredRecipient? to)
    {
        if (to is null)
            yield break;
        yield return new("subject", SubjectTextOf(to));
        if (AliasTextOf(to) is { } alias)
            yield return new("subject", alias);
        if (to.Phone is { Length: > 0 } phone)
            yield return OfPhone(phone);
        if (to.Email is { Length: > 0 } email)
            yield return OfEmail(email);
        yield return new("device", to.Device?.Token ?? "");
    }

    /// <summary>The text whose hash is the subject of somebody who is not registered: the first contact given.</summary>
    public static string SubjectTextOf(UnregisteredRecipient to) =>
        to.Phone ?? (to.Email is { } email ? AddressFingerprints.Normal(email) : to.Device?.Token ?? "");

    /// <summary>The text of the further contact by which somebody who is not registered is found; see docs/adr/0011.</summary>
    public static string? AliasTextOf(UnregisteredRecipient? to) =>
        to is { Phone: not null, Email: { } email } ? AddressFingerprints.Normal(email) : null;
}

/// <summary>
/// Finds the hashes by which things are known: those under the current pepper, or under an older one where something is kept under that.
/// Stream keys, events and rows so keep their hashes when a pepper is replaced.
/// </summary>
public static class FingerprintReader
{
    // Whether anything is kept under a hash. Each look goes along an index.
    private const string IsKept = $"""
        case c.kind
            when 'phone' then exists (select from notify.suppressions where id = 'sms_' || c.hash)
                or exists (select from {EventSchema.Name}.mt_doc_addresschoices where id = 'w/sms:' || c.hash)
                or exists (select from {EventSchema.Name}.mt_doc_recipient where data ->> 'phoneFingerprint' = c.hash)
                or exists (select from notify.cap_counts where person in ('a/' || c.hash, 'test/a/' || c.hash))
            when 'email' then exists (select from notify.suppressions where id = 'email_' || c.hash)
                or exists (select from {EventSchema.Name}.mt_doc_addresschoices where id = 'w/email:' || c.hash)
                or exists (select from {EventSchema.Name}.mt_doc_recipient where data ->> 'emailFingerprint' = c.hash)
                or exists (select from notify.cap_counts where person in ('a/' || c.hash, 'test/a/' || c.hash))
            when 'subject' then exists (select from notify.subject_keys where subject = 'a/' || c.hash and erased_at is null)
                or exists (select from notify.subject_aliases where alias = 'a/' || c.hash)
            when 'device' then exists (
                    select from notify.devices where device_id = 'd_' || left(c.hash, position('.' in c.hash) + 22))
                or exists (select from notify.cap_counts where person in ('a/' || c.hash, 'test/a/' || c.hash))
            else false
        end
        """;

    /// <summary>Finds the hashes of texts. Costs nothing while the installation has and had one pepper.</summary>
    /// <param name="notes">
    /// Whether something that is known under an older pepper is noted under the current one, in the connection's transaction; not where
    /// the connection only reads.
    /// </param>
    /// <returns>The hashes of these texts, and of no others of <see cref="HashedText.Purposes"/>.</returns>
    public static async ValueTask<IFingerprints> ReadAsync(
        this MasterKeyRing ring,
        NpgsqlConnection connection,
        IEnumerable<HashedText> texts,
        CancellationToken cancellation,
        bool notes = true
    )
    {
        var use = ring.Peppers.Use;
        if (!use.NeedsLookUp)
            return use;
        var hashes = texts.Distinct().ToDictionary(t => t, t => use.Fingerprints(t.Purpose, t.Text));
        var found = new ReadFingerprints(use);
        if (hashes.Count == 0)
            return found;

        var (references, kept) = await FindAsync(
            connection,
            [.. hashes.SelectMany(h => h.Value.Select(v => (h.Key.Purpose, v)))],
            cancellation
        );
        var news = new List<(string Kind, string Hash, string Reference)>();
        foreach (var (text, all) in hashes)
        {
            var (current, purpose) = (all[0], text.Purpose);
            var reference =
                all.Select(h => references.GetValueOrDefault((purpose, h))).FirstOrDefault(r => r is not null)
                ?? all.Skip(1).Append(current).FirstOrDefault(h => kept.Contains((purpose, h)))
                ?? current;
            found.Add(purpose, current, reference);
            if (reference != current && !references.ContainsKey((purpose, current)))
                news.Add((purpose, current, reference));
        }

        if (notes)
            await HashReferenceTable.NoteAsync(connection, news, use.CurrentId, cancellation);
        return found;
    }

    /// <summary>Finds the hashes of texts before a transaction begins.</summary>
    public static async ValueTask<IFingerprints> ReadAsync(
        this MasterKeyRing ring,
        IDocumentStore store,
        IEnumerable<HashedText> texts,
        CancellationToken cancellation
    )
    {
        if (!ring.Peppers.NeedsLookUp)
            return ring.Peppers.Use;
        await using var session = store.LightweightSession();
        await session.BeginTransactionAsync(cancellation);
        return await ring.ReadAsync(session.Connection!, texts, cancellation, notes: false);
    }

    private static async Task<(
        Dictionary<(string Kind, string Hash), string> References,
        HashSet<(string Kind, string Hash)> Kept
    )> FindAsync(NpgsqlConnection connection, IReadOnlyList<(string Kind, string Hash)> hashes, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(
            connection,
            $"""
            select c.kind, c.hash, r.reference, {IsKept}
            from unnest($1, $2) as c(kind, hash) left join notify.hash_references r on r.kind = c.kind and r.hash = c.hash
            """,
            hashes.Select(h => h.Kind).ToArray(),
            hashes.Select(h => h.Hash).ToArray()
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var (references, kept) = (new Dictionary<(string Kind, string Hash), string>(), new HashSet<(string Kind, string Hash)>());
        while (await reader.ReadAsync(cancellation))
        {
            var key = (reader.GetString(0), reader.GetString(1));
            if (!reader.IsDBNull(2))
                references[key] = reader.GetString(2);
            if (reader.GetBoolean(3))
                kept.Add(key);
        }

        return (references, kept);
    }

    private sealed class ReadFingerprints(PepperUse use) : IFingerprints
    {
        private readonly Dictionary<(string Purpose, string Current), string> known = [];

        public void Add(string purpose, string current, string reference) => known[(purpose, current)] = reference;

        // A text that was forgotten would be taken for one that nothing is known of.
        public string Fingerprint(string purpose, ReadOnlySpan<byte> text)
        {
            var current = use.Fingerprint(purpose, text);
            return known.TryGetValue((purpose, current), out var reference) ? reference
                : !HashedText.Purposes.Contains(purpose) ? current
                : throw new InvalidOperationException($"A hash for the purpose \"{purpose}\" was not read before it was used.");
        }
    }
}
