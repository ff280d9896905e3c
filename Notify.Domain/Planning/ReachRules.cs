namespace Notify.Domain.Planning;

using System.Collections.Immutable;
using Notify.Domain.Categories;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Recipients;
using Notify.Domain.Suppressions;

/// <summary>The installation's rules for reaching people, at one time, as far as one group of notifications needs them.</summary>
/// <param name="Categories">The defined categories, by stream key.</param>
/// <param name="Suppressions">The suppressions of the addresses concerned, by ID.</param>
/// <param name="Said">The preferences for addresses of people who are not registered; <c>null</c>: none.</param>
public sealed record ReachRules(
    IReadOnlyDictionary<string, Category> Categories,
    IReadOnlyDictionary<string, Suppression> Suppressions,
    AddressWords? Said = null
)
{
    /// <summary>No rules.</summary>
    public static readonly ReachRules None = new(
        ImmutableDictionary<string, Category>.Empty,
        ImmutableDictionary<string, Suppression>.Empty
    );

    /// <summary>
    /// The request's category, defined or not. It counts as required only for a client that is granted to pass opt-outs; see
    /// <see cref="NotificationRequested.OptOutsHold"/>.
    /// </summary>
    public Category Of(NotificationRequested request)
    {
        if (!Categories.TryGetValue(Category.KeyOf(request.Category), out var defined))
            return Category.Undefined(request.Category);
        return request.OptOutsHold ? defined with { Required = false } : defined;
    }

    /// <summary>
    /// Whether a person may be reached about the request's category: a registered user by their own preferences; any other address by the
    /// preferences given there, or by those of a registered user with the same address.
    /// </summary>
    /// <param name="recipient">The registered user; <c>null</c>: they are not registered.</param>
    /// <param name="fingerprint">Keyed hash of the address; <c>null</c> for devices.</param>
    /// <returns>Whether, by which rule, and whether that rule overrode a no.</returns>
    public (bool MayReach, string Rule, bool PassedOptOut) Reaches(
        NotificationRequested request,
        Recipient? recipient,
        Channel channel,
        string? fingerprint
    )
    {
        var category = Of(request);
        if (request.UserRef is not null || fingerprint is null || Said?.Against(channel, fingerprint, category.Key) is not { } rule)
            return category.Reaches(recipient, channel);
        return category.Required
            ? (true, $"category {category.Key} is required, version {category.Version}; passes {rule}", true)
            : (false, rule, false);
    }

    /// <summary>Returns the active suppression of an address; <c>null</c>: none.</summary>
    /// <param name="fingerprint">Keyed hash of the address; <c>null</c> where there is none, as for devices.</param>
    public Suppression? Against(Channel channel, string? fingerprint, DateTimeOffset now) =>
        fingerprint is not null && Suppressions.TryGetValue(Suppression.IdOf(channel, fingerprint), out var found) && found.StandsAt(now)
            ? found
            : null;
}
