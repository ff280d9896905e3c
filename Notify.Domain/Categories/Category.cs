namespace Notify.Domain.Categories;

using System.Collections.Immutable;
using Notify.Domain.Channels;
using Notify.Domain.Recipients;

/// <summary>A kind of notification and the rules for it; snapshot of the stream <c>k/{key}</c>.</summary>
/// <param name="Id">The stream key.</param>
/// <param name="Required">Whether it passes opt-outs.</param>
/// <param name="Defaults">By channel's name: whether people who said nothing are reached; absent: yes.</param>
/// <param name="Version">Of the stream; 0: nobody has defined it.</param>
/// <param name="Caps">How many of them a person may get, by channel and period; <c>null</c>: any number.</param>
/// <param name="Digest">How they are collected into one; <c>null</c>: each is sent by itself.</param>
/// <param name="Email">How its emails name their sender; <c>null</c>: as the provider's settings do.</param>
public sealed record Category(
    string Id,
    bool Required,
    ImmutableDictionary<string, bool> Defaults,
    UnknownOutcome UnknownOutcome,
    string By,
    DateTimeOffset DefinedAt,
    long Version,
    IReadOnlyList<Cap>? Caps = null,
    DigestRule? Digest = null,
    CategorySender? Email = null
)
{
    /// <summary>The key by which notifications name it.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public string Key => Id[2..];

    /// <summary>The stream key of a category.</summary>
    public static string KeyOf(string category) => $"k/{category}";

    /// <summary>A category that nobody has defined: everybody who said nothing is reached, and nothing is repeated.</summary>
    public static Category Undefined(string category) =>
        new(KeyOf(category), false, ImmutableDictionary<string, bool>.Empty, UnknownOutcome.Hold, "", default, 0);

    /// <summary>Folds one event into a category.</summary>
    public static Category? Evolve(Category? state, string key, object @event) =>
        @event is CategoryDefined e
            ? new Category(
                key,
                e.Required,
                e.Defaults.ToImmutableDictionary(),
                e.UnknownOutcome,
                e.By,
                e.At,
                (state?.Version ?? 0) + 1,
                e.Caps,
                e.Digest,
                e.Email
            )
            : state;

    /// <summary>Defines a category.</summary>
    /// <returns>The event; <c>null</c> when it is defined so already.</returns>
    public static CategoryDefined? Define(
        Category? current,
        string category,
        bool required,
        IReadOnlyDictionary<string, bool> defaults,
        UnknownOutcome unknownOutcome,
        string by,
        DateTimeOffset now,
        IReadOnlyCollection<Cap>? caps = null,
        DigestRule? digest = null,
        CategorySender? email = null
    )
    {
        IReadOnlyList<Cap> sorted = [.. (caps ?? []).OrderBy(c => c.Channel).ThenBy(c => c.Per)];
        return
            current is not null
            && current.Required == required
            && current.UnknownOutcome == unknownOutcome
            && current.Defaults.Count == defaults.Count
            && defaults.All(d => current.Defaults.TryGetValue(d.Key, out var before) && before == d.Value)
            && sorted.SequenceEqual(current.Caps ?? [])
            && Equals(current.Digest, digest)
            && Equals(current.Email, email)
            ? null
            : new CategoryDefined(category, required, defaults, unknownOutcome, by, now, sorted.Count == 0 ? null : sorted, digest, email);
    }

    /// <summary>
    /// Whether a person may be reached about this category on a channel. Their preference for the category overrides that for the
    /// channel, which overrides the category's default, which is yes if absent. A required category overrides all of them.
    /// </summary>
    /// <param name="recipient"><c>null</c> for a person who is not registered, and so has no preferences.</param>
    /// <returns>Whether, by which rule, and whether that rule overrode a no.</returns>
    public (bool MayReach, string Rule, bool PassedOptOut) Reaches(Recipient? recipient, Channel channel)
    {
        var name = Lanes.NameOf(channel);
        var (wants, rule) =
            recipient?.Said(channel, Key)
            ?? (
                Defaults.TryGetValue(name, out var byDefault)
                    ? (byDefault, $"default of category {Key} on {name}, version {Version}")
                    : (true, "default")
            );
        return wants || !Required ? (wants, rule, false) : (true, $"category {Key} is required, version {Version}; passes {rule}", true);
    }
}
