namespace Notify.Infrastructure.Postgres;

using Npgsql;

/// <summary>Why a commit failed, as far as it decides what happens to the group.</summary>
internal enum CommitFault
{
    /// <summary>An item cannot be stored: it fails, and the others are committed without it.</summary>
    Data,

    /// <summary>A lock is held by another transaction, or a statement takes too long: the item that needs it waits apart.</summary>
    Blocked,

    /// <summary>The transaction lost a race; repeated whole, it succeeds.</summary>
    Race,

    /// <summary>The database is away.</summary>
    Away,
}

/// <summary>Classifies the faults of commits.</summary>
internal static class CommitFaults
{
    /// <summary>Classifies an exception of a commit.</summary>
    public static CommitFault Of(Exception e) =>
        e switch
        {
            CommitTimeoutException => CommitFault.Blocked,
            PostgresException { SqlState: PostgresErrorCodes.LockNotAvailable or PostgresErrorCodes.QueryCanceled } => CommitFault.Blocked,
            PostgresException { SqlState: PostgresErrorCodes.DeadlockDetected or PostgresErrorCodes.SerializationFailure } =>
                CommitFault.Race,
            // The host was too busy to go on with a transaction, which was ended.
            _ when DatabaseFaults.IsReusedSequence(e) || DatabaseFaults.IsIdleTransaction(e) => CommitFault.Race,
            NpgsqlException { InnerException: TimeoutException } => CommitFault.Blocked,
            { InnerException: { } inner } when Of(inner) is var fault && fault != CommitFault.Data => fault,
            _ => DatabaseFaults.IsPassing(e) ? CommitFault.Away : CommitFault.Data,
        };
}

/// <summary>A commit took longer than it may, and was broken off.</summary>
public sealed class CommitTimeoutException(Exception inner) : Exception("The commit took longer than it may, and was broken off.", inner);
