namespace Notify.Domain.Notifications;

/// <summary>What is noticed of a recipient's reading; nothing where it is not asked for.</summary>
public sealed record TrackOptions
{
    /// <summary>Whether the web links of an email or SMS lead through Notify, which notes the click.</summary>
    public bool Links { get; init; }

    /// <summary>Whether an email's HTML ends with an invisible image, which tells that it was opened.</summary>
    public bool Opens { get; init; }
}
