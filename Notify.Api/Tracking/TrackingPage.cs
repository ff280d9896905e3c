namespace Notify.Api.Tracking;

/// <summary>The page behind a tracked link that leads nowhere.</summary>
public static class TrackingPage
{
    /// <summary>Says that the link is none of ours.</summary>
    public static string Unknown { get; } =
        UnsubscribePage.Page(
            "This link leads nowhere",
            "<p>It may have been cut, or what it belonged to is gone. Copy the whole link from the message. If that does not "
                + "work, ask the sender of the message.</p>"
        );
}
