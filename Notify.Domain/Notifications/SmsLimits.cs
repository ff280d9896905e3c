namespace Notify.Domain.Notifications;

/// <summary>What an SMS may cost: <c>Notify:Sms</c>.</summary>
public sealed record SmsLimits
{
    /// <summary>The most parts that one SMS may take; each is paid for. 1 to 255, the most that can be joined (3GPP TS 23.040).</summary>
    public int MaxSegments { get; init; } = 10;

    /// <summary>Checks the settings; every fault is added to <paramref name="faults"/>.</summary>
    public void Check(string section, ICollection<string> faults)
    {
        if (MaxSegments is < 1 or > 255) faults.Add($"{section}:{nameof(MaxSegments)} is {MaxSegments}; give 1 to 255");
    }

    /// <summary>How many parts a text takes, where that is more than allowed; else <c>null</c>.</summary>
    public int? Excess(string? text) => text is { Length: > 0 } && SmsText.Segments(text) is var segments && segments > MaxSegments ? segments : null;
}
