namespace Notify.Delivery.Payloads;

using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text.Json;
using Notify.Delivery.Privacy;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Notify.Infrastructure.Json;
using Notify.Infrastructure.Postgres;
using Npgsql;
using NpgsqlTypes;

/// <summary>An encrypted payload: a row of <c>notify.payloads</c>.</summary>
/// <param name="Stream">The stream key of the notification or broadcast.</param>
/// <param name="Version">One of <see cref="SealedVersions"/>.</param>
public sealed record StoredPayload(string Stream, DateTimeOffset StoredAt, long KeyId, byte[] Cipher, int Version = SealedVersions.Subject)
{
    /// <summary>The reference that the stream's event contains.</summary>
    public SealedPayload Reference =>
        new(KeyId, StoredAt, Cipher.Length, Base64Url.EncodeToString(SHA256.HashData(Cipher).AsSpan(0, 16)), Version: Version);
}

/// <summary>Payloads that a transaction encrypts and then adds together.</summary>
/// <param name="now">The transaction's time, which is also that of the events that refer to them.</param>
public sealed class PayloadBatch(DateTimeOffset now)
{
    private readonly List<StoredPayload> rows = [];

    /// <summary>The rows.</summary>
    public IReadOnlyList<StoredPayload> Rows => rows;

    /// <summary>Encrypts a payload under its subject's current key. While a host of the former version lives, the event holds it.</summary>
    public SealedPayload Seal(KeySet keys, string subject, SealedPlace place, NotificationPayload payload)
    {
        if (!keys.Format.WritesPayloadRows)
            return keys.SealJson(subject, place, payload);
        var (keyId, cipher, version) = keys.SealBytes(subject, place, JsonSerializer.SerializeToUtf8Bytes(payload, NotifyJson.Options));
        var row = new StoredPayload(place.Stream, now, keyId, cipher, version);
        rows.Add(row);
        return row.Reference;
    }
}

/// <summary>
/// Set-based statements over <c>notify.payloads</c>, in the caller's transaction. Payloads stand outside the streams, so that
/// streams are small wherever they are folded, and are read only where they are needed.
/// </summary>
public static class PayloadTable
{
    private const long MaxBytesPerStatement = 16 * 1024 * 1024;

    /// <summary>Adds rows.</summary>
    public static async Task AddAsync(NpgsqlConnection connection, IReadOnlyList<StoredPayload> rows, CancellationToken cancellation)
    {
        foreach (var part in WeightedBatches.Of(rows, r => r.Cipher.Length, MaxBytesPerStatement))
        {
            await using var command = SqlCommands.Create(
                connection,
                "insert into notify.payloads (stream, stored_at, key_id, sealed) "
                    + "select * from unnest($1, $2, $3, $4) on conflict do nothing",
                part.Select(r => r.Stream).ToArray(),
                part.Select(r => r.StoredAt).ToArray(),
                part.Select(r => r.KeyId).ToArray(),
                new NpgsqlParameter { Value = part.Select(r => r.Cipher).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bytea }
            );
            await command.ExecuteNonQueryAsync(cancellation);
        }
    }

    /// <summary>Reads the ciphertexts of payloads, by stream key. Those that retention has dropped are absent.</summary>
    /// <remarks>The caller bounds the bytes: <see cref="SealedPayload.Size"/> says how many each one has.</remarks>
    public static async Task<Dictionary<string, byte[]>> ReadAsync(
        NpgsqlConnection connection,
        IEnumerable<(string Stream, SealedPayload Payload)> payloads,
        CancellationToken cancellation
    )
    {
        var found = new Dictionary<string, byte[]>(StringComparer.Ordinal);
        var rows = new List<(string Stream, SealedPayload Payload)>();
        foreach (var p in payloads)
        {
            if (p.Payload.Inline is { } text)
                found[p.Stream] = Base64Url.DecodeFromChars(new Sealed(text).GetCipher());
            else if (!p.Payload.IsNone)
                rows.Add(p);
        }

        if (rows.Count == 0)
            return found;
        await using var command = SqlCommands.Create(
            connection,
            """
            select n.stream, p.sealed from unnest($1, $2) as n(stream, stored_at)
            join notify.payloads p on p.stream = n.stream and p.stored_at = n.stored_at
            """,
            rows.Select(r => r.Stream).ToArray(),
            rows.Select(r => r.Payload.StoredAt).ToArray()
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        while (await reader.ReadAsync(cancellation))
            found[reader.GetString(0)] = reader.GetFieldValue<byte[]>(1);
        return found;
    }

    /// <summary>Reads and decrypts the payloads of notifications, by stream key. Those that are no longer kept, or whose key was
    /// erased, are <c>null</c>, and so are those that were changed or are another notification's.</summary>
    /// <exception cref="KeyNotHeldException">This host cannot unwrap the key of one of them.</exception>
    public static async Task<Dictionary<string, NotificationPayload?>> OpenAsync(
        NpgsqlConnection connection,
        IEnumerable<Notification> notifications,
        KeySet keys,
        CancellationToken cancellation
    )
    {
        var all = notifications.ToList();
        var ciphers = await ReadAsync(
            connection,
            all.Where(n => keys.Has(n.Request.Payload.Key) || keys.IsLocked(n.Request.Payload.Key)).Select(n => (n.Key, n.Request.Payload)),
            cancellation
        );
        var opened = new Dictionary<string, NotificationPayload?>(StringComparer.Ordinal);
        foreach (var n in all)
        {
            ciphers.Remove(n.Key, out var cipher); // as soon as it is open, the ciphertext may go
            opened[n.Key] = cipher is null ? null : keys.OpenPayload(n.Request.Payload, cipher, n.PayloadPlace);
        }

        return opened;
    }
}
