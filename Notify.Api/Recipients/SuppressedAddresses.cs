using Marten;
using Marten.Events;
using Notify.Domain.Notifications;
using Notify.Domain.Recipients;
using Notify.Domain.Suppressions;
using Notify.Projections;
using Npgsql;

namespace Notify.Api.Recipients;

/// <summary>Finds the suppressions that contain addresses of an erased user, encrypted under keys of their own.</summary>
public static class SuppressedAddresses
{
    /// <summary>The subjects of all numbers and addresses that a user ever gave, in order.</summary>
    /// <param name="key">The user's stream.</param>
    public static async Task<string[]> EverGivenAsync(IQuerySession session, string key, CancellationToken cancellation)
    {
        var given = await session.Events.QueryAllRawEvents().Where(e => e.StreamKey == key && e.EventTypesAre(typeof(ContactDetailsGiven))).ToListAsync(cancellation);
        return [.. given.Select(e => e.Data).OfType<ContactDetailsGiven>()
            .SelectMany(g => new[] { SubjectOf(Channel.Sms, g.PhoneFingerprint), SubjectOf(Channel.Email, g.EmailFingerprint) }).OfType<string>().Distinct().Order(StringComparer.Ordinal)];
    }

    /// <summary>Those among them which another user has now: they are that user's, and are erased with them.</summary>
    /// <remarks>May look through all users, where one of the addresses was given to be suppressed; to be asked before anything is locked.</remarks>
    public static async Task<IReadOnlySet<string>> OthersHaveAsync(IQuerySession session, string key, CancellationToken cancellation)
    {
        var subjects = (await session.QueryAsync<string>("select subject from notify.subject_keys where subject = any(?) and erased_at is null", cancellation, (object)await EverGivenAsync(session, key, cancellation))).ToHashSet(StringComparer.Ordinal);
        if (subjects.Count == 0) return subjects;
        await using var command = new NpgsqlCommand(
            $"""
            select data ->> 'phoneFingerprint', data ->> 'emailFingerprint' from {NotifyStore.Schema}.mt_doc_recipient
            where id <> $1 and (data ->> 'phoneFingerprint' = any($2) or data ->> 'emailFingerprint' = any($2))
            """, session.Connection)
        {
            Parameters = { new NpgsqlParameter { Value = key }, new NpgsqlParameter { Value = subjects.Select(s => s[(s.IndexOf(':', StringComparison.Ordinal) + 1)..]).ToArray() } },
        };
        var others = new HashSet<string>(StringComparer.Ordinal);
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        while (await reader.ReadAsync(cancellation))
        {
            if (!reader.IsDBNull(0)) others.Add(SubjectOf(Channel.Sms, reader.GetString(0))!);
            if (!reader.IsDBNull(1)) others.Add(SubjectOf(Channel.Email, reader.GetString(1))!);
        }

        return others;
    }

    private static string? SubjectOf(Channel channel, string? fingerprint) => fingerprint is null ? null : Suppression.KeyOf(channel, fingerprint);
}
