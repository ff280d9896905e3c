namespace Notify.Domain.Broadcasts;

/// <summary>How broadcasts are turned into notifications: <c>Notify:Broadcasts</c>.</summary>
public sealed record BroadcastPace
{
    /// <summary>Users at a time, in one transaction: 1 to 1,000.</summary>
    public int Chunk { get; init; } = 1000;

    /// <summary>While one of its queues has so many deliveries, a broadcast adds none: 1 or more.</summary>
    public int MostWaiting { get; init; } = 5000;

    /// <summary>Checks the settings; every fault is added to <paramref name="faults"/>.</summary>
    public void Check(string section, ICollection<string> faults)
    {
        if (Chunk is < 1 or > 1000) faults.Add($"{section}:{nameof(Chunk)} is {Chunk}; give 1 to 1000");
        if (MostWaiting < 1) faults.Add($"{section}:{nameof(MostWaiting)} is {MostWaiting}; give 1 or more");
    }
}
