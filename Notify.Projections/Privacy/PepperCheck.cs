using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Notify.Domain.Suppressions;
using Notify.Projections.OpenDeliveries;
using Npgsql;

namespace Notify.Projections.Privacy;

/// <summary>Compares a host's pepper with the one that the installation's keyed hashes were made with.</summary>
/// <remarks>
/// With another pepper no suppression, no secret of a client, no link and no repeated request is found again, and nothing fails. The
/// check value stands in <c>notify.secret_checks</c>. A database from before check values is compared by suppressed addresses that can
/// be decrypted.
/// </remarks>
internal static class PepperCheck
{
    /// <summary>The fault of another pepper.</summary>
    public const string OtherValue =
        "Notify:Pepper has another value than the pepper that the hashes in this database were made with; "
        + "set Notify__Pepper as the other hosts have it, or as it was";

    private const string Name = "pepper";
    private const int MaxSamples = 20;

    /// <summary>Finds the fault of a pepper.</summary>
    /// <returns><c>null</c> if it is right, or if nothing can be compared yet.</returns>
    public static async Task<string?> FindFaultAsync(NpgsqlConnection connection, MasterKeyRing ring, CancellationToken cancellation)
    {
        if (!await HasTableAsync(connection, cancellation))
            return null;
        await using var command = OpenDeliveryTable.Command(
            connection,
            "select check_value from notify.secret_checks where name = $1",
            Name
        );
        return await command.ExecuteScalarAsync(cancellation) is string known
            ? known == ring.PepperCheckValue
                ? null
                : OtherValue
            : await DiffersFromHashesAsync(connection, ring, cancellation)
                ? OtherValue
                : null;
    }

    /// <summary>Records the check value where there is none; the caller has found no fault, and holds the lock of starting hosts.</summary>
    public static async Task RecordAsync(NpgsqlConnection connection, MasterKeyRing ring, CancellationToken cancellation)
    {
        if (!await HasTableAsync(connection, cancellation))
            return;
        await using var command = OpenDeliveryTable.Command(
            connection,
            "insert into notify.secret_checks (name, check_value) values ($1, $2) on conflict do nothing",
            Name,
            ring.PepperCheckValue
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    // The migration that makes the table may not have been run.
    private static async Task<bool> HasTableAsync(NpgsqlConnection connection, CancellationToken cancellation)
    {
        await using var command = OpenDeliveryTable.Command(connection, "select to_regclass('notify.secret_checks') is not null");
        return await command.ExecuteScalarAsync(cancellation) is true;
    }

    private static async Task<bool> DiffersFromHashesAsync(NpgsqlConnection connection, MasterKeyRing ring, CancellationToken cancellation)
    {
        var samples = new List<(Channel Channel, string Fingerprint, Sealed Address)>();
        await using (
            var command = OpenDeliveryTable.Command(
                connection,
                """
                select channel, fingerprint, address from notify.suppressions where address is not null order by since desc limit $1
                """,
                MaxSamples
            )
        )
        await using (var reader = await command.ExecuteReaderAsync(cancellation))
        {
            while (await reader.ReadAsync(cancellation))
                samples.Add(((Channel)reader.GetInt16(0), reader.GetString(1), new Sealed(reader.GetString(2))));
        }

        if (samples.Count == 0)
            return false;
        var keys = await new SubjectKeys(ring, TimeProvider.System).ForAsync(connection, samples.Select(s => s.Address), cancellation);
        var readable = samples
            .Where(s => keys.Has(s.Address))
            .Select(s =>
                (
                    s.Channel,
                    s.Fingerprint,
                    Address: keys.OpenText(s.Address, SealedPlace.OfSuppressed(Suppression.KeyOf(s.Channel, s.Fingerprint)))
                )
            )
            .Where(s => s.Address is not null)
            .ToList();
        // One that fits is enough: how an address is written down may have changed since.
        return readable.Count > 0 && !readable.Exists(s => ring.Of(s.Channel, s.Address) == s.Fingerprint);
    }
}
