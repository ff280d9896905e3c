namespace Notify.Domain.Recipients;

using Notify.Domain.Channels;

/// <summary>A registered user's choices, known by the addresses that they have.</summary>
/// <param name="Choices">As <see cref="Recipient.Choices"/>.</param>
public sealed record ChoicesAtAddress(Channel Channel, string Fingerprint, IReadOnlyDictionary<string, bool> Choices);

/// <summary>
/// All that was said about some addresses: there by people who are not registered, and by registered users who have them.
/// </summary>
/// <param name="There">By stream key.</param>
public sealed record AddressWords(IReadOnlyDictionary<string, AddressChoices> There, IReadOnlyList<ChoicesAtAddress> Users)
{
    /// <summary>The prefix of the rules by which an address is skipped; they name no version of a user.</summary>
    public const string RulePrefix = "address";

    /// <summary>The rule by which a category is not sent to an address; <c>null</c>: nobody said no.</summary>
    public string? Against(Channel channel, string fingerprint, string category)
    {
        var (name, place) = (Lanes.NameOf(channel), AddressChoices.KeyOf(channel, fingerprint));
        if (There.TryGetValue(place, out var there) && there.OptedOut.Contains(category))
            return $"{RulePrefix} opted out of category {category} on {name}";
        return Users.Any(u => u.Channel == channel && u.Fingerprint == fingerprint && SaidNo(u.Choices, channel, category))
            ? $"{RulePrefix} is that of a user who opted out of category {category} on {name}"
            : null;
    }

    private static bool SaidNo(IReadOnlyDictionary<string, bool> choices, Channel channel, string category) =>
        choices.TryGetValue(Recipient.ChoiceKey(channel, category), out var said)
            ? !said
            : choices.TryGetValue(Recipient.ChoiceKey(channel, null), out var all) && !all;
}
