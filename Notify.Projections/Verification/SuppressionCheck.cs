namespace Notify.Projections.Verification;

using Notify.Delivery.EventStore;
using Notify.Delivery.Suppressions;
using Notify.Domain.Suppressions;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>Compares suppressions' rows with their streams, in both directions.</summary>
internal static class SuppressionCheck
{
    /// <summary>Checks the suppressions of streams, in the snapshot in which they were read.</summary>
    public static async Task<VerificationCounts> CheckAsync(
        NpgsqlConnection connection,
        IReadOnlyCollection<StreamContent> streams,
        Action<VerificationFault> fault,
        CancellationToken cancellation
    )
    {
        var states = streams
            .Select(s => (s.Key, State: s.Events.Aggregate((Suppression?)null, (state, e) => Suppression.Evolve(state, e.Data))))
            .Where(s => s.State is not null)
            .ToList();
        var rows = await SuppressionTable.FindAsync(connection, [.. states.Select(s => s.State!.Id)], cancellation);
        foreach (var (key, state) in states)
        {
            if (!rows.TryGetValue(state!.Id, out var row))
                Report(key, "is in its stream, but has no row");
            else if (
                row.Reason != state.Reason
                || (row.LiftedAt is null) != (state.LiftedAt is null)
                || !IsSame(row.ExpiresAt, state.ExpiresAt)
            )
                Report(key, $"{Describe(state)} in its stream, but {Describe(row)} in its row");
            else if (DifferencesOf(row, state) is { Count: > 0 } fields)
                Report(key, $"differs from its stream in {string.Join(", ", fields)}");
        }

        return new VerificationCounts { Suppressions = states.Count };

        void Report(string key, string what) => fault(new VerificationFault(VerificationFaultKind.SuppressionDiffers, key, null, what));
    }

    /// <summary>Checks rows without a stream, a page at a time.</summary>
    /// <param name="since">Only active suppressions that are at least so new; <c>null</c>: all.</param>
    /// <returns>Where the next page begins; <c>null</c>: this is the last.</returns>
    public static async Task<string?> CheckOrphansAsync(
        NpgsqlConnection connection,
        DateTimeOffset? since,
        string after,
        int limit,
        Action<VerificationFault> fault,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            $"""
            select r.id, r.key, s.id is not null
            from (select id, 's/' || split_part(id, '_', 1) || ':' || substr(id, strpos(id, '_') + 1) as key from notify.suppressions
                  where id > $1 and ($3 is null or (since >= $3 and lifted_at is null)) order by id limit $2) r
            left join {EventSchema.Name}.mt_streams s on s.id = r.key order by r.id
            """,
            after,
            limit,
            new NpgsqlParameter { Value = (object?)since ?? DBNull.Value, NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.TimestampTz }
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var (rows, last) = (0, after);
        while (await reader.ReadAsync(cancellation))
        {
            rows++;
            last = reader.GetString(0);
            if (!reader.GetBoolean(2))
                fault(
                    new VerificationFault(
                        VerificationFaultKind.SuppressionDiffers,
                        reader.GetString(1),
                        null,
                        "suppressed in its row, but no event says so"
                    )
                );
        }

        return rows < limit ? null : last;
    }

    private static List<string> DifferencesOf(Suppression row, Suppression state) =>
        [
            .. new (string Column, bool IsSame)[]
            {
                ("source", row.Source == state.Source),
                ("suppressed_by", row.By == state.By),
                ("since", IsSame(row.Since, state.Since)),
                ("address", row.Address == state.Address),
                ("lifted_at", IsSame(row.LiftedAt, state.LiftedAt)),
            }
                .Where(c => !c.IsSame)
                .Select(c => c.Column),
        ];

    // PostgreSQL keeps microseconds.
    private static bool IsSame(DateTimeOffset? a, DateTimeOffset? b) =>
        a is null || b is null ? a is null == b is null : (a.Value - b.Value).Duration() < TimeSpan.FromMilliseconds(1);

    private static string Describe(Suppression s) => s.LiftedAt is null ? $"suppressed for {s.Reason}" : "lifted";
}
