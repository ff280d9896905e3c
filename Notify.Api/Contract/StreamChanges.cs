namespace Notify.Api.Contract;

using JasperFx;
using Marten;
using Marten.Exceptions;
using Notify.Delivery.EventStore;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>Changes a stream that has a snapshot: locked, read, decided, appended; repeated whole when somebody else was quicker.</summary>
public static class StreamChanges
{
    /// <summary>Decides on a stream's events.</summary>
    /// <param name="snapshot">As last committed; <c>null</c> for a stream that is not there yet.</param>
    public delegate Task<IReadOnlyList<object>> Decision<in T>(IDocumentSession session, T? snapshot, DateTimeOffset now);

    /// <summary>Runs a decision and appends what it returns, together with what it has put into the session; where that is nothing, nothing
    /// is committed.</summary>
    /// <param name="key">The stream's key, and its snapshot's ID.</param>
    /// <param name="first">Takes the locks that come before any stream; returns another stream that the decision appends to.</param>
    public static Task RunAsync<T>(
        IDocumentStore store,
        string key,
        TimeProvider clock,
        Decision<T> decide,
        CancellationToken cancellation,
        Func<IDocumentSession, Task<string>>? first = null
    )
        where T : class =>
        RepeatAsync(
            clock,
            async () =>
            {
                await using var session = store.LightweightSession();
                await session.BeginTransactionAsync(cancellation);
                string[] streams = first is null ? [key] : [key, await first(session)];
                await NotificationStreams.LockNewAsync(session, streams, key, cancellation);
                var snapshot = await session.LoadAsync<T>(key, cancellation);
                var events = await decide(session, snapshot, clock.GetUtcNow());
                if (events.Count > 0)
                    session.Events.Append(key, events);
                await session.SaveChangesAsync(cancellation);
            },
            cancellation
        );

    /// <summary>Runs a transaction, again as long as it loses a race.</summary>
    public static async Task RepeatAsync(TimeProvider clock, Func<Task> transaction, CancellationToken cancellation)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await transaction();
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
        e
            is ConcurrencyException
                or JasperFx.Events.ExistingStreamIdCollisionException
                or JasperFx.Events.EventStreamUnexpectedMaxEventIdException
                or PostgresException
                {
                    SqlState: PostgresErrorCodes.UniqueViolation
                        or PostgresErrorCodes.DeadlockDetected
                        or PostgresErrorCodes.SerializationFailure
                } // also a reused sequence number
        || DatabaseFaults.IsIdleTransaction(e)
        || (e.InnerException is { } inner && IsRace(inner));
}
