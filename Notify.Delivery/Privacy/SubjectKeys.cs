namespace Notify.Delivery.Privacy;

using System.Security.Cryptography;
using System.Text;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;
using Npgsql;
using NpgsqlTypes;

/// <summary>
/// The keys of subjects (people), kept wrapped in <c>notify.subject_keys</c>. They are read for a whole group at a time and never
/// cached, so that an erased key is erased for every host at once.
/// </summary>
public sealed class SubjectKeys(MasterKeyRing ring, TimeProvider clock)
{
    private const string Current = "subject = any($1) and erased_at is null";

    // Two indexes, one of them most often empty.
    private const string Replaced = "subject = any($1) and erased_at = 'infinity'";

    // With the statement that reads the keys: acceptance takes no further round trip.
    private const string NoteAliases = """
        with noted as (
            insert into notify.subject_aliases (alias, subject)
            select a, s from unnest($2, $3) as t(a, s) order by a, s on conflict do nothing)

        """;

    /// <summary>
    /// The keys of subjects, and current ones made where there are none. A subject whose key this host cannot unwrap keeps it. Keys that
    /// were replaced are among them, and only open.
    /// </summary>
    /// <remarks>Makes keys in the connection's transaction, in the order of the subjects, so that racing callers do not lock each other
    /// out.</remarks>
    /// <param name="userIds">The IDs by which callers know users, by subject, as far as they are at hand: kept encrypted with the
    /// key.</param>
    /// <param name="aliases">Further addresses of these subjects, to be noted with the first statement; see docs/adr/0011.</param>
    public async Task<KeySet> CurrentAsync(
        NpgsqlConnection connection,
        IEnumerable<string> subjects,
        CancellationToken cancellation,
        IReadOnlyDictionary<string, string>? userIds = null,
        IReadOnlyCollection<(string Alias, string Subject)>? aliases = null
    )
    {
        var wanted = subjects.Distinct().Order(StringComparer.Ordinal).ToArray();
        var set = new KeySet(ring);
        if (wanted.Length == 0)
            return set;
        await ReadAsync(connection, set, wanted, aliases ?? [], cancellation, Current, Replaced);
        var missing = wanted.Where(s => !set.HasCurrent(s) && !set.IsLocked(s)).ToArray();
        if (missing.Length > 0)
        {
            await MakeAsync(connection, missing, userIds, cancellation);
            await ReadAsync(connection, set, missing, cancellation, Current);
        }

        if (userIds is not null)
            await NameAsync(connection, set, userIds, cancellation);
        return set;
    }

    private async Task MakeAsync(
        NpgsqlConnection connection,
        string[] subjects,
        IReadOnlyDictionary<string, string>? userIds,
        CancellationToken cancellation
    )
    {
        var (master, made) = (ring.CurrentId, subjects.Select(_ => NewKey()).ToArray());
        await HostKeyTable.UseAsync(connection, master, cancellation);
        await using var insert = new NpgsqlCommand(
            """
            insert into notify.subject_keys (subject, wrapped, master_key, created_at, sealed_user_id)
            select s, w, $3, $4, n from unnest($1, $2, $5) as t(s, w, n) order by s
            on conflict (subject) where erased_at is null do nothing
            """,
            connection
        );
        insert.Parameters.Add(new NpgsqlParameter { Value = subjects });
        insert.Parameters.Add(Bytes([.. subjects.Zip(made, (s, k) => ring.Wrap(k, master, s))]));
        insert.Parameters.Add(new NpgsqlParameter { Value = master });
        insert.Parameters.Add(new NpgsqlParameter { Value = clock.GetUtcNow() });
        insert.Parameters.Add(Bytes([.. subjects.Zip(made, UserIdOf)]));
        await insert.ExecuteNonQueryAsync(cancellation);

        SubjectKey NewKey() => new(RandomNumberGenerator.GetBytes(32), ring.Format.WritesPlaces);

        byte[]? UserIdOf(string subject, SubjectKey key) =>
            UserRef.IsOfSubject(subject) && userIds?.GetValueOrDefault(subject) is { } id ? SealUserId(subject, key, id) : null;
    }

