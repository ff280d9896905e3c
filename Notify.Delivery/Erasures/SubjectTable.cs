namespace Notify.Delivery.Erasures;

using Notify.Delivery.EventStore;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>Statements of erasures over <c>notify.subject_keys</c> and <c>notify.subject_aliases</c>.</summary>
internal static class SubjectTable
{
    /// <summary>The subjects that these addresses are further addresses of.</summary>
    public static async Task<List<string>> OfAliasesAsync(
        NpgsqlConnection connection,
        IReadOnlyCollection<string> aliases,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            "select distinct subject from notify.subject_aliases where alias = any($1)",
            (object)aliases.ToArray()
        );
        return await TextsAsync(command, cancellation);
    }

    /// <summary>Registered users who have one of these addresses.</summary>
    /// <param name="phones">Keyed hashes.</param>
    /// <param name="emails">Keyed hashes.</param>
    /// <returns>Their stream keys, with the addresses that they have.</returns>
    public static async Task<List<(string User, string? Phone, string? Email)>> HoldersAsync(
        NpgsqlConnection connection,
        string[] phones,
        string[] emails,
        CancellationToken cancellation
    )
    {
        // Two indexes, one each.
        await using var command = SqlCommands.Create(
            connection,
            $"""
            select id, data ->> 'phoneFingerprint', null from {EventSchema.Name}.mt_doc_recipient
            where data ->> 'phoneFingerprint' = any($1)
            union all
            select id, null, data ->> 'emailFingerprint' from {EventSchema.Name}.mt_doc_recipient
            where data ->> 'emailFingerprint' = any($2)
            """,
            phones,
            emails
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var found = new List<(string, string?, string?)>();
        while (await reader.ReadAsync(cancellation))
        {
            found.Add(
                (reader.GetString(0), reader.IsDBNull(1) ? null : reader.GetString(1), reader.IsDBNull(2) ? null : reader.GetString(2))
            );
        }

        return found;
    }

    /// <summary>Destroys the keys of subjects, replaced ones too, in the caller's transaction.</summary>
    /// <param name="before">Only keys that were made until then; <c>null</c>: all.</param>
    /// <returns>The subject of each.</returns>
    public static async Task<List<string>> EraseAsync(
        NpgsqlConnection connection,
        IReadOnlyCollection<string> subjects,
        DateTimeOffset now,
        DateTimeOffset? before,
        CancellationToken cancellation
    )
    {
        // A key that is just being replaced is waited for, and its successor is seen by the next statement only.
        var (all, isMore) = (new List<string>(), true);
        while (isMore)
        {
            await using var command = SqlCommands.Create(
                connection,
                """
                update notify.subject_keys set wrapped = null, sealed_user_id = null, erased_at = $2 where id = any(array(
                    select id from notify.subject_keys
                    where subject = any($1) and (erased_at is null or erased_at = 'infinity') and ($3 is null or created_at <= $3)
                    order by id for update))
                returning subject
                """,
                subjects.ToArray(),
                now,
                new NpgsqlParameter { Value = (object?)before ?? DBNull.Value, NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.TimestampTz }
            );
            var erased = await TextsAsync(command, cancellation);
            isMore = erased.Count > 0;
            all.AddRange(erased);
        }

        return all;
    }

    /// <summary>Forgets the further addresses of subjects, in the caller's transaction.</summary>
    public static async Task ForgetAliasesAsync(
        NpgsqlConnection connection,
        IReadOnlyCollection<string> subjects,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            "delete from notify.subject_aliases where subject = any($1)",
            (object)subjects.ToArray()
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Drops the raw texts of receipts that wait for their delivery and name one of these addresses.</summary>
    public static async Task DropWaitingTextsAsync(
        NpgsqlConnection connection,
        IReadOnlyCollection<string> fingerprints,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            """
            update notify.receipt_texts t set raw = '' from notify.receipts r
            where r.due_at is not null and r.facts ->> 'fingerprint' = any($1)
              and t.provider = r.provider and t.event_id = r.event_id and t.received_at = r.received_at and t.raw <> ''
            """,
            (object)fingerprints.ToArray()
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    private static async Task<List<string>> TextsAsync(NpgsqlCommand command, CancellationToken cancellation)
    {
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var texts = new List<string>();
        while (await reader.ReadAsync(cancellation))
            texts.Add(reader.GetString(0));
        return texts;
    }
}
