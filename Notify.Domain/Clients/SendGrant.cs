namespace Notify.Domain.Clients;

using System.Collections.Immutable;
using Notify.Domain.Channels;

/// <summary>The limits within which a client may use the scope <c>send</c>.</summary>
/// <param name="Categories">The categories that it may send in; <c>null</c>: any.</param>
/// <param name="Channels">The channels that it may use; <c>null</c>: any.</param>
/// <param name="Required">Whether its notifications in required categories pass opt-outs and quiet hours.</param>
/// <param name="BroadcastToAll">Whether its broadcasts may name a filter or all users; to a topic any client may send.</param>
public sealed record SendGrant(
    ImmutableList<string>? Categories = null,
    ImmutableList<Channel>? Channels = null,
    bool Required = false,
    bool BroadcastToAll = false
)
{
    /// <summary>Any category and channel; no passing of opt-outs, and broadcasts to topics only.</summary>
    public static readonly SendGrant Ordinary = new();

    /// <summary>Whether two grants say the same.</summary>
    public static bool AreSame(SendGrant? one, SendGrant? other)
    {
        var (a, b) = (one ?? Ordinary, other ?? Ordinary);
        return (a.Required, a.BroadcastToAll) == (b.Required, b.BroadcastToAll)
            && Same(a.Categories, b.Categories)
            && Same(a.Channels, b.Channels);

        static bool Same<T>(ImmutableList<T>? x, ImmutableList<T>? y) =>
            x is null || y is null ? x is null && y is null : x.SequenceEqual(y);
    }

    /// <summary>Whether a category is among those granted.</summary>
    public bool Covers(string category) => Categories?.Contains(category) != false;

    /// <summary>The first of the channels that is not granted; <c>null</c>: all are.</summary>
    public Channel? FirstNotGranted(IEnumerable<Channel>? wanted)
    {
        foreach (var channel in wanted ?? [])
        {
            if (Channels?.Contains(channel) == false)
                return channel;
        }

        return null;
    }
}
