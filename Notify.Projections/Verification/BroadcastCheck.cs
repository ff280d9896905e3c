namespace Notify.Projections.Verification;

using Marten;
using Notify.Delivery.Broadcasts;
using Notify.Delivery.EventStore;
using Notify.Domain.Broadcasts;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>Checks that running broadcasts are carried on, and that ended ones made all the notifications that they counted.</summary>
internal static class BroadcastCheck
{
    /// <summary>Checks the broadcasts of streams, in the snapshot in which they were read.</summary>
    public static async Task<VerificationCounts> CheckAsync(
        NpgsqlConnection connection,
        IReadOnlyCollection<StreamContent> streams,
        Action<VerificationFault> fault,
        CancellationToken cancellation
    )
    {
        foreach (var stream in streams)
        {
            var (state, expanded) = Fold(stream);
            var row = await BroadcastTable.FindAsync(connection, stream.Key, cancellation);
            if (row is null)
                Report(stream.Key, "accepted, but has no row, and nothing carries it on");
            else if (row.State != state)
                Report(stream.Key, $"{state} in its stream, but {row.State} in its row");
            else if (expanded is { } made && made != row.Expanded)
                Report(stream.Key, $"{made:N0} notifications made by its stream, {row.Expanded:N0} by its row");
            else if (state is BroadcastState.Scheduled or BroadcastState.Expanding && row.DueAt is null)
                Report(stream.Key, $"{state}, and nothing carries it on");
        }

        return new VerificationCounts { Broadcasts = streams.Count };

        void Report(string key, string what) => fault(new VerificationFault(VerificationFaultKind.BroadcastLost, key, null, what));
    }

    /// <summary>Checks rows, a page at a time: those without a stream, those that nobody carries on, and those with fewer
    /// notifications than they counted.</summary>
    /// <param name="made">By the beginning of their keys: the notifications that exist; <c>null</c>: they were not counted.</param>
    /// <param name="startedAt">The verification's start; counts of broadcasts that ended later are not compared.</param>
    /// <param name="overdueBefore">A broadcast that is due since then is overdue.</param>
    /// <returns>Where the next page begins; <c>null</c>: this is the last.</returns>
    public static async Task<string?> CheckRowsAsync(
        NpgsqlConnection connection,
        IReadOnlyDictionary<string, long>? made,
        DateTimeOffset startedAt,
        DateTimeOffset overdueBefore,
        string after,
        int limit,
        Action<VerificationFault> fault,
        CancellationToken cancellation
    )
    {
        // All rows where notifications were counted; else only those at which somebody must work.
        await using var command = SqlCommands.Create(
            connection,
            $"""
            select b.key, b.state, b.due_at, b.expanded, b.ended_at, s.id is not null
            from (
                select key, state, due_at, expanded, ended_at from notify.broadcasts
                where key > $1 and ($3 or state in (0, 1) or due_at < $4) order by key limit $2) b
            left join {EventSchema.Name}.mt_streams s on s.id = b.key order by b.key
            """,
            after,
            limit,
            made is not null,
            overdueBefore
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var (rows, last) = (0, after);
        while (await reader.ReadAsync(cancellation))
        {
            rows++;
            last = reader.GetString(0);
            var (state, due, expanded) = ((BroadcastState)reader.GetInt16(1), Time(2), reader.GetInt64(3));
            if (!reader.GetBoolean(5))
                Report(VerificationFaultKind.BroadcastLost, "has a row, but no stream");
            else if (due < overdueBefore)
                Report(VerificationFaultKind.BroadcastLost, $"{state}, due since {due:yyyy-MM-dd HH:mm:ss}Z, and nobody carries it on");
            else if (due is null && state is BroadcastState.Scheduled or BroadcastState.Expanding && made is null)
                Report(VerificationFaultKind.BroadcastLost, $"{state}, and nothing carries it on");
            if (made is null || !(Time(4) < startedAt) || made.GetValueOrDefault($"n/{last[2..]}@") is var count && count == expanded)
                continue;
            Report(VerificationFaultKind.BroadcastIncomplete, $"{state} with {expanded:N0} notifications, of which {count:N0} exist");
        }

        return rows < limit ? null : last;

        DateTimeOffset? Time(int column) => reader.IsDBNull(column) ? null : reader.GetFieldValue<DateTimeOffset>(column);
        void Report(VerificationFaultKind kind, string what) => fault(new VerificationFault(kind, last, null, what));
    }

    private static (BroadcastState State, long? Expanded) Fold(StreamContent stream)
    {
        var (state, hasStarted, expanded) = (BroadcastState.Scheduled, false, (long?)null);
        foreach (var e in stream.Events.Select(e => e.Data))
        {
            (state, expanded) = e switch
            {
                BroadcastStarted => (BroadcastState.Expanding, null),
                BroadcastPaused p => (BroadcastState.Paused, p.Expanded),
                BroadcastResumed => (hasStarted ? BroadcastState.Expanding : BroadcastState.Scheduled, null),
                BroadcastCancelled c => (BroadcastState.Cancelled, c.Expanded),
                BroadcastExpired x => (BroadcastState.Expired, x.Expanded),
                BroadcastCompleted c => (BroadcastState.Completed, c.Expanded),
                _ => (state, expanded),
            };
            hasStarted |= e is BroadcastStarted;
        }

        return (state, expanded);
    }
}
