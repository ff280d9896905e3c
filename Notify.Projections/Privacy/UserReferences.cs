using System.Collections.Concurrent;
using Notify.Domain.Broadcasts;
using Notify.Domain.Recipients;
using Npgsql;

namespace Notify.Projections.Privacy;

/// <summary>
/// Turns the IDs by which callers know users into the references by which everything else knows them. Every ID that comes in passes
/// here, and nothing further in has one.
/// </summary>
/// <remarks>
/// A reference follows from the ID and takes no lookup, unless the store may have users from before references: those keep their ID as
/// their reference, and an ID is looked up before it is taken for a new user's.
/// </remarks>
public sealed class UserReferences(MasterKeyRing ring, NpgsqlDataSource database)
{
    private const int MaxKnown = 100_000;

    // By the reference that follows from the ID: whether the user is known by it, or by the ID. Neither ever changes.
    private readonly ConcurrentDictionary<string, bool> known = new(StringComparer.Ordinal);

    /// <summary>The reference of a user.</summary>
    /// <param name="userId">The ID as a caller gave it.</param>
    public async ValueTask<string> FindAsync(string userId, CancellationToken cancellation)
    {
        var userRef = ring.UserRefOf(userId);
        if (IsCertain(userRef))
            return Choose(userId, userRef);
        await using var connection = await database.OpenConnectionAsync(cancellation);
        return (await FindAsync(connection, [userId], cancellation))[userId];
    }

    /// <summary>The references of users, by the IDs as callers gave them.</summary>
    public async ValueTask<IReadOnlyDictionary<string, string>> FindAsync(
        NpgsqlConnection connection,
        IEnumerable<string> userIds,
        CancellationToken cancellation
    )
    {
        var all = userIds.Distinct().ToDictionary(u => u, ring.UserRefOf, StringComparer.Ordinal);
        var uncertain = all.Where(u => !IsCertain(u.Value)).ToList();
        if (uncertain.Count > 0)
            await LookUpAsync(connection, uncertain, cancellation);
        return all.ToDictionary(u => u.Key, u => Choose(u.Key, u.Value), StringComparer.Ordinal);
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

    private bool IsCertain(string userRef) =>
        (ring.Format is { WritesUserRefs: true, MayHavePlainUsers: false }) || known.ContainsKey(userRef);

    // New users get the form that all live hosts read.
    private string Choose(string userId, string userRef) =>
        (known.TryGetValue(userRef, out var hasRef) ? hasRef : ring.Format.WritesUserRefs) ? userRef : userId;

    // Users with a stream or a key are known; an erased user has a stream.
    private async Task LookUpAsync(
        NpgsqlConnection connection,
        IReadOnlyList<KeyValuePair<string, string>> users,
        CancellationToken cancellation
    )
    {
        await using var command = new NpgsqlCommand(
            $"""
            select k from unnest($1) as t(k) where exists (select 1 from {NotifyStore.Schema}.mt_streams s where s.id = k)
            or exists (select 1 from notify.subject_keys where subject = k and erased_at is null)
            """,
            connection
        );
        var streams = users.SelectMany(u => new[] { u.Key, u.Value }).Select(Recipient.KeyOf).ToArray();
        command.Parameters.Add(new NpgsqlParameter { Value = streams });
        var found = new HashSet<string>(StringComparer.Ordinal);
        await using (var reader = await command.ExecuteReaderAsync(cancellation))
        {
            while (await reader.ReadAsync(cancellation))
                found.Add(reader.GetString(0));
        }

        if (known.Count > MaxKnown)
            known.Clear();
        foreach (var (userId, userRef) in users)
        {
            if (found.Contains(Recipient.KeyOf(userRef)))
                known[userRef] = true;
            else if (found.Contains(Recipient.KeyOf(userId)))
                known[userRef] = false;
        }
    }
}
