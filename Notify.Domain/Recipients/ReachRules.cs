using System.Collections.Immutable;
using Notify.Domain.Categories;
using Notify.Domain.Notifications;
using Notify.Domain.Suppressions;

namespace Notify.Domain.Recipients;

/// <summary>What the installation lays down about whom it reaches, as of one moment: as much of it as one group of notifications needs.</summary>
/// <param name="Categories">Those that are defined, by stream key.</param>
/// <param name="Suppressions">Those of the addresses concerned, by ID.</param>
public sealed record ReachRules(IReadOnlyDictionary<string, Category> Categories, IReadOnlyDictionary<string, Suppression> Suppressions)
{
    /// <summary>Nothing is laid down.</summary>
    public static readonly ReachRules None = new(ImmutableDictionary<string, Category>.Empty, ImmutableDictionary<string, Suppression>.Empty);

    /// <summary>The category, defined or not.</summary>
    public Category Of(string category) => Categories.TryGetValue(Category.KeyOf(category), out var defined) ? defined : Category.Undefined(category);

    /// <summary>The suppression that stands in the way of an address; <c>null</c>: none.</summary>
    /// <param name="fingerprint">Keyed hash of the address; <c>null</c> where there is none, as for devices.</param>
    public Suppression? Against(Channel channel, string? fingerprint, DateTimeOffset now) =>
        fingerprint is not null && Suppressions.TryGetValue(Suppression.IdOf(channel, fingerprint), out var found) && found.StandsAt(now) ? found : null;
}
