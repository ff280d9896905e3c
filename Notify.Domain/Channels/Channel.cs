namespace Notify.Domain.Channels;

/// <summary>How a person is reached, as senders name it in <c>channels</c>.</summary>
public enum Channel
{
    Push,
    Sms,
    Email,
}

/// <summary>How urgent a notification is. Each priority has queues of its own, so bulk never delays critical.</summary>
public enum Priority
{
    Critical,
    Normal,
    Bulk,
}

/// <summary>
/// The kind of provider that carries a delivery. Push splits by the device's platform; every lane has its own
/// queues and workers, so that the failure of one provider never delays another.
/// </summary>
public enum Lane
{
    Apns,
    Fcm,
    Webpush,
    Sms,
    Email,
}

/// <summary>Properties of lanes that do not depend on the provider.</summary>
public static class Lanes
{
    /// <summary>Every lane.</summary>
    public static readonly IReadOnlyList<Lane> All = Enum.GetValues<Lane>();

    /// <summary>The channel that a lane belongs to.</summary>
    public static Channel ChannelOf(Lane lane) =>
        lane switch
        {
            Lane.Sms => Channel.Sms,
            Lane.Email => Channel.Email,
            _ => Channel.Push,
        };

    /// <summary>A channel's name, as senders write it.</summary>
    public static string NameOf(Channel channel) =>
        channel switch
        {
            Channel.Push => "push",
            Channel.Sms => "sms",
            _ => "email",
        };

    /// <summary>
    /// Whether the same delivery sent twice shows once: push replaces itself on the device by its collapse ID or tag.
    /// Where this is false an attempt is recorded before the call, and an unclear outcome is never repeated blindly.
    /// </summary>
    public static bool RepeatReplacesItself(Lane lane) => ChannelOf(lane) == Channel.Push;
}

/// <summary>One of the queues that deliveries wait in: a lane at a priority. Its name is derived, never written by hand.</summary>
/// <param name="Lane">The kind of provider.</param>
/// <param name="Priority">The priority that the notification was sent with.</param>
public readonly record struct DeliveryQueue(Lane Lane, Priority Priority)
{
    /// <summary>Every queue that a Dispatch host listens to.</summary>
    public static IReadOnlyList<DeliveryQueue> All { get; } =
    [.. from lane in Lanes.All from priority in Enum.GetValues<Priority>() select new DeliveryQueue(lane, priority)];

    /// <summary>The transport's name of the queue, such as <c>apns_critical</c>; letters and underscore only, since it becomes a table's
    /// name.</summary>
    public string Name => Names[((int)Lane * 3) + (int)Priority];

    /// <summary>The compact form of the queue in rows; permanently stable.</summary>
    public short Code => (short)(((int)Lane * 10) + (int)Priority);

    /// <summary>The queue whose <see cref="Code"/> this is.</summary>
    public static DeliveryQueue FromCode(short code) => new((Lane)(code / 10), (Priority)(code % 10));

    /// <inheritdoc />
    public override string ToString() => Name;

    private static readonly string[] Names =
    [
        .. from lane in Lanes.All from priority in Enum.GetValues<Priority>() select $"{lane}_{priority}".ToLowerInvariant(),
    ];
}
