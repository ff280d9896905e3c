namespace Notify.Domain.Broadcasts;

/// <summary>How broadcasts are turned into notifications: <c>Notify:Broadcasts</c>.</summary>
public sealed record BroadcastPace
{
    private const int MostBytes = 16 * 1024 * 1024;

    /// <summary>Users at a time, in one transaction: 1 to 1,000.</summary>
    public int Chunk { get; init; } = 1000;

    /// <summary>Returns the users per transaction. The payload is encrypted for each of them: at most 16 MiB together.</summary>
    /// <param name="bytes">The size of the encrypted payload.</param>
    public int ChunkOf(int bytes) => Math.Clamp(MostBytes / Math.Max(1, bytes), 1, Chunk);

    /// <summary>While its client has so many deliveries in one of its queues, a broadcast adds none: 1 or more.</summary>
    public int MostWaiting { get; init; } = 5000;

    /// <summary>Checks the settings; every fault is added to <paramref name="faults"/>.</summary>
    public void Check(string section, ICollection<string> faults)
    {
        if (Chunk is < 1 or > 1000)
            faults.Add($"{section}:{nameof(Chunk)} is {Chunk}; give 1 to 1000");
        if (MostWaiting < 1)
            faults.Add($"{section}:{nameof(MostWaiting)} is {MostWaiting}; give 1 or more");
    }
}
