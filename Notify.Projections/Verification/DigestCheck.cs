namespace Notify.Projections.Verification;

using Notify.Delivery.EventStore;
using Notify.Domain.Notifications;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>
/// Checks that each collected notification is in exactly one digest: while that is open, in the table from which it is
/// closed; afterwards, among its members.
/// </summary>
internal static class DigestCheck
{
    private const int MembersAtOnce = 1000;

    /// <summary>Checks notifications, in the snapshot in which they were read.</summary>
    /// <param name="fault">Receives each fault.</param>
    public static async Task CheckAsync(
        NpgsqlConnection connection,
        IReadOnlyCollection<Notification> page,
        Action<VerificationFault> fault,
        CancellationToken cancellation
    )
    {
        await CheckWaitingAsync(connection, page, fault, cancellation);
        await CheckDigestedAsync(connection, [.. page.Where(n => n.IsDigested)], fault, cancellation);
        foreach (var digest in page.Where(n => n.Members is not null))
            await CheckMembersAsync(connection, digest, fault, cancellation);
    }

    /// <summary>Checks the waiting members that have no stream, a page at a time.</summary>
    /// <returns>Where the next page begins; <c>null</c>: this is the last.</returns>
    public static async Task<string?> CheckOrphansAsync(
        NpgsqlConnection connection,
        string after,
        int limit,
        Action<VerificationFault> fault,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            """
            select i.member, i.digest, k.key is not null
            from (select member, digest from notify.digest_items where member > $1 order by member limit $2) i
            left join notify.event_ids k on k.key = i.member order by i.member
            """,
            after,
            limit
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
                        VerificationFaultKind.RowWithoutStream,
                        last,
                        null,
                        $"waits in {reader.GetString(1)}, but has no stream"
                    )
                );
        }

        return rows < limit ? null : last;
    }

    private static async Task CheckWaitingAsync(
        NpgsqlConnection connection,
        IReadOnlyCollection<Notification> page,
        Action<VerificationFault> fault,
        CancellationToken cancellation
    )
    {
        var waiting = new Dictionary<string, (string Digest, bool IsKnown)>(StringComparer.Ordinal);
        await using (
            var command = SqlCommands.Create(
                connection,
                """
                select i.member, i.digest, k.key is not null from notify.digest_items i left join notify.event_ids k on k.key = i.digest
                where i.member = any($1)
                """,
                (object)page.Select(n => n.Key).ToArray()
            )
        )
        {
            await using var reader = await command.ExecuteReaderAsync(cancellation);
            while (await reader.ReadAsync(cancellation))
                waiting[reader.GetString(0)] = (reader.GetString(1), reader.GetBoolean(2));
        }

        foreach (var n in page)
        {
            var isWaiting = waiting.TryGetValue(n.Key, out var place);
            // One that its digest closed without waits in a digest that follows, of which its stream, locked or unreadable, has no event.
            if (n.IsInOpenDigest && !(isWaiting && place.IsKnown && IsDigestOf(n, place.Digest)))
                Report(n, $"waits in {n.CollectedIn}, which does not have it");
            else if (isWaiting && !n.IsInOpenDigest)
                Report(n, $"ended, but still waits in {place.Digest}");
        }

        void Report(Notification n, string what) => fault(new VerificationFault(VerificationFaultKind.DigestDiffers, n.Key, null, what));
    }

    private static async Task CheckDigestedAsync(
        NpgsqlConnection connection,
        List<Notification> digested,
        Action<VerificationFault> fault,
        CancellationToken cancellation
    )
    {
        if (digested.Count == 0)
            return;
        var missing = await StreamReader.TextsAsync(
            connection,
            $"""
            with members as (
                select distinct e.stream_id, m.member
                from {EventSchema.Name}.mt_events e cross join lateral jsonb_array_elements_text(e.data -> 'members') as m(member)
                where e.stream_id = any($2) and e.type = 'DigestClosed')
            select n.key from unnest($1, $2, $3) as n(key, digest, event_id)
            left join members m on m.stream_id = n.digest and m.member = n.event_id where m.member is null
            """,
            cancellation,
            digested.Select(n => n.Key).ToArray(),
            digested.Select(DigestOf).ToArray(),
            digested.Select(n => n.Request.EventId).ToArray()
        );
        var by = digested.ToDictionary(n => n.Key, StringComparer.Ordinal);
        foreach (var key in missing)
            fault(
                new VerificationFault(
                    VerificationFaultKind.DigestDiffers,
                    key,
                    null,
                    $"told by {by[key].CollectedIn}, which does not tell it"
                )
            );
    }

    private static async Task CheckMembersAsync(
        NpgsqlConnection connection,
        Notification digest,
        Action<VerificationFault> fault,
        CancellationToken cancellation
    )
    {
        if (digest.Members!.Distinct(StringComparer.Ordinal).Count() != digest.Members!.Count)
            fault(new VerificationFault(VerificationFaultKind.DigestDiffers, digest.Key, null, "tells the same twice"));
        foreach (var part in digest.Members!.Chunk(MembersAtOnce))
        {
            var missing = await StreamReader.TextsAsync(
                connection,
                $"""
                select m.key from unnest($1) as m(key) where not exists (
                    select from {EventSchema.Name}.mt_events e
                    where e.stream_id = m.key and e.type = 'NotificationDigested' and e.data ->> 'digest' = $2)
                """,
                cancellation,
                part.Select(m => NotificationKey.Of(digest.Request.ClientId, m)).ToArray(),
                digest.Request.EventId
            );
            foreach (var key in missing)
                fault(
                    new VerificationFault(VerificationFaultKind.DigestDiffers, digest.Key, null, $"tells {key}, which was not told by it")
                );
        }
    }

    private static bool IsDigestOf(Notification member, string digest) =>
        digest.StartsWith(NotificationKey.Of(member.Request.ClientId, "digest="), StringComparison.Ordinal);

    private static string DigestOf(Notification member) => NotificationKey.Of(member.Request.ClientId, member.CollectedIn!);
}
