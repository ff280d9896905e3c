namespace Notify.Api.Access;

using Notify.Api.Contract;
using Notify.Domain.Channels;
using Notify.Domain.Clients;

/// <summary>The reason why a client may not send something.</summary>
/// <param name="Code">A problem's code.</param>
/// <param name="Detail">A sentence about what is wrong and what to do.</param>
public sealed record Hindrance(string Code, string Detail)
{
    /// <summary>A problem document with the status 403.</summary>
    public IResult ToResult() => Problem.Of(StatusCodes.Status403Forbidden, Code, Detail);
}

/// <summary>The limits of a client's scope <c>send</c>, applied to a request.</summary>
public static class SendingRules
{
    /// <summary>The code for a category that is not granted.</summary>
    public const string Category = "category_not_granted";

    /// <summary>The code for a channel that is not granted.</summary>
    public const string Channels = "channel_not_granted";

    /// <summary>The code for a broadcast that is not granted.</summary>
    public const string Broadcast = "broadcast_not_granted";

    /// <summary>Returns the detail for a category.</summary>
    public static string CategoryDetail(string category) =>
        $"This client may not send in the category {category}. Ask an administrator to grant it, or name one that is granted.";

    /// <summary>The detail for a broadcast.</summary>
    public const string BroadcastDetail =
        "This client may send broadcasts to topics only, not to all users or by a filter. Ask an administrator to grant broadcastToAll.";

    /// <summary>Checks a request's category and channels.</summary>
    /// <param name="category">The category that counts: the request's, else its template's, else the default.</param>
    /// <returns>The reason against it; <c>null</c>: it may be sent.</returns>
    public static Hindrance? Check(Client client, string category, IReadOnlyList<Channel>? channels)
    {
        var grant = client.Sending;
        if (!grant.Covers(category))
            return new Hindrance(Category, CategoryDetail(category));
        return grant.FirstNotGranted(channels) is { } channel ? new Hindrance(Channels, ChannelDetail(Lanes.NameOf(channel))) : null;
    }

    /// <summary>Returns the detail for a channel.</summary>
    public static string ChannelDetail(string channel) =>
        $"This client may not send by {channel}. Ask an administrator to grant it, or leave it out of channels.";
}
