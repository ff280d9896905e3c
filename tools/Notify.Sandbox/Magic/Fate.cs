namespace Notify.Sandbox.Magic;

/// <summary>The outcome that a magic recipient forces, the same on every channel.</summary>
public enum Fate
{
    /// <summary>Accepted, and a receipt of the delivery follows under every fault setting, where the provider has receipts.</summary>
    Delivered,

    /// <summary>Refused at once and for good.</summary>
    Failed,

    /// <summary>Accepted, and a bounce follows; where the provider has no receipts, refused as an address that is no more.</summary>
    Bounced,

    /// <summary>As any other, but answered after <see cref="Fates.SlowAnswer"/>.</summary>
    Slow,

    /// <summary>Accepted and recorded, and the connection broken off before the answer.</summary>
    Unknown,
}

/// <summary>The fates by name.</summary>
public static class Fates
{
    /// <summary>How long a slow recipient's answer takes, beside the knob's latency.</summary>
    public static readonly TimeSpan SlowAnswer = TimeSpan.FromSeconds(3);

    /// <summary>The names, as they stand in recipients.</summary>
    public static readonly IReadOnlyList<string> Names = [.. Enum.GetNames<Fate>().Select(n => n.ToLowerInvariant())];

    /// <summary>The fate of a name in lower case; null for any other word.</summary>
    public static Fate? Of(ReadOnlySpan<char> name) =>
        name switch
        {
            "delivered" => Fate.Delivered,
            "failed" => Fate.Failed,
            "bounced" => Fate.Bounced,
            "slow" => Fate.Slow,
            "unknown" => Fate.Unknown,
            _ => null,
        };

    /// <summary>Which of the names a text begins with, in any case; null for none.</summary>
    public static Fate? BeginningOf(string text) =>
        Names.FirstOrDefault(name => text.StartsWith(name, StringComparison.OrdinalIgnoreCase)) is { } name ? Of(name) : null;
}
