using JasperFx;
using Marten;
using Marten.Exceptions;
using Notify.Domain.Recipients;
using Notify.Projections;
using Npgsql;

namespace Notify.Api.Recipients;

/// <summary>Changes a user's stream: locked, read, decided, appended; repeated whole when somebody else was quicker.</summary>
public static class RecipientChanges
{
    /// <summary>Decides on a user's events.</summary>
    /// <param name="recipient">As last committed; <c>null</c> for someone new.</param>
    public delegate Task<IReadOnlyList<object>> Decision(IDocumentSession session, Recipient? recipient, DateTimeOffset now);

    /// <summary>Runs a decision and appends what it returns.</summary>
    /// <param name="first">What must be locked before any stream; names another user whose stream the decision appends to.</param>
    public static async Task RunAsync(
        IDocumentStore store, string userId, TimeProvider clock, Decision decide, CancellationToken cancellation, Func<IDocumentSession, Task<string>>? first = null)
    {
        var key = Recipient.KeyOf(userId);
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await using var session = store.LightweightSession();
                await session.BeginTransactionAsync(cancellation);
                string[] streams = first is null ? [key] : [key, Recipient.KeyOf(await first(session))];
                await NotificationStreams.LockAsync(session, streams, cancellation);
                var recipient = await session.LoadAsync<Recipient>(key, cancellation);
                var events = await decide(session, recipient, clock.GetUtcNow());
                if (events.Count == 0) return;
                session.Events.Append(key, events);
                await session.SaveChangesAsync(cancellation);
                return;
            }
            catch (Exception e) when (attempt < 5 && IsRace(e))
            {
                await Task.Delay(TimeSpan.FromMilliseconds(10 * attempt), clock, cancellation);
            }
        }
    }

    /// <summary>Whether somebody else was quicker, and the whole transaction is to be repeated.</summary>
    internal static bool IsRace(Exception e) =>
        e is ConcurrencyException or JasperFx.Events.ExistingStreamIdCollisionException or JasperFx.Events.EventStreamUnexpectedMaxEventIdException
            or PostgresException { SqlState: PostgresErrorCodes.UniqueViolation or PostgresErrorCodes.DeadlockDetected or PostgresErrorCodes.SerializationFailure } // also a reused sequence number
        || (e.InnerException is { } inner && IsRace(inner));
}