    // A key that was made where the ID was not at hand, such as for a late receipt after an erasure, or in place of another one.
    private static async Task NameAsync(
        NpgsqlConnection connection,
        KeySet set,
        IReadOnlyDictionary<string, string> userIds,
        CancellationToken cancellation
    )
    {
        var named = userIds
            .Where(u => UserRef.IsOfSubject(u.Key))
            .Select(u => (Key: set.WithoutUserId(u.Key), UserId: u.Value))
            .Where(u => u.Key is not null)
            .Select(u => (u.Key!.Value.Id, Cipher: SealUserId(u.Key.Value.Subject, u.Key.Value.Key, u.UserId)))
            .ToList();
        if (named.Count == 0)
            return;
        await using var update = new NpgsqlCommand(
            """
            with held as (select id from notify.subject_keys where id = any($1) order by id for update)
            update notify.subject_keys k set sealed_user_id = t.n from held, unnest($1, $2) as t(id, n)
            where k.id = held.id and t.id = held.id and k.sealed_user_id is null and k.erased_at is null
            """,
            connection
        );
        update.Parameters.Add(new NpgsqlParameter { Value = named.Select(n => n.Id).ToArray() });
        update.Parameters.Add(Bytes([.. named.Select(n => n.Cipher)]));
        await update.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Reads and decrypts the IDs by which callers know users, by reference. Those of erased users are absent.</summary>
    /// <exception cref="KeyNotHeldException">This host cannot unwrap the key of one of them.</exception>
    public async Task<IReadOnlyDictionary<string, string>> UserIdsAsync(
        NpgsqlConnection connection,
        IEnumerable<string?> userRefs,
        CancellationToken cancellation
    )
    {
        var wanted = userRefs.OfType<string>().Distinct().ToList();
        // Users from before references are known by their IDs.
        var found = wanted.Where(r => !UserRef.Is(r)).ToDictionary(r => r, StringComparer.Ordinal);
        if (found.Count == wanted.Count)
            return found;
        await using var command = new NpgsqlCommand(
            string.Join(
                " union all ",
                new[] { Current, Replaced }.Select(p =>
                    "select subject, wrapped, master_key, sealed_user_id from notify.subject_keys "
                    + $"where {p} and sealed_user_id is not null"
                )
            ),
            connection
        );
        command.Parameters.Add(new NpgsqlParameter { Value = wanted.Where(UserRef.Is).Select(Recipient.KeyOf).ToArray() });
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        while (await reader.ReadAsync(cancellation))
        {
            var (subject, master) = (reader.GetString(0), reader.GetString(2));
            var key = ring.Unwrap(reader.GetFieldValue<byte[]>(1), master, subject) ?? throw new KeyNotHeldException(master);
            if (Aead.Decrypt(key.Bytes, reader.GetFieldValue<byte[]>(3), AssociatedOf(subject)) is { } id)
                found[subject[Recipient.KeyOf("").Length..]] = Encoding.UTF8.GetString(id);
        }

        return found;
    }

    /// <summary>Decrypts the ID by which callers know a user, from the row of a key.</summary>
    /// <returns><c>null</c> where this host cannot unwrap the key, or the row is damaged.</returns>
    internal string? OpenUserId(string subject, byte[] wrapped, string masterKeyId, byte[] cipher) =>
        ring.Unwrap(wrapped, masterKeyId, subject) is { } key && Aead.Decrypt(key.Bytes, cipher, AssociatedOf(subject)) is { } id
            ? Encoding.UTF8.GetString(id)
            : null;

    private static byte[] SealUserId(string subject, SubjectKey key, string userId) =>
        Aead.Encrypt(key.Bytes, Encoding.UTF8.GetBytes(userId), AssociatedOf(subject));

    private static byte[] AssociatedOf(string subject) => KeySet.AssociatedOf(subject, SealedVersions.Place, SealedPlace.OfUserId(subject));

    private static NpgsqlParameter Bytes(byte[]?[] values) =>
        new() { Value = values, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bytea };

    /// <summary>Reads the keys that encrypted these texts; erased ones are absent.</summary>
    public async Task<KeySet> ForAsync(NpgsqlConnection connection, IEnumerable<Sealed> texts, CancellationToken cancellation)
    {
        var set = new KeySet(ring);
        var ids = texts.Select(t => t.KeyId).Distinct().ToArray();
        if (ids.Length > 0)
            await ReadAsync(connection, set, ids, cancellation, "id = any($1)");
        return set;
    }

    /// <summary>Erases all keys of a subject permanently: the current one and those that it replaced.</summary>
    /// <returns>Whether there was one.</returns>
    public async Task<bool> EraseAsync(NpgsqlConnection connection, string subject, CancellationToken cancellation)
    {
        // A key that is just being replaced is waited for, and its successor is seen by the next statement only.
        var erased = 0;
        for (var count = 1; count > 0; erased += count)
        {
            await using var command = new NpgsqlCommand(
                """
                update notify.subject_keys set wrapped = null, sealed_user_id = null, erased_at = $2
                where subject = $1 and (erased_at is null or erased_at = 'infinity')
                """,
                connection
            );
            command.Parameters.Add(new NpgsqlParameter { Value = subject });
            command.Parameters.Add(new NpgsqlParameter { Value = clock.GetUtcNow() });
            count = await command.ExecuteNonQueryAsync(cancellation);
        }

        return erased > 0;
    }

    /// <summary>Wraps every key anew that an older master key wraps, so that the older one can be taken out of the configuration.</summary>
    /// <returns>How many were wrapped anew.</returns>
    public async Task<int> RewrapAsync(NpgsqlDataSource database, CancellationToken cancellation)
    {
        var (total, master) = (0, ring.CurrentId);
        while (true)
        {
            await using var connection = await database.OpenConnectionAsync(cancellation);
            await using var transaction = await connection.BeginTransactionAsync(cancellation);
            await HostKeyTable.UseAsync(connection, master, cancellation);
            var rows = new List<(long Id, string Subject, byte[] Wrapped, string Master)>();
            await using (
                var select = new NpgsqlCommand(
                    "select id, subject, wrapped, master_key from notify.subject_keys where wrapped is not null and master_key "
                        + "<> $1 order by id limit 1000 for update",
                    connection
                )
            )
            {
                select.Parameters.Add(new NpgsqlParameter { Value = master });
                await using var reader = await select.ExecuteReaderAsync(cancellation);
                while (await reader.ReadAsync(cancellation))
                    rows.Add((reader.GetInt64(0), reader.GetString(1), reader.GetFieldValue<byte[]>(2), reader.GetString(3)));
            }

            var anew = rows.Select(r => (r.Id, Key: ring.Unwrap(r.Wrapped, r.Master, r.Subject), r.Subject))
                .Where(r => r.Key is not null)
                .Select(r => (r.Id, Wrapped: ring.Wrap(r.Key!.Value, master, r.Subject)))
                .ToList();
            if (anew.Count == 0)
                return total;
            await using var update = new NpgsqlCommand(
                "update notify.subject_keys k set wrapped = t.w, master_key = $3 from unnest($1, $2) as t(id, w) where k.id = t.id",
                connection
            );
            update.Parameters.Add(new NpgsqlParameter { Value = anew.Select(r => r.Id).ToArray() });
            update.Parameters.Add(
                new NpgsqlParameter
                {
                    Value = anew.Select(r => r.Wrapped).ToArray(),
                    NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bytea,
                }
            );
            update.Parameters.Add(new NpgsqlParameter { Value = master });
            total += await update.ExecuteNonQueryAsync(cancellation);
            await transaction.CommitAsync(cancellation);
        }
    }

    private static Task ReadAsync<T>(
        NpgsqlConnection connection,
        KeySet set,
        T[] parameter,
        CancellationToken cancellation,
        params string[] places
    ) => ReadAsync(connection, set, parameter, [], cancellation, places);

    private static async Task ReadAsync<T>(
        NpgsqlConnection connection,
        KeySet set,
        T[] parameter,
        IReadOnlyCollection<(string Alias, string Subject)> aliases,
        CancellationToken cancellation,
        params string[] places
    )
    {
        await using var command = new NpgsqlCommand(
            (aliases.Count > 0 ? NoteAliases : "")
                + string.Join(
                    " union all ",
                    places.Select(p =>
                        "select id, subject, wrapped, master_key, erased_at is null, sealed_user_id is not null "
                        + $"from notify.subject_keys where {p}"
                    )
                ),
            connection
        );
        command.Parameters.Add(new NpgsqlParameter { Value = parameter });
        if (aliases.Count > 0)
        {
            command.Parameters.Add(new NpgsqlParameter { Value = aliases.Select(a => a.Alias).ToArray() });
            command.Parameters.Add(new NpgsqlParameter { Value = aliases.Select(a => a.Subject).ToArray() });
        }

        await using var reader = await command.ExecuteReaderAsync(cancellation);
        while (await reader.ReadAsync(cancellation))
        {
            if (!reader.IsDBNull(2))
                set.Add(
                    reader.GetInt64(0),
                    reader.GetString(1),
                    reader.GetFieldValue<byte[]>(2),
                    reader.GetString(3),
                    reader.GetBoolean(4),
                    reader.GetBoolean(5)
                );
        }
    }
}
