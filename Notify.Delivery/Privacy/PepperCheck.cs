namespace Notify.Delivery.Privacy;

using Notify.Domain.Channels;
using Notify.Domain.Privacy;
using Notify.Domain.Suppressions;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>Compares a host's peppers with those that the installation's keyed hashes were made with.</summary>
/// <remarks>
/// With another pepper no suppression, no secret of a client, no link and no repeated request is found again, and nothing fails. The
/// check value stands in <c>notify.secret_checks</c>. A database from before check values is compared by suppressed addresses that can
/// be decrypted.
/// </remarks>
internal static class PepperCheck
{
    private const string Name = "pepper";
    private const int MaxSamples = 20;

    /// <summary>The fault of another pepper.</summary>
    public static string OtherValue(PepperRing ring, string id) =>
        $"{ring.SettingOf(id)} has another value than the pepper that the hashes in this database were made with; "
        + $"set {ring.SettingOf(id).Replace(":", "__", StringComparison.Ordinal)} as the other hosts have it, or as it was";

    /// <summary>Finds the fault of a pepper.</summary>
    /// <param name="peppers">The known peppers; <c>null</c>: the migration was not run.</param>
    /// <returns><c>null</c> if all are right, or if nothing can be compared yet.</returns>
    /// <remarks>A pepper that was never current and that no live host has may be given another value.</remarks>
    public static async Task<string?> FindFaultAsync(
        NpgsqlConnection connection,
        MasterKeyRing ring,
        KnownPeppers? peppers,
        IReadOnlyCollection<AnnouncedHost> live,
        CancellationToken cancellation
    )
    {
        if (!await HasTableAsync(connection, cancellation))
            return null;
        var values = await ValuesAsync(connection, cancellation);
        foreach (var id in ring.Peppers.Ids.Where(values.ContainsKey))
        {
            if (
                values[id] != ring.Peppers.CheckValueOf(id)
                && (
                    id == PepperRing.First
                    || live.Any(h => h.Peppers.Contains(id))
                    || peppers?.All.Any(p => p.Id == id && (p.IsInUse || p.CurrentSince is not null)) == true
                )
            )
                return OtherValue(ring.Peppers, id);
        }

        if (values.Count == 0)
            return await DiffersFromHashesAsync(connection, ring, cancellation) ? OtherValue(ring.Peppers, ring.Peppers.NamedId) : null;
        // A database from before there were several was made with the first.
        return peppers is { All.Count: 0 } && values.ContainsKey(PepperRing.First) && !ring.Peppers.Has(PepperRing.First)
            ? PepperDecider.Lacks([PepperRing.First])
            : null;
    }

    /// <summary>Records the check values; the caller has found no fault, and holds the lock of starting hosts.</summary>
    public static async Task RecordAsync(NpgsqlConnection connection, MasterKeyRing ring, CancellationToken cancellation)
    {
        if (!await HasTableAsync(connection, cancellation))
            return;
        string[] ids = [.. ring.Peppers.Ids.Order(StringComparer.Ordinal)];
        await using var command = SqlCommands.Create(
            connection,
            """
            insert into notify.secret_checks as c (name, check_value) select * from unnest($1, $2)
            on conflict (name) do update set check_value = excluded.check_value where c.check_value <> excluded.check_value
            """,
            ids.Select(NameOf).ToArray(),
            ids.Select(ring.Peppers.CheckValueOf).ToArray()
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    private static string NameOf(string id) => id == PepperRing.First ? Name : $"{Name}:{id}";

    private static async Task<Dictionary<string, string>> ValuesAsync(NpgsqlConnection connection, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(
            connection,
            "select name, check_value from notify.secret_checks where name = $1 or name like $1 || ':%'",
            Name
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var values = new Dictionary<string, string>(StringComparer.Ordinal);
        while (await reader.ReadAsync(cancellation))
            values[reader.GetString(0) == Name ? PepperRing.First : reader.GetString(0)[(Name.Length + 1)..]] = reader.GetString(1);
        return values;
    }

    // The migration that makes the table may not have been run.
    private static async Task<bool> HasTableAsync(NpgsqlConnection connection, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(connection, "select to_regclass('notify.secret_checks') is not null");
        return await command.ExecuteScalarAsync(cancellation) is true;
    }

    private static async Task<bool> DiffersFromHashesAsync(NpgsqlConnection connection, MasterKeyRing ring, CancellationToken cancellation)
    {
        var samples = new List<(Channel Channel, string Fingerprint, Sealed Address)>();
        await using (
            var command = SqlCommands.Create(
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
        return readable.Count > 0
            && !readable.Exists(s =>
                HashedText.Of(s.Channel, s.Address).SelectMany(t => ring.Peppers.Fingerprints(t.Purpose, t.Text)).Contains(s.Fingerprint)
            );
    }
}
