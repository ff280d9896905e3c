namespace Notify.Projections.Verification;

using System.Globalization;
using Notify.Delivery.EventStore;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>Checks that streams have every event from version 1 to their own version.</summary>
internal static class VersionCheck
{
    private const int Listed = 5;

    /// <summary>Checks streams, in one statement and so in one snapshot.</summary>
    /// <param name="fault">Receives each fault.</param>
    public static async Task CheckAsync(
        NpgsqlConnection connection,
        string[] keys,
        Action<VerificationFault> fault,
        CancellationToken cancellation
    )
    {
        if (keys.Length == 0)
            return;
        // Along the index of stream and version. Marten's tombstones of failed appends have no order of their own.
        await using var command = SqlCommands.Create(
            connection,
            $"""
            with counted as (
                select s.id, greatest(s.version, coalesce(e.last, 0)) as last, s.version, e.events
                from {EventSchema.Name}.mt_streams s
                cross join lateral (select count(*) as events, min(version) as first, max(version) as last
                                    from {EventSchema.Name}.mt_events where stream_id = s.id) e
                where s.id = any($1) and s.id <> 'mt_tombstone'
                  and (e.events <> s.version or e.first is distinct from 1 or e.last is distinct from s.version))
            select c.id, c.version, c.events, array(
                select v from generate_series(1, c.last) v
                where not exists (select from {EventSchema.Name}.mt_events m where m.stream_id = c.id and m.version = v) limit {Listed})
            from counted c order by c.id
            """,
            (object)keys
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        while (await reader.ReadAsync(cancellation))
            fault(
                new VerificationFault(
                    VerificationFaultKind.VersionGap,
                    reader.GetString(0),
                    null,
                    Describe(reader.GetInt64(1), reader.GetInt64(2), reader.GetFieldValue<long[]>(3))
                )
            );
    }

    private static string Describe(long version, long events, long[] missing) =>
        string.Create(
            CultureInfo.InvariantCulture,
            $"has version {version} and {events} events; {(missing.Length == 0 ? "its last events are of no version of it"
            : $"missing: {string.Join(", ", missing)}{(missing.Length == Listed ? ", and maybe more" : "")}")}"
        );
}
