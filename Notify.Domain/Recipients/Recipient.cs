namespace Notify.Domain.Recipients;

using System.Collections.Immutable;
using Notify.Domain.Channels;
using Notify.Domain.Privacy;

/// <summary>A device on which a user can be reached.</summary>
/// <param name="RegisteredAt">
/// The time of the registration event; a provider's report that a token is invalid counts only if it is later than this and than the
/// time in <c>notify.devices</c>.
/// </param>
/// <param name="App">The app that the token belongs to; <c>null</c>: the device names none.</param>
public sealed record Device(string Id, Platform Platform, Sealed Token, DateTimeOffset RegisteredAt, DeviceApp? App = null)
{
    /// <summary>The lane that carries a push to the platform.</summary>
    public static Lane LaneOf(Platform platform) =>
        platform switch
        {
            Platform.Ios => Lane.Apns,
            Platform.Android => Lane.Fcm,
            _ => Lane.Webpush,
        };

    /// <summary>The lane that carries a push to this device.</summary>
    public Lane Lane => LaneOf(Platform);
}

/// <summary>A registered user as planning needs them; snapshot of the stream <c>u/{userRef}</c>, with nothing readable in it.</summary>
/// <param name="Id">The stream key.</param>
/// <param name="Choices">Preferences by <c>channel</c> or <c>channel/category</c>; absent ones follow the defaults.</param>
/// <param name="QuietHours">When the user is not to be disturbed; <c>null</c>: they said nothing.</param>
/// <param name="Since">When each of <paramref name="Choices"/> was said.</param>
/// <param name="ErasedAt">When the user was last erased. Earlier client tokens are invalid, also after a new registration.</param>
public sealed record Recipient(
    string Id,
    bool IsErased,
    Sealed? Details,
    bool HasEmail,
    bool HasPhone,
    string? EmailFingerprint,
    string? PhoneFingerprint,
    ImmutableList<Device> Devices,
    ImmutableDictionary<string, bool> Choices,
    long Version = 0,
    QuietHours? QuietHours = null,
    ImmutableDictionary<string, DateTimeOffset>? Since = null,
    DateTimeOffset? ErasedAt = null
)
{
    /// <summary>The stream key of a user.</summary>
    /// <param name="userRef">See <see cref="UserRef"/>; never the ID that a caller gave.</param>
    public static string KeyOf(string userRef) => $"u/{userRef}";

    /// <summary>A user of whom nothing is known yet.</summary>
    public static Recipient Unregistered(string key) =>
        new(key, false, null, false, false, null, null, [], ImmutableDictionary<string, bool>.Empty);

    /// <summary>Folds one event into a recipient.</summary>
    public static Recipient Evolve(Recipient? state, string key, object @event)
    {
        var r = state ?? Unregistered(key);
        r = r with { Version = r.Version + 1 };
        return @event switch
        {
            ContactDetailsGiven e => r with
            {
                IsErased = false,
                Details = e.Details,
                HasEmail = e.HasEmail,
                HasPhone = e.HasPhone,
                EmailFingerprint = e.EmailFingerprint,
                PhoneFingerprint = e.PhoneFingerprint,
            },
            DeviceRegistered e => r with
            {
                IsErased = false,
                Devices = r.Devices.RemoveAll(d => d.Id == e.DeviceId).Add(new Device(e.DeviceId, e.Platform, e.Token, e.At, e.App)),
            },
            DeviceRemoved e => r with { Devices = r.Devices.RemoveAll(d => d.Id == e.DeviceId) },
            OptedIn e => r.WithChoice(ChoiceKey(e.Channel, e.Category), true, e.At),
            OptedOut e => r.WithChoice(ChoiceKey(e.Channel, e.Category), false, e.At),
            PreferenceWithdrawn e => r with
            {
                Choices = r.Choices.Remove(ChoiceKey(e.Channel, e.Category)),
                Since = r.Since?.Remove(ChoiceKey(e.Channel, e.Category)),
            },
            QuietHoursSet e => r with { IsErased = false, QuietHours = new QuietHours(e.From, e.To) },
            QuietHoursWithdrawn => r with { QuietHours = null },
            UserErased e => Unregistered(key) with { IsErased = true, Version = r.Version, ErasedAt = e.At },
            _ => r,
        };
    }

    /// <summary>Returns the person's preference for a category on a channel. It overrides one for the whole channel.</summary>
    /// <returns>The opt-in and its rule; <c>null</c> without a preference.</returns>
    public (bool OptedIn, string Rule)? Said(Channel channel, string category) =>
        Choices.TryGetValue(ChoiceKey(channel, category), out var byCategory)
            ? (byCategory, $"category {category} on {Lanes.NameOf(channel)}")
        : Choices.TryGetValue(ChoiceKey(channel, null), out var byChannel) ? (byChannel, $"channel {Lanes.NameOf(channel)}")
        : null;

    /// <summary>The keyed hash of the number or address that a channel reaches them by; <c>null</c> where there is none, and for
    /// push.</summary>
    public string? FingerprintOn(Channel channel) =>
        channel switch
        {
            Channel.Sms => PhoneFingerprint,
            Channel.Email => EmailFingerprint,
            _ => null,
        };

    private Recipient WithChoice(string key, bool optedIn, DateTimeOffset at) =>
        this with
        {
            IsErased = false,
            Choices = Choices.SetItem(key, optedIn),
            Since = (Since ?? ImmutableDictionary<string, DateTimeOffset>.Empty).SetItem(key, at),
        };

    /// <summary>The key of a choice in <see cref="Choices"/>.</summary>
    public static string ChoiceKey(Channel channel, string? category) =>
        category is null ? Lanes.NameOf(channel) : $"{Lanes.NameOf(channel)}/{category}";
}
