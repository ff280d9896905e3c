namespace Notify.Infrastructure.Postgres;

using System.Net.Sockets;
using JasperFx;
using JasperFx.Events;
using Marten.Exceptions;
using Npgsql;

/// <summary>Separates faults that the data cause from all others, which pass by themselves or when an operator fixes them.</summary>
/// <remarks>
/// The rule is: every fault of the database is transient, except those that PostgreSQL raises because of the rows and values of
/// this very transaction (SQLSTATE classes 21, 22, 23, 42, 44, 54, P0 and corrupt pages). An exception with no fault of the
/// database, the network or the clock in it is a fault of the program, and repeats with the same data.
/// </remarks>
public static class DatabaseFaults
{
    private static readonly string[] DataClasses = ["21", "22", "23", "42", "44", "54", "P0"];

    /// <summary>
    /// Whether the same transaction, repeated whole, can succeed: the database is away, restarting, overloaded, too slow for a
    /// time-out, read-only, or the transaction lost a race.
    /// </summary>
    public static bool IsPassing(Exception e) =>
        e switch
        {
            PostgresException p => IsRace(p) || !IsOfTheData(p),
            NpgsqlException or SocketException or TimeoutException or IOException or OutOfMemoryException => true,
            // An execution time-out. Callers that stop check their own token first.
            OperationCanceledException => true,
            ConcurrencyException or EventStreamUnexpectedMaxEventIdException or SessionTransactionUnusableException => true,
            // The answer of a connection that broke in the middle of a transaction to the next statement.
            InvalidOperationException { Source: "Npgsql" } or ObjectDisposedException { Source: "Npgsql" } => true,
            AggregateException a => a.InnerExceptions.All(IsPassing),
            _ => e.InnerException is { } inner && IsPassing(inner),
        };

    /// <summary>Whether a statement or a lock took too long: less work in one transaction can succeed.</summary>
    public static bool IsTimeOut(Exception e) =>
        e switch
        {
            PostgresException p => p.SqlState is PostgresErrorCodes.QueryCanceled or PostgresErrorCodes.LockNotAvailable,
            NpgsqlException { InnerException: TimeoutException } n => n.Message.StartsWith(
                "Exception while reading",
                StringComparison.Ordinal
            ),
            AggregateException a => a.InnerExceptions.Any(IsTimeOut),
            _ => e.InnerException is { } inner && IsTimeOut(inner),
        };

    /// <summary>Whether another transaction holds a lock.</summary>
    public static bool IsLocked(Exception e) =>
        e is PostgresException { SqlState: PostgresErrorCodes.LockNotAvailable } || (e.InnerException is { } inner && IsLocked(inner));

    /// <summary>
    /// Whether one row of many may be the cause, so that less work can succeed: a value that cannot be read or stored, or a lock that
    /// somebody else holds.
    /// </summary>
    public static bool MayBeOfOneRow(Exception e) => e is not OutOfMemoryException && (!IsPassing(e) || IsTimeOut(e));

    /// <summary>
    /// Describes a fault for the log without its message, which may contain a notification's data: its type and our place in the code.
    /// </summary>
    public static string Describe(Exception e) =>
        $"{e.GetType().Name} {e.StackTrace?.Split('\n').FirstOrDefault(l => l.Contains("Notify.", StringComparison.Ordinal))?.Trim()}".TrimEnd();

    /// <summary>
    /// Whether a transaction was ended because its host was idle in it: nothing of it is committed, and it can be repeated at once.
    /// </summary>
    public static bool IsIdleTransaction(Exception e) =>
        e is PostgresException { SqlState: "25P03" } || (e.InnerException is { } inner && IsIdleTransaction(inner));

    /// <summary>Whether the server ended the connection or is away, so that idle connections of the same pool are broken, too.</summary>
    public static bool IsBrokenConnection(Exception e) =>
        e.GetBaseException()
            is SocketException
                or IOException
                or PostgresException
                {
                    SqlState: PostgresErrorCodes.AdminShutdown or PostgresErrorCodes.CrashShutdown or PostgresErrorCodes.CannotConnectNow
                };

    /// <summary>
    /// Whether an event's sequence number was given out twice: after a crash PostgreSQL may repeat numbers whose use it had
    /// not yet written down. Each try draws new ones, so it passes.
    /// </summary>
    public static bool IsReusedSequence(Exception e) =>
        e is PostgresException { SqlState: PostgresErrorCodes.UniqueViolation, ConstraintName: "pkey_mt_events_seq_id" }
        || (e.InnerException is { } inner && IsReusedSequence(inner));

    private static bool IsOfTheData(PostgresException p) =>
        p.SqlState is PostgresErrorCodes.DataCorrupted or PostgresErrorCodes.IndexCorrupted
        || DataClasses.Any(c => p.SqlState.StartsWith(c, StringComparison.Ordinal));

    // Two appends to one stream, or the first two to a new one: the second sees the first when it is repeated.
    private static bool IsRace(PostgresException p) =>
        p
            is {
                SqlState: PostgresErrorCodes.UniqueViolation,
                ConstraintName: "pkey_mt_events_seq_id" or "pk_mt_events_stream_and_version" or "pkey_mt_streams_id"
            };
}
