namespace Notify.Delivery.Privacy;

using Notify.Delivery.EventStore;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>Counts things that are found by a former pepper alone.</summary>
internal static class PepperNeeds
{
    private const long Most = 1_000_000;

    /// <summary>A kind of things.</summary>
    /// <param name="Name">As events and the command name it.</param>
    /// <param name="IsVital">Whether losing it would reach people who must not be reached, or lock somebody out.</param>
    /// <param name="Loss">The loss, in words.</param>
    /// <param name="Hashes">A query for the hashes, as <c>kind</c> and <c>hash</c>; kind <c>null</c>: it cannot be carried over.</param>
    public sealed record Kind(string Name, bool IsVital, string Loss, string Hashes);

    /// <summary>All kinds.</summary>
    public static IReadOnlyList<Kind> All { get; } =
    [
        new(
            "users",
            true,
            "these users are taken for new ones, with neither their opt-outs nor their devices",
            $"""
            select 'user' as kind, substr(u.k, 4) as hash from (
                select id as k from {EventSchema.Name}.mt_doc_recipient
                where left(id, 3) = 'u/*' and not coalesce((data ->> 'isErased')::boolean, false)
                union select subject from notify.subject_keys where left(subject, 3) = 'u/*' and erased_at is null) u
            """
        ),
        new(
            "suppressions",
            true,
            "these addresses are sent to again",
            """
            select case channel when 1 then 'phone' else 'email' end as kind, fingerprint as hash from notify.suppressions
            where lifted_at is null and (expires_at is null or expires_at > now())
            """
        ),
        new(
            "address preferences",
            true,
            "these opt-outs of people who are not registered are no longer found",
            $"""
            select case split_part(substr(id, 3), ':', 1) when 'sms' then 'phone' else 'email' end as kind, split_part(id, ':', 2) as hash
            from {EventSchema.Name}.mt_doc_addresschoices where data -> 'optedOut' <> '[]'
            """
        ),
        new(
            "users' addresses",
            true,
            "these users' opt-outs no longer count where their bare address is named",
            $"""
            select 'phone' as kind, data ->> 'phoneFingerprint' as hash from {EventSchema.Name}.mt_doc_recipient
            where data ->> 'phoneFingerprint' is not null
            union all select 'email', data ->> 'emailFingerprint' from {EventSchema.Name}.mt_doc_recipient
            where data ->> 'emailFingerprint' is not null
            """
        ),
        new(
            "devices",
            true,
            "these devices get a second ID when they register, and each push twice",
            "select 'device' as kind, substr(device_id, 3) as hash from notify.devices"
        ),
        new(
            "secrets of clients",
            true,
            "these secrets count no more",
            $$"""
            select null as kind, case when s ->> 'hash' like '2.%' then substr(s ->> 'hash', 3) else s ->> 'hash' end as hash
            from {{EventSchema.Name}}.mt_doc_client d, jsonb_array_elements(d.data -> 'secrets') s
            where not coalesce((d.data ->> 'isDisabled')::boolean, false)
            """
        ),
        new(
            "people who are not registered",
            false,
            "an erasure by address does not find their older notifications",
            "select 'subject' as kind, substr(subject, 3) as hash from notify.subject_keys where subject like 'a/%' and erased_at is null"
        ),
        new(
            "further addresses of people who are not registered",
            false,
            "an erasure by such an address does not find their older notifications",
            "select 'subject' as kind, substr(alias, 3) as hash from notify.subject_aliases"
        ),
        new(
            "counts of caps",
            false,
            "people who are not registered may get more than a cap allows, once; wait until the windows are over",
            """
            select 'cap' as kind, case when person like 'test/%' then substr(person, 8) else substr(person, 3) end as hash
            from notify.cap_counts where (person like 'a/%' or person like 'test/a/%') and ends_at > now()
            """
        ),
        new(
            "idempotency keys",
            false,
            "a request with one of these keys is carried out once more",
            "select null as kind, id as hash from notify.idempotency_keys"
        ),
        new(
            "requests",
            false,
            "a repeat of one of these event IDs is answered 409 whatever its body; nothing is sent twice",
            "select null as kind, request_hash as hash from notify.event_ids"
        ),
    ];

    /// <summary>Counts the things of a kind that are found by a pepper alone; a million stands for that or more.</summary>
    public static async Task<long> CountAsync(
        NpgsqlConnection connection,
        Kind kind,
        string former,
        string current,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            $"""
            select count(*) from (
                select from ({kind.Hashes}) h
                where (case when position('.' in h.hash) = 0 then '0' else split_part(h.hash, '.', 1) end = $1
                        or exists (select from notify.hash_references r where r.pepper = $1 and {Refers}))
                    and not exists (select from notify.hash_references r where r.pepper = $2 and {Refers})
                limit {Most}) n
            """,
            former,
            current
        );
        command.CommandTimeout = 3600;
        return (long)(await command.ExecuteScalarAsync(cancellation))!;
    }

    // A device's ID holds the beginning of its hash; a cap counts by any of a person's hashes.
    private const string Refers = """
        case h.kind
            when 'device' then r.kind = 'device' and left(r.reference, position('.' in r.reference) + 22) = h.hash
            when 'cap' then r.reference = h.hash
            else r.kind = h.kind and r.reference = h.hash
        end
        """;
}
