namespace Notify.Domain.Content;

/// <summary>Appearance, sound and behaviour of a push, as far as a platform supports them; it is not sent others.</summary>
public sealed record PushOptions
{
    /// <summary>The value of <see cref="Sound"/> that makes no sound.</summary>
    public const string NoSound = "none";

    /// <summary>The sound: <c>default</c>, <c>none</c>, or the name of one in the app, at most 100 characters. On Android 8 and later the
    /// channel decides instead.</summary>
    public string? Sound { get; init; }

    /// <summary>The number on the app's icon, 0 to 99,999; 0 takes it away. Web apps get it to show it themselves.</summary>
    public int? Badge { get; init; }

    /// <summary>A picture: an absolute https address of at most 1,000 characters. On iOS the app's notification service extension fetches
    /// it.</summary>
    public string? Image { get; init; }

    /// <summary>
    /// Pushes with the same key replace each other on the device: 1 to 64 printable ASCII characters. Absent: it replaces none.
    /// </summary>
    public string? CollapseKey { get; init; }

    /// <summary>How many seconds push services keep it for a device that is away, 0 (now or never) to 2,419,200 (four weeks); never beyond
    /// <c>expiresAt</c>.</summary>
    public int? TtlSeconds { get; init; }

    /// <summary>For Android alone.</summary>
    public AndroidOptions? Android { get; init; }

    /// <summary>For iOS alone.</summary>
    public IosOptions? Ios { get; init; }

    /// <summary>For browsers alone.</summary>
    public WebOptions? Web { get; init; }
}

/// <summary>Options that only Android has.</summary>
public sealed record AndroidOptions
{
    /// <summary>The notification channel that the app made, at most 100 characters.</summary>
    public string? ChannelId { get; init; }

    /// <summary>The icon: the name of a drawable in the app, at most 100 characters.</summary>
    public string? Icon { get; init; }

    /// <summary>The icon's colour, <c>#rrggbb</c>.</summary>
    public string? Color { get; init; }

    /// <summary>The intent's action that a tap starts an activity with, at most 200 characters; absent: a tap opens the app.</summary>
    public string? ClickAction { get; init; }
}

/// <summary>How much iOS lets a notification interrupt.</summary>
public enum InterruptionLevel
{
    /// <summary>Into the list, without light and sound.</summary>
    Passive,

    /// <summary>As usual.</summary>
    Active,

    /// <summary>Through Focus, where the person allows it.</summary>
    TimeSensitive,

    /// <summary>Through everything; needs Apple's permission for the app.</summary>
    Critical,
}

/// <summary>Options that only iOS has.</summary>
public sealed record IosOptions
{
    /// <summary>The second line of the heading, at most 200 characters.</summary>
    public string? Subtitle { get; init; }

    /// <summary>Notifications with the same thread are grouped; at most 100 characters.</summary>
    public string? ThreadId { get; init; }

    /// <summary>The category that the app declared, with its buttons; at most 100 characters.</summary>
    public string? Category { get; init; }

    /// <summary>How much it may interrupt.</summary>
    public InterruptionLevel? InterruptionLevel { get; init; }

    /// <summary>Whether the app's notification service extension may change it before it is shown; with an image always.</summary>
    public bool? MutableContent { get; init; }
}

/// <summary>Options that only browsers have.</summary>
public sealed record WebOptions
{
    /// <summary>The icon: an absolute https address of at most 1,000 characters.</summary>
    public string? Icon { get; init; }

    /// <summary>Whether it stays until the person acts.</summary>
    public bool? RequireInteraction { get; init; }
}

/// <summary>How long a push is worth keeping for a device that is away.</summary>
public static class PushLifetime
{
    /// <summary>The end: <c>expiresAt</c>, or sooner by the options' time to live; <c>null</c> where neither says.</summary>
    /// <param name="now">When the push service is called.</param>
    public static DateTimeOffset? End(DateTimeOffset? expiresAt, PushOptions? options, DateTimeOffset now) =>
        options?.TtlSeconds is not { } seconds ? expiresAt
        : expiresAt is { } end && end < now.AddSeconds(seconds) ? end
        : now.AddSeconds(seconds);
}
