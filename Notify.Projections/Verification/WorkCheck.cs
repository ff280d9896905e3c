namespace Notify.Projections.Verification;

using Notify.Delivery.DeliveryQueue;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>A delivery in flight that no living host answers for.</summary>
internal readonly record struct OrphanedClaim(Guid DeliveryId, Guid? ClaimId, string Notification);

/// <summary>Checks the rows of work by themselves: rows without a stream, claims without a living host, unknown outcomes past
/// their time.</summary>
internal static class WorkCheck
{
    /// <summary>Reads the rows of notifications.</summary>
    public static async Task<ILookup<string, WorkRow>> RowsAsync(
        NpgsqlConnection connection,
        IReadOnlyCollection<string> keys,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            // Deliveries in their queues are polled, and deliveries in flight have their host: neither has a time of its own.
            """
            select delivery_id, notification, state, due_at is not null or state in (0, 1, 6)
            from notify.open_deliveries where notification = any($1)
            """,
            (object)keys.ToArray()
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var rows = new List<WorkRow>();
        while (await reader.ReadAsync(cancellation))
            rows.Add(new WorkRow(reader.GetGuid(0), reader.GetString(1), (OpenState)reader.GetInt16(2), reader.GetBoolean(3)));
        return rows.ToLookup(r => r.Notification, StringComparer.Ordinal);
    }

    /// <summary>Checks rows whose notification has no event ID, and unknown outcomes that nobody looked after, a page at a time.</summary>
    /// <param name="overdueBefore">An unknown outcome that is due since then is overdue.</param>
    /// <returns>Where the next page begins; <c>null</c>: this is the last.</returns>
    public static async Task<Guid?> CheckRowsAsync(
        NpgsqlConnection connection,
        DateTimeOffset overdueBefore,
        Guid after,
        int limit,
        Action<VerificationFault> fault,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            """
            select d.delivery_id, d.notification, d.state, d.due_at, k.key is not null
            from (
                select delivery_id, notification, state, due_at from notify.open_deliveries
                where delivery_id > $1 order by delivery_id limit $2) d
            left join notify.event_ids k on k.key = d.notification order by d.delivery_id
            """,
            after,
            limit
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var (rows, last) = (0, after);
        while (await reader.ReadAsync(cancellation))
        {
            rows++;
            last = reader.GetGuid(0);
            var state = (OpenState)reader.GetInt16(2);
            DateTimeOffset? due = reader.IsDBNull(3) ? null : reader.GetFieldValue<DateTimeOffset>(3);
            if (!reader.GetBoolean(4))
                Report(VerificationFaultKind.RowWithoutStream, $"open as {state}, but no stream knows it");
            else if (state is OpenState.Unknown or OpenState.Asking && due < overdueBefore)
                Report(VerificationFaultKind.UnknownOverdue, $"unknown, due since {due:yyyy-MM-dd HH:mm:ss}Z, and nobody looked after it");
        }

        return rows < limit ? null : last;

        void Report(VerificationFaultKind kind, string what) => fault(new VerificationFault(kind, reader.GetString(1), last, what));
    }

    /// <summary>Reads claims whose host is not registered or gave no sign of life for a time.</summary>
    public static async Task<List<OrphanedClaim>> OrphanedAsync(
        NpgsqlConnection connection,
        TimeSpan silence,
        int limit,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            """
            select delivery_id, claim, notification from notify.open_deliveries d
            where state = 1 and client is not null
              and not exists (select from notify.dispatchers h where h.id = d.owner and h.seen_at >= now() - $1) limit $2
            """,
            silence,
            limit
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var claims = new List<OrphanedClaim>();
        while (await reader.ReadAsync(cancellation))
            claims.Add(new OrphanedClaim(reader.GetGuid(0), reader.IsDBNull(1) ? null : reader.GetGuid(1), reader.GetString(2)));
        return claims;
    }
}
