namespace Notify.Domain.Content;

/// <summary>The tracking of a recipient's reading; off unless requested.</summary>
public sealed record TrackOptions
{
    /// <summary>Whether the web links of an email or SMS lead through Notify, which records the click.</summary>
    public bool Links { get; init; }

    /// <summary>Whether an email's HTML ends with an invisible image, which reports that it was opened.</summary>
    public bool Opens { get; init; }
}
