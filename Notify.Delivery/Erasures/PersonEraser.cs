namespace Notify.Delivery.Erasures;

using System.Security.Cryptography;
using Marten;
using Notify.Delivery.EventStore;
using Notify.Delivery.Recipients;
using Notify.Delivery.Topics;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;
using Npgsql;

/// <summary>
/// Erases a person in one transaction: their keys, whose devices were theirs, their topics; with the events that say so. The erasure
/// stands in the erasure log before it is committed.
/// </summary>
/// <remarks>Locks: devices, the user's stream, keys in the order of their IDs.</remarks>
public sealed class PersonEraser(IDocumentStore store, ErasureLog log, TimeProvider clock)
{
    /// <summary>Erases a person, with the event that proves it.</summary>
    /// <param name="namedBy">See <see cref="PersonErased"/>.</param>
    /// <param name="by">The client that asked.</param>
    /// <returns>The counts; both are 0 where nothing was kept of the person.</returns>
    public async Task<ErasureResult> EraseAsync(PersonToErase person, string namedBy, string by, CancellationToken cancellation)
    {
        await using var session = store.LightweightSession();
        await session.BeginTransactionAsync(cancellation);
        var connection = session.Connection!;
        var isRegistered = person is { User: { } user, UserId: { } userId } && await LockAsync(session, user, userId, cancellation);
        var now = clock.GetUtcNow();
        IReadOnlyList<string> subjects = person.User is null ? person.Subjects : [person.User, .. person.Subjects];
        var erased = await SubjectTable.EraseAsync(connection, subjects, now, null, cancellation);
        var isUserErased = person.User is not null && (isRegistered || erased.Contains(person.User));
        await ForgetAsync(connection, person, erased, isUserErased, cancellation);
        if (isUserErased)
            session.Events.Append(person.User!, new UserErased(by, now));
        var result = new ErasureResult(isUserErased ? 1 : 0, erased.Count);
        if (isUserErased || erased.Count > 0)
        {
            var id = RandomNumberGenerator.GetHexString(24, lowercase: true);
            session.Events.StartStream(PersonErased.KeyOf(id), new PersonErased(id, namedBy, result.Users, result.Keys, by, now));
            await log.AddAsync(new ErasureEntry(id, now, isUserErased ? [person.User!] : [], [.. erased.Distinct()]), cancellation);
        }

        session.QueueSqlCommand("select 1"); // a session without changes would not commit
        await session.SaveChangesAsync(cancellation);
        return result;
    }

    private static async Task<bool> LockAsync(IDocumentSession session, string user, string userId, CancellationToken cancellation)
    {
        await DeviceTable.HoldAsync(session.Connection!, userId, cancellation);
        await NotificationStreams.LockNewAsync(session, [user], user, cancellation);
        return await session.LoadAsync<Recipient>(user, cancellation) is { IsErased: false };
    }

    private static async Task ForgetAsync(
        NpgsqlConnection connection,
        PersonToErase person,
        List<string> erased,
        bool isUserErased,
        CancellationToken cancellation
    )
    {
        if (erased.Count > 0)
            await SubjectTable.ForgetAliasesAsync(connection, erased, cancellation);
        if (person.Fingerprints.Count > 0)
            await SubjectTable.DropWaitingTextsAsync(connection, person.Fingerprints, cancellation);
        if (!isUserErased || person.UserId is not { } userId)
            return;
        await DeviceTable.ForgetAsync(connection, userId, null, cancellation);
        await TopicSubscribers.ForgetAsync(connection, userId, cancellation);
    }
}
