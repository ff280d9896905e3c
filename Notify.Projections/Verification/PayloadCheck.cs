namespace Notify.Projections.Verification;

using System.Buffers;
using System.Buffers.Text;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Npgsql;
using NpgsqlTypes;

/// <summary>Checks that the payload of each notification that is still to be sent is kept, and is the one that was accepted.</summary>
internal static class PayloadCheck
{
    /// <summary>Checks notifications, in the snapshot in which they were read.</summary>
    /// <param name="fault">Receives each fault.</param>
    public static async Task CheckAsync(
        NpgsqlConnection connection,
        IEnumerable<Notification> page,
        Action<VerificationFault> fault,
        CancellationToken cancellation
    )
    {
        var waiting = page.Where(n => n.Request.Payload is { IsNone: false, Inline: null } && IsWaiting(n)).ToList();
        if (waiting.Count == 0)
            return;
        var missing = await StreamReader.TextsAsync(
            connection,
            """
            select n.stream from unnest($1, $2, $3, $4) as n(stream, stored_at, size, hash)
            left join notify.payloads p on p.stream = n.stream and p.stored_at = n.stored_at
            where p.stream is null or octet_length(p.sealed) <> n.size or substr(sha256(p.sealed), 1, 16) <> n.hash
            """,
            cancellation,
            waiting.Select(n => n.Key).ToArray(),
            waiting.Select(n => n.Request.Payload.StoredAt).ToArray(),
            waiting.Select(n => n.Request.Payload.Size).ToArray(),
            new NpgsqlParameter
            {
                Value = waiting.Select(n => HashOf(n.Request.Payload)).ToArray(),
                NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bytea,
            }
        );
        foreach (var key in missing)
            fault(
                new VerificationFault(
                    VerificationFaultKind.PayloadMissing,
                    key,
                    null,
                    "still to be sent, but its payload is not kept as it was accepted"
                )
            );
    }

    private static byte[] HashOf(SealedPayload payload)
    {
        var hash = new byte[Base64Url.GetMaxDecodedLength(payload.Hash!.Length)];
        return Base64Url.DecodeFromChars(payload.Hash, hash, out _, out var length) == OperationStatus.Done ? hash[..length] : [];
    }

    private static bool IsWaiting(Notification n) =>
        n.IsToBePlanned
        || n.IsInOpenDigest
        || n.Deliveries.Values.Any(d => d.IsInFlight || d.Status is DeliveryStatus.DeadLettered or DeliveryStatus.Unknown);
}
