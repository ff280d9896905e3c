namespace Notify.Domain.Routing;

/// <summary>Whether a provider is sent to. The numbers are stored: permanently stable.</summary>
public enum CircuitState : short
{
    /// <summary>It is sent to.</summary>
    Closed = 0,

    /// <summary>It is left alone for a while; others of its route take its place.</summary>
    Open = 1,

    /// <summary>It is tried with one delivery at a time.</summary>
    HalfOpen = 2,
}

// Events of a provider as a whole, in the stream p/{provider}. One host writes each; all hosts read it.

/// <summary>A provider failed so often that it is not called for a while.</summary>
/// <param name="Reason">The failures, and the provider's own code.</param>
/// <param name="Until">When it is called again.</param>
public sealed record CircuitOpened(string Provider, string Reason, DateTimeOffset Until, DateTimeOffset At);

/// <summary>A provider that was left alone is tried again, with one delivery at a time.</summary>
public sealed record CircuitHalfOpened(string Provider, string Reason, DateTimeOffset At);

/// <summary>A provider works again and is sent to as before.</summary>
public sealed record CircuitClosed(string Provider, string Reason, DateTimeOffset At);

/// <summary>A provider's share of a weighted route changed.</summary>
/// <param name="From">The factor of its configured weight before, 0.1 to 1.</param>
/// <param name="To">The factor from now on.</param>
public sealed record ProviderWeightChanged(string Provider, double From, double To, string Reason, DateTimeOffset At);

/// <summary>How providers' streams are named.</summary>
public static class ProviderKey
{
    /// <summary>The key of a provider's stream.</summary>
    public static string Of(string provider) => $"p/{provider}";
}
