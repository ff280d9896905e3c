namespace Notify.Sandbox.Providers;

/// <summary>The answer of a provider to one request.</summary>
public readonly record struct ProviderAnswer
{
    /// <summary>The outcome of a request that the provider accepted.</summary>
    public const string Accepted = "accepted";

    /// <summary>HTTP status; 0 breaks the connection (HTTP/2: the stream) off without an answer.</summary>
    public int Status { get; init; }

    /// <summary><see cref="Accepted"/>, or the provider's reason or code.</summary>
    public required string Outcome { get; init; }

    /// <summary>The provider's ID of the message; null if it got none.</summary>
    public string? MessageId { get; init; }

    /// <summary>The body's <c>Content-Type</c>; null: JSON, unless the headers say otherwise.</summary>
    public string? ContentType { get; init; }

    /// <summary>The body, or empty.</summary>
    public ReadOnlyMemory<byte> Body { get; init; }

    /// <summary>The <c>Retry-After</c> header, in seconds.</summary>
    public int? RetryAfterSeconds { get; init; }

    /// <summary>The <c>Location</c> header; null for none.</summary>
    public string? Location { get; init; }

    /// <summary>How long the answer takes beside what the knobs say.</summary>
    public TimeSpan Delay { get; init; }

    /// <summary>The outcome of each part of a request that was split; null where all have the same.</summary>
    public IReadOnlyList<(string? MessageId, string Outcome)>? Parts { get; init; }

    /// <summary>Runs after the answer is sent or lost.</summary>
    public Action? Afterwards { get; init; }
}
