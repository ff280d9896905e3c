namespace Notify.Domain.Content;

using Notify.Domain.Channels;

/// <summary>Limits on the size of an SMS: <c>Notify:Sms</c>.</summary>
public sealed record SmsLimits
{
    /// <summary>The most characters that providers take.</summary>
    public const int MaxCharacters = 1600;

    /// <summary>The most parts that one SMS may take; each is paid for. 1 to 255, the most that can be joined (3GPP TS 23.040).</summary>
    public int MaxSegments { get; init; } = 10;

    /// <summary>Where tracked links lead, without a slash at its end; <c>Notify:PublicUrl</c>, and no setting of its own.</summary>
    public string PublicUrl { get; init; } = "http://127.0.0.1:5080";

    /// <summary>A tracked link as long as every one is: <see cref="PublicUrl"/> and 19 characters.</summary>
    public string AnyTrackedLink => $"{PublicUrl}/t/{new string('x', LinkRewriter.TokenLength)}";

    /// <summary>Checks the settings; every fault is added to <paramref name="faults"/>.</summary>
    public void Check(string section, ICollection<string> faults)
    {
        if (MaxSegments is < 1 or > 255)
            faults.Add($"{section}:{nameof(MaxSegments)} is {MaxSegments}; give 1 to 255");
    }

    /// <summary>How many parts a text takes as it is sent, where that is more than allowed; else <c>null</c>.</summary>
    /// <param name="track">Whether its links will be tracked.</param>
    public int? Excess(string? text, TrackOptions? track = null) =>
        text is { Length: > 0 } && SmsText.Segments(AsSent(text, track)) is var segments && segments > MaxSegments ? segments : null;

    /// <summary>A text as it is sent, with tracked links of the right length that lead nowhere.</summary>
    public string AsSent(string text, TrackOptions? track) =>
        LinkRewriter
            .Rewrite(new NotificationContent(Body: text, Track: track), Channel.Sms, _ => AnyTrackedLink, "", $"{PublicUrl}/", this)
            .Content.Body!;

    /// <summary>Whether tracking its links makes a text too long that is not by itself. It is then sent as it is: rather untracked than not
    /// at all.</summary>
    public bool IsTooLongTracked(string text, string tracked) => IsTooLong(tracked) && !IsTooLong(text);

    private bool IsTooLong(string text) => text.Length > MaxCharacters || SmsText.Segments(text) > MaxSegments;
}
