namespace Notify.Infrastructure.Postgres;

using Npgsql;

/// <summary>How long a transaction waits for each lock, and how long each of its statements may take.</summary>
/// <remarks>A short lock time-out is what finds the item that is blocked; see <see cref="GroupCommit{TItem, TResult}"/>.</remarks>
public readonly record struct CommitLimits(TimeSpan Lock, TimeSpan Statement)
{
    /// <summary>Sets the limits for the current transaction of a connection.</summary>
    public async Task ApplyAsync(NpgsqlConnection connection, CancellationToken cancellation)
    {
        await using var command = new NpgsqlCommand(
            "select set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true)",
            connection
        );
        command.Parameters.Add(new NpgsqlParameter { Value = Milliseconds(Lock) });
        command.Parameters.Add(new NpgsqlParameter { Value = Milliseconds(Statement) });
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>The limits of a group, of a part of a group that failed, and of an item alone.</summary>
    internal static CommitLimits OfGroup(TimeSpan longest, long bytes) =>
        new(TimeSpan.FromMilliseconds(250), Statements(2000, longest, bytes));

    internal static CommitLimits OfPart(TimeSpan longest, long bytes, int fruitless) =>
        new(TimeSpan.FromMilliseconds(Math.Min(100 << fruitless, 1000)), Statements(500 << fruitless, longest, bytes));

    internal static CommitLimits OfOne(TimeSpan longest) => new(TimeSpan.FromSeconds(1), longest);

    // Large items take longer to write: a second for each MiB.
    private static TimeSpan Statements(int milliseconds, TimeSpan longest, long bytes)
    {
        var limit = TimeSpan.FromMilliseconds(milliseconds + (bytes / 1024 * 1000 / 1024));
        return limit < longest ? limit : longest;
    }

    private static string Milliseconds(TimeSpan time) =>
        Math.Max(1, (long)time.TotalMilliseconds).ToString(System.Globalization.CultureInfo.InvariantCulture);
}
