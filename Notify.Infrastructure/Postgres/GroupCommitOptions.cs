namespace Notify.Infrastructure.Postgres;

/// <summary>Bounds and rules of a <see cref="GroupCommit{TItem, TResult}"/>.</summary>
/// <typeparam name="TItem">An item of a group.</typeparam>
public sealed record GroupCommitOptions<TItem>
{
    /// <summary>The largest number of items in one commit.</summary>
    public int MaxItems { get; init; } = 250;

    /// <summary>The largest number of bytes in one commit; a larger item is committed alone.</summary>
    public long MaxBytes { get; init; } = long.MaxValue;

    /// <summary>Commits that may run side by side.</summary>
    public int Committers { get; init; } = 1;

    /// <summary>
    /// The least time from the end of one commit to the start of the next while a group is not full: requests then share
    /// commits, and a request after a pause is committed at once.
    /// </summary>
    public TimeSpan Pace { get; init; }

    /// <summary>The lower rank goes first; within a rank, owners take turns. Without it, items go in the order of their arrival.</summary>
    public Func<TItem, (int Rank, string Owner)>? BelongsTo { get; init; }

    /// <summary>The row or stream that an item locks. Items with the key of an item that is blocked wait behind it, in order.</summary>
    public Func<TItem, string>? KeyOf { get; init; }

    /// <summary>The bytes that an item takes in memory.</summary>
    public Func<TItem, long>? BytesOf { get; init; }

    /// <summary>Items that may wait or be committed at once; more are refused.</summary>
    /// <remarks>A tenth is kept for the first rank, and no owner takes more than half.</remarks>
    public int MaxWaiting { get; init; } = int.MaxValue;

    /// <summary>How long an item waits for its commit before its caller is answered.</summary>
    public TimeSpan MaxWait { get; init; } = Timeout.InfiniteTimeSpan;

    /// <summary>How long one statement of a commit may take.</summary>
    public TimeSpan StatementTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long one commit may take; a longer one is broken off.</summary>
    public TimeSpan CommitTimeout { get; init; } = Timeout.InfiniteTimeSpan;

    /// <summary>How often a commit is tried while the database is away.</summary>
    public int MaxTries { get; init; } = 1;

    /// <summary>Reports that items are committed apart from the others: how many, and the fault.</summary>
    public Action<IReadOnlyList<TItem>, Exception>? OnIsolated { get; init; }
}

/// <summary>Too many items are waiting; this one was not added.</summary>
public sealed class CommitBusyException() : Exception("More is waiting for a commit than may.");

/// <summary>An item waited for its commit as long as it may.</summary>
/// <param name="wasTried">Whether a commit with the item was begun: it may then have been committed.</param>
public sealed class CommitWaitException(bool wasTried) : Exception("The commit took longer than its caller waits.")
{
    /// <summary>Whether a commit with the item was begun: it may then have been committed.</summary>
    public bool WasTried { get; } = wasTried;
}
