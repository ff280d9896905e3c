namespace Notify.Delivery.Privacy;

using Notify.Delivery.EventStore;
using Npgsql;

/// <summary>Decides which pepper is current, and whether a host may start with the peppers that it has. Pure.</summary>
/// <remarks>
/// A pepper becomes current in two steps, so that no two hosts know one thing by two hashes. It comes into use when every live host has it:
/// all hosts then look up under it. It becomes current when every live host has announced that it does.
/// </remarks>
public static class PepperDecider
{
    /// <summary>Finds the reason why a host must not start.</summary>
    /// <returns><c>null</c> if it may.</returns>
    public static string? FindFault(PepperRing ring, KnownPeppers known)
    {
        var missing = Missing(ring, known);
        return missing.Count > 0 ? Lacks(missing) : null;
    }

    /// <summary>The peppers in use that a host has not.</summary>
    public static IReadOnlyList<string> Missing(PepperRing ring, KnownPeppers known) => [.. known.InUse.Where(p => !ring.Has(p))];

    /// <summary>Whether the named pepper is to come into use: every live host has it.</summary>
    public static bool IsToBeUsed(PepperRing ring, KnownPeppers known, IReadOnlyCollection<AnnouncedHost> live) =>
        known.Current is not null
        && known.All.All(p => p.Id != ring.NamedId)
        && live.All(h => h.Reader >= StoreFormat.Peppers && h.Peppers.Contains(ring.NamedId));

    /// <summary>Chooses the pepper that is to be current.</summary>
    /// <remarks>
    /// The named one as soon as every live host looks up under it. One that was current before never is again, so that hosts with different
    /// settings do not switch to and fro.
    /// </remarks>
    /// <returns>The pepper to switch to; <c>null</c>: none.</returns>
    public static string? Choose(PepperRing ring, KnownPeppers known, IReadOnlyCollection<AnnouncedHost> live)
    {
        if (known.Current is null)
            return ring.Has(PepperRing.First) ? PepperRing.First : ring.NamedId;
        return
            known.All.Any(p => p.Id == ring.NamedId && p is { IsInUse: true, CurrentSince: null })
            && live.All(h => h.Reader >= StoreFormat.Peppers && h.PeppersInUse.Contains(ring.NamedId))
            ? ring.NamedId
            : null;
    }

    /// <summary>The sentence about peppers that are in use and that a host has not.</summary>
    public static string Lacks(IReadOnlyCollection<string> missing) =>
        $"Notify:Peppers lacks {string.Join(", ", missing.Select(m => $"\"{m}\""))}, which hashes in this database were made with; "
        + $"set {string.Join(", ", missing.Select(m => $"Notify__Peppers__{m}"))} as the other hosts have it, and restart this host";
}

/// <summary>A host's peppers: compared with the database's before it starts, and followed afterwards.</summary>
internal static class HostPeppers
{
    /// <summary>Finds the fault of a host's peppers.</summary>
    /// <returns><c>null</c> if they are right, or if nothing can be compared yet.</returns>
    public static async Task<string?> FindFaultAsync(
        NpgsqlConnection connection,
        MasterKeyRing ring,
        IReadOnlyCollection<AnnouncedHost> live,
        CancellationToken cancellation
    )
    {
        var known = await PepperTable.LoadAsync(connection, cancellation);
        if (known is not null && PepperDecider.FindFault(ring.Peppers, known) is { } fault)
            return fault;
        return await PepperCheck.FindFaultAsync(connection, ring, known, live, cancellation);
    }

    /// <summary>Follows the installation, and takes the next step towards the named pepper when all live hosts are ready for it.</summary>
    /// <remarks>In the lock of starting hosts.</remarks>
    /// <returns>The pepper that became current just now; <c>null</c>: none.</returns>
    public static async Task<string?> SwitchAsync(
        NpgsqlConnection connection,
        MasterKeyRing ring,
        IReadOnlyCollection<AnnouncedHost> live,
        CancellationToken cancellation
    )
    {
        if (await PepperTable.LoadAsync(connection, cancellation) is not { } known)
            return null;
        var former = known.Current;
        // A host of the former version must not start any more: it would look up under the first pepper alone.
        if (ring.Format.WritesPeppers && PepperDecider.IsToBeUsed(ring.Peppers, known, live))
        {
            await PepperTable.UseAsync(connection, ring.Peppers.NamedId, cancellation);
            known = (await PepperTable.LoadAsync(connection, cancellation))!;
        }

        var chosen = PepperDecider.Choose(ring.Peppers, known, live);
        if (chosen is not null)
            await PepperTable.SwitchAsync(connection, chosen, cancellation);
        await FollowAsync(connection, ring, cancellation);
        return former is null ? null : chosen;
    }

    /// <summary>Follows the installation.</summary>
    /// <returns>The known peppers; <c>null</c> where the migration was not run.</returns>
    public static async Task<KnownPeppers?> FollowAsync(NpgsqlConnection connection, MasterKeyRing ring, CancellationToken cancellation)
    {
        var known = await PepperTable.LoadAsync(connection, cancellation);
        if (known is not null)
            ring.Peppers.Follow(known.InUse, known.HasReferences);
        return known;
    }
}
