using System.Net.Sockets;
using Npgsql;

namespace Notify.Projections;

/// <summary>Tells faults of the database that pass by themselves from faults of ours.</summary>
public static class DatabaseFaults
{
    /// <summary>
    /// Whether the database is away, restarting, overloaded, or made a transaction lose a race: the same transaction,
    /// repeated whole, can succeed.
    /// </summary>
    public static bool IsPassing(Exception e) => e switch
    {
        PostgresException p => p.IsTransient || IsReusedSequence(p) || p.SqlState is
            PostgresErrorCodes.AdminShutdown or PostgresErrorCodes.CrashShutdown or PostgresErrorCodes.CannotConnectNow
            or PostgresErrorCodes.TooManyConnections or PostgresErrorCodes.SerializationFailure or PostgresErrorCodes.DeadlockDetected
            or PostgresErrorCodes.ReadOnlySqlTransaction,
        NpgsqlException n when n.IsTransient => true,
        SocketException or TimeoutException or IOException => true,
        // What a connection that broke in the middle of a transaction says to the next statement.
        InvalidOperationException { Source: "Npgsql" } or ObjectDisposedException { Source: "Npgsql" } => true,
        AggregateException a => a.InnerExceptions.All(IsPassing),
        _ => e.InnerException is { } inner && IsPassing(inner),
    };

    /// <summary>
    /// Whether an event's sequence number was given out twice: after a crash PostgreSQL may repeat numbers whose use it had
    /// not yet written down. Each try draws new ones, so it passes.
    /// </summary>
    public static bool IsReusedSequence(Exception e) =>
        e is PostgresException { SqlState: PostgresErrorCodes.UniqueViolation, ConstraintName: "pkey_mt_events_seq_id" } || (e.InnerException is { } inner && IsReusedSequence(inner));
}
