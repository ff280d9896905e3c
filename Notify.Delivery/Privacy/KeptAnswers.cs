namespace Notify.Delivery.Privacy;

using System.Text;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>The state of an idempotency key.</summary>
/// <param name="IsNew">Whether it was taken just now.</param>
/// <param name="RequestHash">The keyed hash of the request that took it.</param>
/// <param name="Answer">The answer; <c>null</c> where it is no longer kept.</param>
/// <param name="TakenAt">When it was taken.</param>
public sealed record KeptAnswer(bool IsNew, string RequestHash, byte[]? Answer, DateTimeOffset TakenAt);

/// <summary>
/// Answers that are given again to the same idempotency key for a day, encrypted under the master key: <c>notify.idempotency_keys</c>.
/// </summary>
/// <remarks>All in the transaction that makes the answered object. A key stays taken after its answer has been dropped.</remarks>
public sealed class KeptAnswers(MasterKeyRing ring, TimeProvider clock)
{
    /// <summary>How long an answer is kept.</summary>
    public static readonly TimeSpan Lifetime = TimeSpan.FromDays(1);

    private const string Purpose = "idempotency-answer",
        Kind = "idempotency-key";

    /// <summary>Takes a key. Another request with the same key waits here until this transaction has ended.</summary>
    /// <param name="scope">The caller and the operation that the key counts for.</param>
    /// <param name="requestHash">A keyed hash of the request.</param>
    public async Task<KeptAnswer> TakeAsync(
        NpgsqlConnection connection,
        string scope,
        string key,
        string requestHash,
        CancellationToken cancellation
    )
    {
        var (id, now) = (IdOf(scope, key), clock.GetUtcNow());
        // Under a former pepper, if it was taken before the current one was.
        if (await FormerAsync(connection, scope, key, cancellation) is { } former)
            id = former;
        else
            await using (
                var insert = SqlCommands.Create(
                    connection,
                    "insert into notify.idempotency_keys (id, request_hash, taken_at) values ($1, $2, $3) on conflict do nothing",
                    id,
                    requestHash,
                    now
                )
            )
            {
                if (await insert.ExecuteNonQueryAsync(cancellation) == 1)
                    return new KeptAnswer(true, requestHash, null, now);
            }

        await using var select = SqlCommands.Create(
            connection,
            "select request_hash, answer, master_key, taken_at from notify.idempotency_keys where id = $1",
            id
        );
        await using var reader = await select.ExecuteReaderAsync(cancellation);
        await reader.ReadAsync(cancellation);
        return new KeptAnswer(
            false,
            reader.GetString(0),
            reader.IsDBNull(1) || reader.GetFieldValue<DateTimeOffset>(3) <= now - Lifetime
                ? null
                : Open(reader.GetFieldValue<byte[]>(1), reader.GetString(2), id),
            reader.GetFieldValue<DateTimeOffset>(3)
        );
    }

    /// <summary>Keeps the answer of a key that was taken in the same transaction.</summary>
    public async Task KeepAsync(NpgsqlConnection connection, string scope, string key, byte[] answer, CancellationToken cancellation)
    {
        var (id, master) = (await FormerAsync(connection, scope, key, cancellation) ?? IdOf(scope, key), ring.CurrentId);
        await HostKeyTable.UseAsync(connection, master, cancellation);
        await using var command = SqlCommands.Create(
            connection,
            "update notify.idempotency_keys set answer = $2, master_key = $3 where id = $1",
            id,
            Aead.Encrypt(ring.Derive(master, Purpose), answer, Encoding.UTF8.GetBytes(id)),
            master
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Encrypts every kept answer anew that another master key than the current one encrypts.</summary>
    public async Task RewrapAsync(NpgsqlDataSource database, CancellationToken cancellation)
    {
        var master = ring.CurrentId;
        while (true)
        {
            await using var connection = await database.OpenConnectionAsync(cancellation);
            await using var transaction = await connection.BeginTransactionAsync(cancellation);
            await HostKeyTable.UseAsync(connection, master, cancellation);
            var rows = new List<(string Id, byte[] Answer, string Master)>();
            await using (
                var select = SqlCommands.Create(
                    connection,
                    """
                    select id, answer, master_key from notify.idempotency_keys where answer is not null and master_key <> $1
                    order by id limit 1000 for update
                    """,
                    master
                )
            )
            await using (var reader = await select.ExecuteReaderAsync(cancellation))
            {
                while (await reader.ReadAsync(cancellation))
                    rows.Add((reader.GetString(0), reader.GetFieldValue<byte[]>(1), reader.GetString(2)));
            }

            var anew = rows.Where(r => ring.Has(r.Master))
                .Select(r =>
                    (r.Id, Answer: Aead.Encrypt(ring.Derive(master, Purpose), Open(r.Answer, r.Master, r.Id), Encoding.UTF8.GetBytes(r.Id)))
                )
                .ToList();
            if (anew.Count == 0)
                return;
            await using var update = SqlCommands.Create(
                connection,
                "update notify.idempotency_keys k set answer = t.a, master_key = $3 from unnest($1, $2) as t(i, a) where k.id = t.i",
                anew.Select(r => r.Id).ToArray(),
                new NpgsqlParameter
                {
                    Value = anew.Select(r => r.Answer).ToArray(),
                    NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Array | NpgsqlTypes.NpgsqlDbType.Bytea,
                },
                master
            );
            await update.ExecuteNonQueryAsync(cancellation);
            await transaction.CommitAsync(cancellation);
        }
    }

    /// <summary>Drops answers that were kept long enough.</summary>
    public async Task DropAsync(NpgsqlDataSource database, CancellationToken cancellation)
    {
        await using var command = database.CreateCommand(
            "update notify.idempotency_keys set answer = null where answer is not null and taken_at <= $1"
        );
        command.Parameters.Add(new NpgsqlParameter { Value = clock.GetUtcNow() - Lifetime });
        await command.ExecuteNonQueryAsync(cancellation);
    }

    private byte[] Open(byte[] answer, string master, string id) =>
        (ring.Has(master) ? Aead.Decrypt(ring.Derive(master, Purpose), answer, Encoding.UTF8.GetBytes(id)) : null)
        ?? throw new KeyNotHeldException(master);

    private async Task<string?> FormerAsync(NpgsqlConnection connection, string scope, string key, CancellationToken cancellation)
    {
        var use = ring.Peppers.Use;
        if (use.Ids.Count == 1)
            return null;
        // Hosts that differ in the current pepper have their turn here.
        var ids = use.Fingerprints(Kind, $"{scope}\n{key}");
        await using (
            var turn = SqlCommands.Create(
                connection,
                "select pg_advisory_xact_lock(hashtextextended($1, 0))",
                ids.Order(StringComparer.Ordinal).First()
            )
        )
            await turn.ExecuteNonQueryAsync(cancellation);
        await using var command = SqlCommands.Create(
            connection,
            "select id from notify.idempotency_keys where id = any($1) limit 1",
            (object)ids.Skip(1).ToArray()
        );
        return await command.ExecuteScalarAsync(cancellation) as string;
    }

    private string IdOf(string scope, string key) => ring.Fingerprint(Kind, $"{scope}\n{key}");
}
