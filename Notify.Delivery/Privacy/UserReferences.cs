namespace Notify.Delivery.Privacy;

using System.Collections.Concurrent;
using Notify.Delivery.EventStore;
using Notify.Domain.Broadcasts;
using Notify.Domain.Recipients;
using Npgsql;

/// <summary>
/// Turns the IDs by which callers know users into the references by which everything else knows them. Every ID that comes in passes
/// here, and nothing further in has one.
/// </summary>
/// <remarks>
/// A reference follows from the ID and takes no lookup, unless the store may have users who are known otherwise: by a reference under a
/// former pepper, or from before references by their ID. Both keep it, and an ID is looked up before it is taken for a new user's. While
/// several peppers are in use, the reference of a new user is claimed, so that two hosts give them the same one.
/// </remarks>
public sealed class UserReferences(MasterKeyRing ring, NpgsqlDataSource database)
{
    private const int MaxKnown = 100_000;

    // By the reference that follows from the ID: the one by which the user is known; null: by the ID. Neither ever changes.
    private readonly ConcurrentDictionary<string, string?> known = new(StringComparer.Ordinal);

    /// <summary>The reference of a user.</summary>
    /// <param name="userId">The ID as a caller gave it.</param>
    public async ValueTask<string> FindAsync(string userId, CancellationToken cancellation)
    {
        var use = ring.Peppers.Use;
        if (Remembered(new Candidate(use, userId)) is { } remembered)
            return remembered;
        await using var connection = await database.OpenConnectionAsync(cancellation);
        return (await FindAsync(connection, use, [userId], mayRemember: true, cancellation))[userId];
    }

    /// <summary>The references of users, by the IDs as callers gave them.</summary>
    /// <param name="connection">In a transaction that writes: new users are claimed there.</param>
    public async ValueTask<IReadOnlyDictionary<string, string>> FindAsync(
        NpgsqlConnection connection,
        IEnumerable<string> userIds,
        CancellationToken cancellation
    )
    {
        // A claim that is rolled back is none.
        var use = ring.Peppers.Use;
        return await FindAsync(connection, use, userIds, use.Ids.Count == 1, cancellation);
    }

    /// <summary>The event ID of a notification, where a caller may have named a broadcast's by the user's ID.</summary>
    /// <param name="eventId">The event ID, or <c>{broadcastId}@{userId}</c>.</param>
    public async ValueTask<string> FindEventIdAsync(string eventId, CancellationToken cancellation)
    {
        if (Broadcast.IdOf(eventId) is not { } broadcast)
            return eventId;
        var user = eventId[(broadcast.Length + 1)..];
        return UserRef.Is(user) ? eventId : Broadcast.EventIdOf(broadcast, await FindAsync(user, cancellation));
    }

    /// <summary>The keys of streams and subjects, where people may have named a user's by the user's ID.</summary>
    /// <param name="keys">Keys, or <c>u/{userId}</c>.</param>
    public async Task<IReadOnlyList<string>> FindStreamsAsync(IReadOnlyList<string> keys, CancellationToken cancellation)
    {
        var (prefix, found) = (Recipient.KeyOf(""), new List<string>(keys.Count));
        foreach (var key in keys)
        {
            var isNamed = key.StartsWith(prefix, StringComparison.Ordinal) && !UserRef.IsOfSubject(key);
            found.Add(isNamed ? Recipient.KeyOf(await FindAsync(key[prefix.Length..], cancellation)) : key);
        }

        return found;
    }

    private async Task<IReadOnlyDictionary<string, string>> FindAsync(
        NpgsqlConnection connection,
        PepperUse use,
        IEnumerable<string> userIds,
        bool mayRemember,
        CancellationToken cancellation
    )
    {
        var all = userIds.Distinct().Select(u => new Candidate(use, u)).ToList();
        var found = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var user in all)
        {
            if (Remembered(user) is { } remembered)
                found[user.UserId] = remembered;
        }

        var uncertain = all.Where(u => !found.ContainsKey(u.UserId)).ToList();
        if (uncertain.Count == 0)
            return found;
        var streams = await StreamsAsync(connection, uncertain, cancellation);
        var references = use.NeedsLookUp ? await NotedAsync(connection, uncertain, cancellation) : [];
        var resolved = uncertain.ToDictionary(u => u, u => ByReference(u, references) ?? ByStream(u, streams));
        if (use.Ids.Count > 1 && await NoteAsync(connection, use, resolved, references, cancellation))
        {
            references = await NotedAsync(connection, uncertain, cancellation);
            foreach (var user in uncertain)
                resolved[user] = ByReference(user, references) ?? resolved[user];
        }

