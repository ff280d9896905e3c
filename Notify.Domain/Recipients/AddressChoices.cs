namespace Notify.Domain.Recipients;

using System.Collections.Immutable;
using Notify.Domain.Channels;

/// <summary>
/// The categories that an unregistered person opted out of at an address; snapshot of the stream <c>w/{channel}:{fingerprint}</c>.
/// Registered users have their own choices, which preferences at their address do not change.
/// </summary>
/// <param name="Id">The stream key.</param>
/// <param name="OptedOut">The categories.</param>
public sealed record AddressChoices(string Id, ImmutableSortedSet<string> OptedOut, long Version = 0)
{
    /// <summary>The stream key of an address.</summary>
    /// <param name="fingerprint">Keyed hash of the address.</param>
    public static string KeyOf(Channel channel, string fingerprint) => $"w/{Lanes.NameOf(channel)}:{fingerprint}";

    /// <summary>Folds one event into an address's choices.</summary>
    public static AddressChoices? Evolve(AddressChoices? state, string key, object @event)
    {
        var before = state ?? new AddressChoices(key, []);
        return @event switch
        {
            AddressOptedOut e => before with { OptedOut = before.OptedOut.Add(e.Category), Version = before.Version + 1 },
            AddressOptedIn e => before with { OptedOut = before.OptedOut.Remove(e.Category), Version = before.Version + 1 },
            _ => state,
        };
    }
}

/// <summary>An unregistered person opted out of a category at an address.</summary>
/// <param name="Fingerprint">Keyed hash of the address.</param>
/// <param name="By">A client, or <c>recipient</c>: the person themselves.</param>
/// <param name="Through">The place at which it was said: <c>api</c>, or one of <see cref="UnsubscribeSources"/>.</param>
public sealed record AddressOptedOut(Channel Channel, string Fingerprint, string Category, string By, string Through, DateTimeOffset At);

/// <summary>A category may be sent to an address again.</summary>
/// <param name="Fingerprint">Keyed hash of the address.</param>
/// <param name="By">A client.</param>
/// <param name="Through">The place at which it was said.</param>
public sealed record AddressOptedIn(Channel Channel, string Fingerprint, string Category, string By, string Through, DateTimeOffset At);
