namespace Notify.Delivery.Privacy;

using Notify.Delivery.EventStore;

/// <summary>A master key as the database knows it.</summary>
/// <param name="CheckValue">Derived from its value when a host first announced it; <c>null</c>: not recorded yet.</param>
/// <param name="IsInUse">Whether it wraps keys of subjects, or is about to.</param>
/// <param name="IsRetired">Whether it was replaced, and never wraps again.</param>
public sealed record KnownMasterKey(string Id, string? CheckValue, bool IsInUse, bool IsRetired = false);

/// <summary>A live host's announcement.</summary>
/// <param name="Keys">The IDs of its master keys.</param>
/// <param name="Reader">See <see cref="StoreFormat"/>.</param>
public sealed record AnnouncedHost(string Name, IReadOnlyCollection<string> Keys, int Reader = StoreFormat.Reader)
{
    /// <summary>The IDs of its peppers.</summary>
    public IReadOnlyCollection<string> Peppers { get; init; } = [PepperRing.First];

    /// <summary>The IDs of those that it looks up under; it makes hashes under the first.</summary>
    public IReadOnlyList<string> PeppersInUse { get; init; } = [PepperRing.First];
}

/// <summary>Decides which master key wraps, and whether a host may start with the keys that it has. Pure.</summary>
public static class HostKeyDecider
{
    /// <summary>Chooses the key that wraps: the named one if every live host has it, else the newest that all have.</summary>
    /// <param name="own">The IDs of this host's keys.</param>
    /// <returns><c>null</c> where the hosts have no key in common.</returns>
    public static string? Choose(string named, IEnumerable<string> own, IReadOnlyCollection<AnnouncedHost> live)
    {
        var common = own.Where(k => live.All(h => h.Keys.Contains(k))).ToList();
        return common.Contains(named) ? named : Newest(common);
    }

    /// <summary>The newest of some keys, by their IDs.</summary>
    /// <returns><c>null</c> where there is none.</returns>
    public static string? Newest(IEnumerable<string> ids) =>
        ids.OrderBy(k => k.Length).ThenBy(k => k, StringComparer.Ordinal).LastOrDefault();

    /// <summary>The IDs of a host's keys that may wrap.</summary>
    public static IEnumerable<string> Usable(MasterKeyRing ring, IReadOnlyCollection<KnownMasterKey> known) =>
        ring.Ids.Except(known.Where(k => k.IsRetired).Select(k => k.Id));

    /// <summary>Finds the reason why a host must not start.</summary>
    /// <returns><c>null</c> if it may.</returns>
    public static string? FindFault(MasterKeyRing ring, IReadOnlyCollection<KnownMasterKey> known, IReadOnlyCollection<AnnouncedHost> live)
    {
        var missing = known.Where(k => k.IsInUse && !ring.Has(k.Id)).Select(k => k.Id).Order(StringComparer.Ordinal).ToList();
        if (missing.Count > 0)
            return Lacks(missing);
        if (FindOtherValue(ring, known, live) is { } other)
            return other;
        return Choose(ring.NamedId, Usable(ring, known), live) is not null
            ? null
            : $"Notify:MasterKeys has no key in common with {string.Join(" and ", live.Select(h => h.Name).Distinct().Order())}; "
                + "give all hosts the same master keys";
    }

    /// <summary>Finds a key that has another value than the one that is known.</summary>
    /// <remarks>A key that nothing is wrapped by and that no live host has may be given another value.</remarks>
    /// <returns><c>null</c> where there is none.</returns>
    public static string? FindOtherValue(
        MasterKeyRing ring,
        IReadOnlyCollection<KnownMasterKey> known,
        IReadOnlyCollection<AnnouncedHost> live
    ) =>
        known.FirstOrDefault(k =>
            ring.Has(k.Id)
            && k.CheckValue is { } value
            && value != ring.CheckValueOf(k.Id)
            && (k.IsInUse || live.Any(h => h.Keys.Contains(k.Id)))
        )
            is { } other
            ? OtherValue(other.Id)
            : null;

    /// <summary>The sentence about keys that are in use and that a host has not.</summary>
    public static string Lacks(IReadOnlyCollection<string> missing) =>
        $"Notify:MasterKeys lacks {string.Join(", ", missing.Select(m => $"\"{m}\""))}, which wraps keys of personal data here; "
        + $"set {string.Join(", ", missing.Select(m => $"Notify__MasterKeys__{m}"))} as the other hosts have it, or share their "
        + "Notify:KeyFolder, and restart this host";

    /// <summary>The sentence about a key whose value is not the one that wraps.</summary>
    public static string OtherValue(string id) =>
        $"Notify:MasterKeys:{id} has another value than the key \"{id}\" that is known to this database; "
        + $"set Notify__MasterKeys__{id} as the other hosts have it, or give a new key a new ID";
}