        if (known.Count > MaxKnown)
            known.Clear();
        foreach (var (user, reference) in resolved)
        {
            found[user.UserId] = reference ?? (ring.Format.WritesUserRefs ? user.Current : user.UserId);
            if (mayRemember && reference is not null)
                known[user.Current] = reference == user.UserId ? null : reference;
        }

        return found;
    }

    private string? Remembered(Candidate user) =>
        known.TryGetValue(user.Current, out var reference) ? reference ?? user.UserId
        : ring.Format is { WritesUserRefs: true, MayHavePlainUsers: false } && !user.Use.NeedsLookUp ? user.Current
        : null;

    private static string? ByReference(Candidate user, Dictionary<string, string> references) =>
        user.Hashes.Select(references.GetValueOrDefault).FirstOrDefault(r => r is not null) is { } hash ? UserRef.Mark + hash : null;

    // Those under the oldest peppers first: a stream from before the pepper was replaced is never left for another one.
    private static string? ByStream(Candidate user, HashSet<string> streams) =>
        user
            .Hashes.Skip(1)
            .Append(user.Hashes[0])
            .Select(h => UserRef.Mark + h)
            .Append(user.UserId)
            .FirstOrDefault(r => streams.Contains(Recipient.KeyOf(r)));

    // Users with a stream or a key are known; an erased user has a stream.
    private static async Task<HashSet<string>> StreamsAsync(
        NpgsqlConnection connection,
        IReadOnlyList<Candidate> users,
        CancellationToken cancellation
    )
    {
        await using var command = new NpgsqlCommand(
            $"""
            select k from unnest($1) as t(k) where exists (select 1 from {EventSchema.Name}.mt_streams s where s.id = k)
            or exists (select 1 from notify.subject_keys where subject = k and erased_at is null)
            """,
            connection
        );
        var streams = users.SelectMany(u => u.Hashes.Select(h => UserRef.Mark + h).Append(u.UserId)).Select(Recipient.KeyOf).ToArray();
        command.Parameters.Add(new NpgsqlParameter { Value = streams });
        var found = new HashSet<string>(StringComparer.Ordinal);
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        while (await reader.ReadAsync(cancellation))
            found.Add(reader.GetString(0));
        return found;
    }

    private static Task<Dictionary<string, string>> NotedAsync(
        NpgsqlConnection connection,
        IEnumerable<Candidate> users,
        CancellationToken cancellation
    ) => HashReferenceTable.FindAsync(connection, HashReferenceTable.Users, [.. users.SelectMany(u => u.Hashes)], cancellation);

    // Claims new users under all peppers in use: hosts that differ in the current one meet in the same rows. Known ones are noted under the
    // current pepper alone.
    private async Task<bool> NoteAsync(
        NpgsqlConnection connection,
        PepperUse use,
        Dictionary<Candidate, string?> resolved,
        Dictionary<string, string> references,
        CancellationToken cancellation
    )
    {
        var news = new List<(string Kind, string Hash, string Reference, string Pepper)>();
        foreach (var (user, reference) in resolved)
        {
            if (reference is null && ring.Format.WritesUserRefs)
                news.AddRange(user.Hashes.Select((h, i) => (HashReferenceTable.Users, h, user.Hashes[0], use.Ids[i])));
            else if (reference is not null && UserRef.Is(reference) && reference != user.Current && !references.ContainsKey(user.Hashes[0]))
                news.Add((HashReferenceTable.Users, user.Hashes[0], reference[1..], use.CurrentId));
        }

        await HashReferenceTable.NoteAsync(connection, news, cancellation);
        return news.Count > 0;
    }

    // A user by the hashes of their ID, that under the current pepper first.
    private sealed class Candidate(PepperUse use, string userId)
    {
        private IReadOnlyList<string>? hashes;

        public PepperUse Use => use;

        public string UserId => userId;

        public IReadOnlyList<string> Hashes => hashes ??= [.. use.Ids.Select(p => use.Ring.UserHashUnder(p, userId))];

        public string Current { get; } = Domain.Recipients.UserRef.Mark + use.Ring.UserHashUnder(use.CurrentId, userId);
    }
}
