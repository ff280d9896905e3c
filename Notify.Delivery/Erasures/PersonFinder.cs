namespace Notify.Delivery.Erasures;

using Marten;
using Marten.Events;
using Notify.Delivery.Planning;
using Notify.Delivery.Privacy;
using Notify.Domain.Channels;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;
using Notify.Domain.Suppressions;
using Npgsql;

/// <summary>Finds everything by which a person is known: asked before anything is locked.</summary>
public sealed class PersonFinder(SubjectKeys keys, MasterKeyRing ring)
{
    /// <summary>Finds a registered user, with all numbers and addresses that were ever theirs and that no other user has now.</summary>
    /// <exception cref="KeyNotHeldException">This host cannot unwrap the user's key, which former addresses need.</exception>
    public async Task<PersonToErase> OfUserAsync(
        IQuerySession session,
        NpgsqlConnection connection,
        string userId,
        CancellationToken cancellation
    )
    {
        var user = Recipient.KeyOf(userId);
        var addresses = await EverGivenAsync(session, connection, user, cancellation);
        var holders = await SubjectTable.HoldersAsync(connection, Of(Channel.Sms), Of(Channel.Email), cancellation);
        var taken = holders
            .Where(h => h.User != user)
            .Select(h => (h.Phone is null ? Channel.Email : Channel.Sms, h.Phone ?? h.Email!))
            .ToHashSet();
        var own = addresses.Where(a => !taken.Contains((a.Channel, a.Fingerprint))).ToList();
        var subjects = await SubjectsAsync(connection, own, cancellation);
        return new PersonToErase(user, userId, [.. subjects], [.. own.Select(a => a.Fingerprint).Distinct()]);

        string[] Of(Channel channel) => [.. addresses.Where(a => a.Channel == channel).Select(a => a.Fingerprint).Distinct()];
    }

    /// <summary>Finds the person who has an address, registered or not.</summary>
    /// <returns>The person; <c>null</c> where several registered users have the address.</returns>
    /// <exception cref="KeyNotHeldException">See <see cref="OfUserAsync"/>.</exception>
    public async Task<PersonToErase?> OfAddressAsync(
        IQuerySession session,
        NpgsqlConnection connection,
        Channel channel,
        string address,
        CancellationToken cancellation
    )
    {
        var fingerprint = await FingerprintsAsync(connection, channel, address, cancellation);
        var given = fingerprint.Select(f => new Address(channel, f, address)).ToList();
        var holders = await SubjectTable.HoldersAsync(
            connection,
            channel == Channel.Sms ? fingerprint : [],
            channel == Channel.Email ? fingerprint : [],
            cancellation
        );
        if (holders.Count > 1)
            return null;
        var subjects = await SubjectsAsync(connection, given, cancellation);
        if (holders is not [var holder])
            return new PersonToErase(null, null, [.. subjects], fingerprint);
        var person = await OfUserAsync(session, connection, holder.User["u/".Length..], cancellation);
        return person with
        {
            Subjects = [.. person.Subjects.Union(subjects).Order(StringComparer.Ordinal)],
            Fingerprints = [.. person.Fingerprints.Union(fingerprint)],
        };
    }

    private async Task<List<Address>> EverGivenAsync(
        IQuerySession session,
        NpgsqlConnection connection,
        string user,
        CancellationToken cancellation
    )
    {
        var events = await session
            .Events.QueryAllRawEvents()
            .Where(e => e.StreamKey == user && e.EventTypesAre(typeof(ContactDetailsGiven)))
            .ToListAsync(cancellation);
        var given = events.Select(e => e.Data).OfType<ContactDetailsGiven>().ToList();
        var opened = await keys.ForAsync(connection, given.Select(g => g.Details), cancellation);
        var found = new List<Address>();
        foreach (var g in given.Where(g => opened.Has(g.Details) || opened.IsLocked(g.Details)))
        {
            // Of those from before an earlier erasure nothing is theirs any more; a locked one is a fault of this host.
            var details = opened.OpenJson<ContactDetails>(g.Details, SealedPlace.OfDetails(user));
            if (g.PhoneFingerprint is { } phone)
                found.Add(new Address(Channel.Sms, phone, details?.Phone));
            if (g.EmailFingerprint is { } email)
                found.Add(new Address(Channel.Email, email, details?.Email));
        }

        return [.. found.Distinct()];
    }

    // Under all peppers in use, beside the one that counts: an erasure leaves nothing that was made while hosts switched.
    private async Task<string[]> FingerprintsAsync(
        NpgsqlConnection connection,
        Channel channel,
        string address,
        CancellationToken cancellation
    )
    {
        var texts = HashedText.Of(channel, address).ToList();
        var prints = await ring.ReadAsync(connection, texts, cancellation, notes: false);
        return [.. texts.SelectMany(t => ring.Peppers.Fingerprints(t.Purpose, t.Text)).Prepend(prints.Of(channel, address)!).Distinct()];
    }

    private async Task<SortedSet<string>> SubjectsAsync(
        NpgsqlConnection connection,
        IReadOnlyList<Address> addresses,
        CancellationToken cancellation
    )
    {
        var (subjects, texts) = (new SortedSet<string>(StringComparer.Ordinal), new HashSet<HashedText>());
        foreach (var a in addresses)
        {
            subjects.Add(Suppression.KeyOf(a.Channel, a.Fingerprint));
            if (a.Text is { } text)
                texts.UnionWith(NotificationPlanning.SubjectTextsOf(a.Channel, text));
        }

        var prints = await ring.ReadAsync(connection, texts, cancellation, notes: false);
        foreach (var t in texts)
        {
            var hashes = ring.Peppers.Fingerprints(t.Purpose, t.Text).Append(prints.Fingerprint(t.Purpose, t.Text));
            subjects.UnionWith(hashes.Select(h => NotificationPlanning.Unregistered + h));
        }

        subjects.UnionWith(
            await SubjectTable.OfAliasesAsync(
                connection,
                [.. subjects.Where(s => s.StartsWith(NotificationPlanning.Unregistered, StringComparison.Ordinal))],
                cancellation
            )
        );
        return subjects;
    }

    /// <summary>A number or address.</summary>
    /// <param name="Text">As it was given; <c>null</c> where its key was erased.</param>
    private sealed record Address(Channel Channel, string Fingerprint, string? Text);
}
